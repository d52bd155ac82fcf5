"""Argument checks, shared by the arithmetic and the layers so that all messages have the same form.

The message for an invalid option is ``Owner: argument must be <what is expected>, got <what was given>``. The message
for an array that does not fit says what was expected, what was given, its shape, and the fix if there is one;
`minidl.nn.Module` puts the layer's name in front of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Array",
    "IntPair",
    "check_bias",
    "check_choice",
    "check_flag",
    "check_float",
    "check_grad",
    "check_images",
    "check_int",
    "check_kind",
    "check_number",
    "check_pair",
    "check_plain",
    "check_same_dtype",
    "check_sequences",
    "class_hint",
    "described",
    "plain",
    "remembered",
]

Array = NDArray[Any]
IntPair = int | tuple[int, int] | Sequence[int]
Checked = TypeVar("Checked")


def _is_int(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _bounds(minimum: float, maximum: float) -> str:
    if maximum == float("inf"):
        return f"at least {minimum}"
    return f"between {minimum} and {maximum}"


def check_int(owner: str, argument: str, value: Any, *, minimum: int = 1) -> int:
    """Return ``value`` as an int of at least ``minimum``, or raise TypeError / ValueError."""
    if not _is_int(value):
        raise TypeError(f"{owner}: {argument} must be an integer, got {value!r}")
    if value < minimum:
        raise ValueError(f"{owner}: {argument} must be at least {minimum}, got {value}")
    return int(value)


def check_pair(owner: str, argument: str, value: Any, *, minimum: int = 1) -> tuple[int, int]:
    """Return an int, a pair of ints, or a 1-tuple, as a (height, width) pair, each at least ``minimum``."""
    pair = (value, value) if _is_int(value) else value
    pair = (*pair, *pair) if isinstance(pair, (tuple, list)) and len(pair) == 1 else pair
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(_is_int(v) for v in pair):
        raise TypeError(f"{owner}: {argument} must be an integer or a pair of integers, got {value!r}")
    if min(pair) < minimum:
        raise ValueError(f"{owner}: {argument} must be at least {minimum}, got {value!r}")
    return int(pair[0]), int(pair[1])


def check_number(
    owner: str,
    argument: str,
    value: Any,
    *,
    minimum: float = 0.0,
    maximum: float = float("inf"),
    note: str = "",
) -> float:
    """Return ``value`` as a Python int or float if it is finite and between ``minimum`` and ``maximum``, or raise."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{owner}: {argument} must be a number, got {value!r}")
    if not np.isfinite(value) and not np.isnan(value) and maximum == float("inf"):
        raise ValueError(f"{owner}: {argument} must be finite, got {value}")
    if not minimum <= value <= maximum or not np.isfinite(value):
        raise ValueError(f"{owner}: {argument} must be {_bounds(minimum, maximum)}{note}, got {value}")
    return int(value) if isinstance(value, (int, np.integer)) else float(value)


def described(value: Any) -> str:
    """Return what was given, for errors: of an array its type and shape, of a structure that of its first entries."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(getattr(value, "shape", None), tuple):
        return f"{type(value).__name__} {value.shape}"
    if isinstance(value, Mapping):
        entries = [f"{key!r}: {described(entry)}" for key, entry in islice(value.items(), 3)]
        return f"{{{', '.join(entries)}{', ...' if len(value) > 3 else ''}}}"
    if isinstance(value, (tuple, list)):
        text = ", ".join(map(described, value[:3])) + (", ..." if len(value) > 3 else "")
        return f"[{text}]" if isinstance(value, list) else f"({text})"
    return repr(value)


def class_hint(value: Any) -> str:
    """Return the end of an error where an instance is wanted: a question if a class was given, otherwise nothing."""
    return f"; did you mean {value.__name__}()?" if isinstance(value, type) else ""


def check_flag(owner: str, argument: str, value: Any) -> bool:
    """Return ``value`` if it is True or False; a number in place of a flag is a mistake worth reporting."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{owner}: {argument} must be True or False, got {value!r}")
    return bool(value)


def check_kind(owner: str, argument: str, value: Any, kind: type[Checked], hint: str = "") -> Checked:
    """Return ``value`` if it is a ``kind``, or raise TypeError with a ``hint``; for a class it asks for an instance."""
    if not isinstance(value, kind):
        raise TypeError(
            f"{owner}: {argument} must be a {kind.__name__}, got {described(value)}{class_hint(value) or hint}"
        )
    return value


