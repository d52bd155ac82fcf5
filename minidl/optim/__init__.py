"""Optimisers: they change parameters along their gradients. Names, rules and state dicts are PyTorch's."""

from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Optimizer"]
