"""A 784-128-10 digit classifier in Keras's vocabulary, trained on MNIST for 10 epochs.

The program as it was written for ``tensorflow.keras``; only its imports changed. It needs the MNIST files:
they are downloaded once and kept, or taken from the folder that ``NNKIT_DATA`` names.
"""
# fmt: off
# ruff: noqa: F401, I001

import numpy as np
from nnkit.keras.models import Sequential
from nnkit.keras.layers import Dense, Activation, Flatten
from nnkit.keras.datasets import mnist

(x_train, y_train), (x_test, y_test) = mnist.load_data()

x_train = x_train.reshape(x_train.shape[0], 784) / 255.0
x_test = x_test.reshape(x_test.shape[0], 784) / 255.0

model = Sequential()
model.add(Dense(128, input_dim=784, activation='relu'))
model.add(Dense(10, activation='softmax'))

model.compile(optimizer='adam', loss='sparse_categorical_crossentropy', metrics=['accuracy'])

model.fit(x_train, y_train, epochs=10, batch_size=128, verbose=1)

test_loss, test_acc = model.evaluate(x_test, y_test, verbose=1)
print('Test accuracy:', test_acc)
