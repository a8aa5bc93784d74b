"""Variables, gradients and an optimizer, without any layer class: a 10-5-1 regression.

The original is written for TensorFlow 1 (variables, placeholders, ``tf.gradients``, a session), an interface
that TensorFlow itself has dropped. Here is the same program, part for part: a variable is an
``nnkit.Parameter``, a placeholder is a function's argument, ``tf.gradients`` is ``nnkit.grad``, and nothing
needs a session. The original never defines its dataset: the class at the top is an addition.
"""

import numpy as np

import nnkit

input_size = 10
hidden_size = 5
output_size = 1
learning_rate = 0.01
epochs = 20
steps = 50


class Dataset:
    """Addition: random rows, 32 a batch and 200 for testing; the target is a fixed linear map of the row."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)
        self.slopes = self.generator.normal(size=(input_size, output_size))

    def get_batch(self, rows: int = 32) -> tuple[nnkit.Tensor, nnkit.Tensor]:
        x = self.generator.normal(size=(rows, input_size))
        return nnkit.tensor(x, dtype=nnkit.float32), nnkit.tensor(x @ self.slopes, dtype=nnkit.float32)

    def get_test_data(self) -> tuple[nnkit.Tensor, nnkit.Tensor]:
        return self.get_batch(200)


dataset = Dataset()
nnkit.manual_seed(0)

# The network: weights and biases of two layers.
W1 = nnkit.Parameter(nnkit.randn(input_size, hidden_size))
b1 = nnkit.Parameter(nnkit.zeros(hidden_size))
W2 = nnkit.Parameter(nnkit.randn(hidden_size, output_size))
b2 = nnkit.Parameter(nnkit.zeros(output_size))
variables = [W1, b1, W2, b2]


def activation(x: nnkit.Tensor) -> nnkit.Tensor:
    return nnkit.relu(x)


def network(x: nnkit.Tensor) -> nnkit.Tensor:
    h1 = activation(nnkit.matmul(x, W1) + b1)
    return nnkit.matmul(h1, W2) + b2


def loss_function(x: nnkit.Tensor, y_: nnkit.Tensor) -> nnkit.Tensor:
    return nnkit.mean(nnkit.square(network(x) - y_))


# Gradients by hand: one tensor for each variable, of its shape.
x_batch, y_batch = dataset.get_batch()
dW1, db1, dW2, db2 = nnkit.grad(loss_function(x_batch, y_batch), variables)
print("gradient shapes:", dW1.shape, db1.shape, dW2.shape, db2.shape)

# Training: the optimizer applies the gradients that it finds in the variables.
optimizer = nnkit.optim.SGD(variables, lr=learning_rate)
for epoch in range(epochs):
    for _ in range(steps):
        x_batch, y_batch = dataset.get_batch()
        loss = loss_function(x_batch, y_batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1}: loss {loss.item():.4f}")

# Prediction.
test_x, test_y = dataset.get_test_data()
with nnkit.no_grad():
    predict = network(test_x)
    test_loss = loss_function(test_x, test_y).item()
print(f"test loss: {test_loss:.4f}")
