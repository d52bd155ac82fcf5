"""Errors that say where: the layer's class and path are prepended to the message."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .module import Module

__all__ = ["layer_at", "name_layer", "named_init"]


# What Python and NumPy say when a method of PyTorch is called on an array: x.unsqueeze(0), x.view(-1), x.size(0)
_OF_ARRAYS = (
    "'numpy.ndarray' object has no attribute",
    *(
        "as a data type",
        "a sub-type of ndarray",
        "view() takes",
        "'int' object is not callable",
        "unexpected keyword argument 'dim'",
    ),
)
_ARRAYS = (
    "; a buffer, and an array from outside of forward, is a NumPy array with NumPy's methods: x.reshape(...), "
    "x.shape[0], axis=0; or minidl.as_tensor(x), which has PyTorch's"
)


def layer_at(kind: str, path: str) -> str:
    """Return a layer's class and path as errors show them, ``Linear "head.2"``; without a path the class alone."""
    return f'{kind} "{path}"' if path else kind


def name_layer(error: BaseException, module: Module, root: Module | None = None) -> None:
    """Put ``module``, through which ``error`` is passing, into the error's message.

    Called with the innermost layer first: its class is prepended (``Linear: expected ...``). Each container on
    the way out adds a part of the path (``Linear "head.2": expected ...``). Only plain errors with a plain message
    are changed; others pass through unchanged. NumPy's MemoryError, which says the bytes and the shape, has no plain
    message: an ordinary one is raised for it.

    Args:
        error: what is being raised.
        module: the layer.
        root: the module that the layer is in, if its path is known at once.
    """
    if isinstance(error, MemoryError) and (type(error) is not MemoryError or len(error.args) != 1):
        plain = MemoryError(str(error) or "there is not enough memory")
        name_layer(plain, module, root)
        raise plain from error
    of_array = len(error.args) == 1 and any(part in str(error) for part in _OF_ARRAYS)
    if (type(error) not in (ValueError, TypeError, RuntimeError, MemoryError) and not of_array) or len(error.args) != 1:
        return None
    where = getattr(error, "minidl_where", None)
    if where is None:
        origin, path, message = type(module).__name__, "", str(error.args[0]) + (_ARRAYS if of_array else "")
    else:
        origin, path, message, inner = where
        if inner is module:
            return _name_below(error, module, root)
        step = next((name for name, child in module.named_children() if child is inner), "")
        path = ".".join(part for part in (step, path) if part)
    error.args = (f"{layer_at(origin, path)}: {message}",)
    error.minidl_where = (origin, path, message, module)  # type: ignore[attr-defined]
    return _name_below(error, module, root)


def _name_below(error: BaseException, module: Module, root: Module | None) -> None:
    """Put the path from ``root`` to ``module``, which `name_layer` has named, into an error's message."""
    where = getattr(error, "minidl_where", None)
    if where is None or where[3] is not module or root is None or module is root:
        return
    origin, path, message, _ = where
    step = next((name for name, inner in root.named_modules() if inner is module), "")
    path = ".".join(part for part in (step, path) if part)
    error.args = (f"{layer_at(origin, path)}: {message}",)
    error.minidl_where = (origin, path, message, root)  # type: ignore[attr-defined]


def named_init(init: FunctionType, owner: str) -> FunctionType:
    """Copy an inherited ``__init__`` under its class's name, by which Python reports wrong arguments."""
    copy = FunctionType(init.__code__, init.__globals__, init.__name__, init.__defaults__, init.__closure__)
    copy.__kwdefaults__, copy.__annotations__ = init.__kwdefaults__, init.__annotations__
    copy.__qualname__ = f"{owner}.__init__"
    return copy