def check_choice(owner: str, argument: str, value: Any, choices: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``choices``, or raise ValueError that lists them."""
    if value not in choices:
        wanted = ", ".join(repr(c) for c in choices)
        raise ValueError(f"{owner}: {argument} must be one of {wanted}, got {value!r}")
    return str(value)


def check_float(x: Any, what: str = "input") -> Array:
    """Return ``x`` if it is a float32 or float64 array.

    Raises:
        TypeError: it is not an array, or has another dtype; the message says how to convert it.
    """
    if not isinstance(x, np.ndarray):
        raise TypeError(f"expected a NumPy array as {what}, got {type(x).__name__}")
    if type(x) is not np.ndarray:
        check_plain(x)
    if x.dtype.type in (np.float32, np.float64) and x.dtype.isnative:
        return x
    hint = ""
    if x.dtype.kind in "iub":
        hint = "; convert it first, images for example with x.astype(np.float32) / 255"
    elif x.dtype.kind == "f":
        hint = "; convert it with x.astype(np.float32)"
    raise TypeError(f"expected a float32 or float64 {what}, got {x.dtype}{hint}")


def check_plain(x: Array) -> None:
    """Raise TypeError for arrays whose arithmetic is another: ``*`` of a matrix, the mask of a masked array."""
    if isinstance(x, (np.matrix, np.ma.MaskedArray)):
        fix = "x.filled(value)" if isinstance(x, np.ma.MaskedArray) else "np.asarray(x)"
        raise TypeError(f"expected a plain NumPy array, got a {type(x).__name__}; use {fix}")


def check_same_dtype(x: Array, weight: Array) -> None:
    """Raise TypeError unless input and parameter have the same dtype: nothing is promoted silently."""
    if x.dtype != weight.dtype:
        raise TypeError(
            f"expected {weight.dtype} input, as the parameters are, got {x.dtype}; use "
            f"x.astype(np.{weight.dtype}), or model.astype(np.{x.dtype}) to compute in {x.dtype}"
        )


def check_bias(b: Array | None, size: int, weight: Array) -> None:
    """Raise ValueError unless ``b`` is None, or one number per output in the weight's dtype."""
    if b is not None and (b.shape != (size,) or b.dtype != weight.dtype):
        raise ValueError(f"expected a bias of shape ({size},) and {weight.dtype}, got {b.shape}, {b.dtype}")


def check_images(x: Any, channels: int | None = None, fix: str = "") -> Array:
    """Return ``x`` if it is a float (N, C, H, W) array with the expected number of channels."""
    check_float(x)
    if x.ndim == 3:
        raise ValueError(
            f"expected a batch of shape (N, C, H, W), got {x.shape}; for a single image pass x[None], "
            "for images without a channel axis x[:, None]"
        )
    if x.ndim != 4:
        raise ValueError(f"expected an input of shape (N, C, H, W), got {x.ndim} axes: {x.shape}")
    if channels is not None and x.shape[1] != channels:
        hint = fix
        if x.shape[3] == channels:
            hint = "; the channels seem to come last: use x.transpose(0, 3, 1, 2)"
        raise ValueError(f"expected {channels} input channels, got {x.shape[1]} (input shape {x.shape}){hint}")
    return x  # type: ignore[no-any-return]


def check_sequences(x: Any, channels: int | None = None) -> Array:
    """Return ``x`` if it is a float (N, C, L) array with the expected number of channels."""
    check_float(x)
    if x.ndim != 3:
        raise ValueError(f"expected a batch of shape (N, C, L), got {x.shape}")
    if channels is not None and x.shape[1] != channels:
        raise ValueError(f"expected {channels} input channels, got {x.shape[1]} (input shape {x.shape})")
    return x  # type: ignore[no-any-return]


def check_grad(grad_output: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return ``grad_output`` if it has the shape and dtype of the output whose gradient it is."""
    check_float(grad_output, "grad_output")
    if grad_output.shape != shape:
        raise ValueError(f"expected grad_output of the output's shape {shape}, got {grad_output.shape}")
    if grad_output.dtype != dtype:
        raise TypeError(
            f"expected grad_output in the output's dtype {dtype}, got {grad_output.dtype}; it is what the next layer's "
            "backward(), or the loss's, returned"
        )
    return grad_output  # type: ignore[no-any-return]


def plain(value: Any) -> Any:
    """Return an option as a Python value: NumPy scalars become int or float, even inside a tuple or list."""
    if isinstance(value, (tuple, list)):
        return type(value)(plain(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


def remembered(check: Callable[..., Checked]) -> Callable[..., Checked]:
    """Decorate a check of several options: options that have passed once are looked up, not checked again."""
    known = lru_cache(maxsize=512, typed=True)(check)

    @wraps(check)
    def look_up(*options: Any) -> Checked:
        try:
            return known(*options)
        except TypeError:  # a list, which cannot be hashed; or a wrong type, which is rejected again
            return check(*options)

    return look_up
