"""Layers, containers and losses: state on top of `minidl.functional`. Names and defaults are PyTorch's."""

from . import init
from .activation import ReLU
from .container import Sequential
from .conv import Conv2d
from .dropout import Dropout
from .grad_mode import is_grad_enabled, no_grad
from .linear import Identity, Linear
from .loss import CrossEntropyLoss, Loss, MSELoss
from .module import Module
from .parameter import Parameter
from .pooling import MaxPool2d
from .shape import Flatten
from .summary import Summary

__all__ = [
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "Linear",
    "Loss",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Summary",
    "init",
    "is_grad_enabled",
    "no_grad",
]
