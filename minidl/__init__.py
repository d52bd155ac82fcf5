"""minidl: a tiny PyTorch in pure Python on NumPy.

    from minidl import nn, optim
    from minidl.data import DataLoader, load_digits
    from minidl.training import Trainer

Importing it starts no thread, reads no file and draws no random number.
"""

from . import data, functional, interop, models, nn, optim, testing, training
from ._random import manual_seed
from ._version import __version__
from .interop import load, save
from .nn.grad_mode import no_grad
from .testing import gradcheck

__all__ = [
    "__version__",
    "data",
    "functional",
    "gradcheck",
    "interop",
    "load",
    "manual_seed",
    "models",
    "nn",
    "no_grad",
    "optim",
    "save",
    "testing",
    "training",
]
