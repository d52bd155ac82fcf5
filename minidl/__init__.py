"""minidl: a tiny PyTorch in pure Python on NumPy.

    from minidl import nn, optim
    from minidl.data import DataLoader, load_digits
    from minidl.training import Trainer

Importing it starts no thread, reads no file and draws no random number; each part, and NumPy, is loaded when it is
first used, so that a program that needs little starts quickly.
"""

import builtins
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from . import data, functional, interop, models, nn, optim, plotting, testing, training
    from ._core import default_rng, get_num_threads, manual_seed, set_num_threads
    from .engine import get_engine, set_engine
    from .inference import compile as compile
    from .interop import export_onnx, from_onnx, load, save
    from .modelfile import load_model, load_run, save_model
    from .nn.creation import *  # noqa: F403
    from .nn.devices import *  # noqa: F403
    from .nn.dtypes import *  # noqa: F403
    from .nn.elementwise_functions import *  # noqa: F403
    from .nn.functional import dropout as dropout
    from .nn.functional import log_softmax as log_softmax
    from .nn.functional import relu as relu
    from .nn.functional import sigmoid as sigmoid
    from .nn.functional import softmax as softmax
    from .nn.functional import tanh as tanh
    from .nn.modes import enable_grad as enable_grad
    from .nn.modes import inference_mode as inference_mode
    from .nn.modes import is_grad_enabled as is_grad_enabled
    from .nn.modes import no_grad as no_grad
    from .nn.modes import set_grad_enabled as set_grad_enabled
    from .nn.tensor import Tensor as Tensor
    from .nn.tensor_functions import *  # noqa: F403
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
    "load_model",
    "load_run",
    "manual_seed",
    "models",
    "nn",
    "optim",
    "plotting",
    "save",
    "save_model",
    "set_engine",
    "set_num_threads",
    "testing",
    "training",
]

# PyTorch's names of functions on arrays, by the module that holds them
_FUNCTIONS = {
    "nn.creation": (
        "arange as_tensor bernoulli empty empty_like eye from_numpy full full_like linspace normal ones ones_like "
        "rand rand_like randint randn randn_like randperm tensor zeros zeros_like"
    ),
    "nn.devices": "backends cuda device",
    "nn.dtypes": "bool double float float32 float64 int32 int64 long uint8",
    "nn.elementwise_functions": (
        "abs acos add allclose asin atan atan2 bmm ceil clamp clamp_max clamp_min clip clone cos cosh count_nonzero "
        "detach div dot einsum eq equal exp exp2 expm1 floor ge gt hypot is_tensor isfinite isinf isnan le log "
        "log10 log1p log2 logaddexp logical_and logical_not logical_or lt masked_fill matmul maximum minimum mm mul "
        "mv ne neg nonzero numel outer pow reciprocal round rsqrt sign sin sinh sqrt square sub tan trunc where"
    ),
    "nn.functional": "dropout log_softmax relu sigmoid softmax tanh",
    "nn.modes": "enable_grad inference_mode is_grad_enabled no_grad set_grad_enabled",
    "nn.tensor": "Tensor",
    "nn.tensor_functions": (
        "all amax amin any argmax argmin argsort broadcast_to cat chunk concat concatenate cumsum flatten flip "
        "gather index_select logsumexp max mean min movedim narrow norm permute prod repeat_interleave reshape roll "
        "sort split squeeze stack std sum swapaxes tile topk transpose tril triu unbind unflatten unsqueeze var"
    ),
}

# name -> the module that holds it, or is it
_LAZY = {
    **{
        name: name
        for name in ("data", "functional", "interop", "models", "nn", "optim", "plotting", "testing", "training")
    },
    **dict.fromkeys(("default_rng", "get_num_threads", "manual_seed", "set_num_threads"), "_core"),
    **dict.fromkeys(("get_engine", "set_engine"), "engine"),
    **dict.fromkeys(("export_onnx", "from_onnx", "load", "save"), "interop"),
    "compile": "inference",
    **dict.fromkeys(("load_model", "load_run", "save_model"), "modelfile"),
    "gradcheck": "testing",
    **{name: module for module, names in _FUNCTIONS.items() for name in names.split()},
}

# those that are also Python's own are left to ``minidl.sum`` and the like
__all__ += [name for names in _FUNCTIONS.values() for name in names.split() if not hasattr(builtins, name)]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'minidl' has no attribute {name!r}")
    module = import_module(f".{_LAZY[name]}", __name__)
    value = module if name == _LAZY[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
