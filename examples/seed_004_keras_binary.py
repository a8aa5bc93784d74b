"""A 20-32-16-1 classifier of random labels in Keras's vocabulary, trained for 1000 epochs.

The program as it was written for ``keras``; only its imports changed. The labels are coin tosses, so the
accuracy it prints, on its own training data, says how much a network of this size can learn by heart.
"""
# fmt: off
# ruff: noqa: I001, NPY002

import numpy as np
from nnkit.keras.models import Sequential
from nnkit.keras.layers import Dense
from nnkit.keras.optimizers import SGD

X = np.random.rand(1000, 20)
y = np.random.randint(2, size=(1000, 1))

model = Sequential()
model.add(Dense(32, input_dim=20, activation='relu'))
model.add(Dense(16, activation='relu'))
model.add(Dense(1, activation='sigmoid'))

sgd = SGD(lr=0.01, decay=1e-6, momentum=0.9, nesterov=True)
model.compile(loss='binary_crossentropy', optimizer=sgd, metrics=['accuracy'])

model.fit(X, y, epochs=1000, batch_size=32)

score = model.evaluate(X, y)
print('Test loss:', score[0])
print('Test accuracy:', score[1])
