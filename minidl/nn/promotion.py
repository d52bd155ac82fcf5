"""Promotion: the layer that makes float64 of float32 is named at once, not the next one, which refuses its output.

So is one that returns None, or float16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .module import Module

__all__ = ["check_promotion"]


def check_promotion(module: Module, given: tuple[Any, ...], result: Any, what: str) -> None:
    """Raise TypeError if a module made float64 (or longer) of float32, or float16, or returned nothing.

    Args:
        module: the module.
        given: what its forward or backward pass was given; what is not a float array is left out.
        result: what it returned.
        what: the result's name in the message.
    """
    if result is None:
        raise TypeError("forward() returned None; end it with return, and what comes out")
    if not isinstance(result, np.ndarray):
        return
    floats = [x.dtype for x in given if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
    if result.dtype.kind != "f" or any(4 <= result.dtype.itemsize <= dtype.itemsize for dtype in floats) or not floats:
        return
    if result.dtype.itemsize < 4:
        raise TypeError(f"given {floats[0]} input, {what} is {result.dtype}: minidl computes in float32 and float64")
    own = [f"Parameter {name!r}" for name, p in module.named_params() if p.dtype == result.dtype]
    own += [f"buffer {name!r}" for name, value in module.named_buffers() if value.dtype == result.dtype]
    if own:
        verb, them = ("is", "it") if len(own) == 1 else ("are", "them")
        raise TypeError(
            f"given {floats[0]} input, {what} is {result.dtype}: {', '.join(own)} {verb} {result.dtype}; make {them} "
            f"{floats[0]}, as in nn.Parameter(np.ones(3, np.{floats[0]})), or give {result.dtype} input"
        )
    raise TypeError(
        f"given {floats[0]} input and parameters, {what} is {result.dtype}; look for a NumPy {result.dtype} scalar or "
        "array in the arithmetic (use Python floats, or x.dtype)"
    )
