"""What has no size yet, because its layer waits for its first input, is an array of shape (0,)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import Array

if TYPE_CHECKING:
    from .parameter import Parameter

__all__ = ["check_sized", "check_unset", "sealed"]


def sealed(data: Array) -> Array:
    """Return an array, read-only if it stands for one that has no size yet: what is written to it would be lost."""
    if data.shape == (0,):
        data.flags.writeable = False
    return data


def check_sized(owner: str, *parameters: Parameter | Array) -> None:
    """Raise RuntimeError, naming the ``owner`` that needs to know them, if parameters have no size yet."""
    if any(parameter.shape == (0,) for parameter in parameters):
        raise RuntimeError(
            f"{owner}: the parameter has no size yet, because its layer was made without an input size; call the model "
            "or summary(input_shape) once before, or give the layer its size"
        )


def check_unset(**values: Parameter | Array | None) -> None:
    """Raise RuntimeError if parameters or buffers, by name, have a size before the first input is about to give it."""
    for name, value in values.items():
        if value is not None and value.shape != (0,):
            raise RuntimeError(
                f"{name} was set to shape {value.shape} before the layer knew its input size, and would be replaced by "
                "this first input; give the layer its size, or call the model or summary(input_shape) once before"
            )
