"""Networks by name, as functions that return a fresh Sequential."""

from .small import digits_cnn, lenet5, mnist_cnn

__all__ = ["digits_cnn", "lenet5", "mnist_cnn"]
