"""The name of Keras 2.11 and later, for what was before: the optimizers themselves, with the old arguments ``lr`` and ``decay``."""

from nnkit.keras.optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, Adamax, Ftrl, Nadam, Optimizer, RMSprop

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Nadam", "Optimizer", "RMSprop"]
