"""A 784-64-64-10 network given to Keras's Sequential as a list, trained for 10 epochs.

The fragment as it was written for ``tensorflow.keras``; only its imports changed. It trains on ``x_train``
and ``y_train`` without defining them: the lines that load them are an addition, marked as such.
"""
# fmt: off
# ruff: noqa: I001

from nnkit.keras.models import Sequential
from nnkit.keras.layers import Dense

# Addition: the data that the fragment leaves undefined.
from nnkit.keras.datasets import mnist

(x_train, y_train), _ = mnist.load_data()
x_train = x_train.reshape(-1, 784) / 255.0
# End of the addition.

# 创建一个简单的神经网络模型
model = Sequential([
    Dense(64, activation='relu', input_shape=(784,)),
    Dense(64, activation='relu'),
    Dense(10, activation='softmax')
])

# 编译模型
model.compile(optimizer='adam',
              loss='sparse_categorical_crossentropy',
              metrics=['accuracy'])

# 训练模型
model.fit(x_train, y_train, epochs=10)
