"""minidl: a tiny PyTorch in pure Python on NumPy.

    from minidl import nn, optim
    from minidl.data import DataLoader, load_digits
    from minidl.training import Trainer

Importing it starts no thread, reads no file and draws no random number; each part is loaded when it is first used, so
that a program that needs little starts quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._core import default_rng, get_num_threads, manual_seed, set_num_threads
from ._version import __version__

if TYPE_CHECKING:
    from . import data, functional, interop, models, nn, optim, plotting, testing, training
    from .engine import get_engine, set_engine
    from .interop import export_onnx, from_onnx, load, save
    from .nn import no_grad
    from .testing import gradcheck

__all__ = [
    "__version__",
    "data",
    "default_rng",
    "export_onnx",
    "from_onnx",
    "functional",
    "get_engine",
    "get_num_threads",
    "gradcheck",
    "interop",
    "load",
    "manual_seed",
    "models",
    "nn",
    "no_grad",
    "optim",
    "plotting",
    "save",
    "set_engine",
    "set_num_threads",
    "testing",
    "training",
]

# name -> the module that holds it, or is it
_LAZY = {
    **{
        name: name
        for name in ("data", "functional", "interop", "models", "nn", "optim", "plotting", "testing", "training")
    },
    **dict.fromkeys(("get_engine", "set_engine"), "engine"),
    **dict.fromkeys(("export_onnx", "from_onnx", "load", "save"), "interop"),
    "gradcheck": "testing",
    "no_grad": "nn",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'minidl' has no attribute {name!r}")
    module = import_module(f".{_LAZY[name]}", __name__)
    value = module if name == _LAZY[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
