"""minidl: a tiny PyTorch in pure Python on NumPy.

    from minidl import nn, optim
    from minidl.data import DataLoader, load_digits
    from minidl.training import Trainer

Importing it starts no thread, reads no file and draws no random number; what stands above the layers is loaded when it
is first used, so that a program that only predicts starts quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import functional, nn
from ._random import default_rng, manual_seed
from ._version import __version__
from .functional._threads import get_num_threads, set_num_threads
from .nn.grad_mode import no_grad

if TYPE_CHECKING:
    from . import data, interop, models, optim, testing, training
    from .interop import load, save
    from .testing import gradcheck

__all__ = [
    "__version__",
    "data",
    "default_rng",
    "functional",
    "get_num_threads",
    "gradcheck",
    "interop",
    "load",
    "manual_seed",
    "models",
    "nn",
    "no_grad",
    "optim",
    "save",
    "set_num_threads",
    "testing",
    "training",
]

# name -> the module that holds it, or is it
_LAZY = {name: name for name in ("data", "interop", "models", "optim", "testing", "training")}
_LAZY.update(gradcheck="testing", load="interop", save="interop")


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'minidl' has no attribute {name!r}")
    module = import_module(f".{_LAZY[name]}", __name__)
    value = module if name == _LAZY[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
