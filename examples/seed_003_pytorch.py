"""A 784-64-64-10 network as a PyTorch class with its own training loop.

The fragment as it was written for PyTorch; only its imports changed. It trains on ``x_train`` and
``y_train`` without defining them, for ten steps on all of the data: the lines that load them are an
addition, marked as such. (Like the original it puts a softmax in front of a cross-entropy that expects
logits: it learns, but slowly.)
"""
# fmt: off
# ruff: noqa: B007, UP008

import nnkit as torch
import nnkit.nn as nn
import nnkit.optim as optim

# Addition: the data that the fragment leaves undefined.
from nnkit.datasets import mnist

(x_train, y_train), _ = mnist.load_data()
x_train = torch.tensor(x_train.reshape(-1, 784) / 255.0, dtype=torch.float32)
y_train = torch.tensor(y_train, dtype=torch.int64)
# End of the addition.


# 定义一个简单的神经网络模型
class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.fc1 = nn.Linear(784, 64)
        self.fc2 = nn.Linear(64, 64)
        self.fc3 = nn.Linear(64, 10)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        x = torch.softmax(self.fc3(x), dim=1)
        return x

# 创建一个实例
model = Net()

# 定义优化器和损失函数
optimizer = optim.Adam(model.parameters())
criterion = nn.CrossEntropyLoss()

# 训练模型
for epoch in range(10):
    optimizer.zero_grad()
    output = model(x_train)
    loss = criterion(output, y_train)
    loss.backward()
    optimizer.step()
