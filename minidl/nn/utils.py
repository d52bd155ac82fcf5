"""Gradient clipping, between the backward pass and the optimiser's step: PyTorch's ``nn.utils``; also in `optim`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator

import numpy as np

from .._core import Array, check_flag, check_number
from .parameter import Parameter

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def clip_grad_norm_(
    parameters: Iterable[Parameter] | Parameter,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients together so that their norm, taken over all of them, is at most ``max_norm``.

    grad *= min(1, max_norm / (norm + 1e-6))

    As in PyTorch, a gradient that is not finite reaches all of them: a NaN makes every entry NaN; an infinity makes the
    finite entries 0 and the infinite ones NaN.

    Args:
        parameters: those whose gradients are scaled, in place; parameters without a gradient are skipped.
        max_norm: the largest norm, not negative.
        norm_type: p of the norm (sum |g|**p)**(1/p), positive; infinity for the largest absolute value.
        error_if_nonfinite: raise if the norm is NaN or infinite, and change nothing.

    Returns:
        The norm before clipping; 0 if there are no gradients.

    Warns:
        UserWarning: ``parameters`` is an iterator that is used up, such as a generator: nothing is clipped.

    Raises:
        ValueError: max_norm is negative, norm_type is not positive, or see ``error_if_nonfinite``.
        TypeError: an argument is of the wrong type.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html
    """
    owner = "clip_grad_norm_"
    max_norm = check_number(owner, "max_norm", max_norm)
    norm_type = math.inf if norm_type == math.inf else check_number(owner, "norm_type", norm_type, minimum=-math.inf)
    if not norm_type > 0:
        raise ValueError(f"{owner}: norm_type must be positive, got {norm_type}")
    grads = _grads(owner, parameters)
    norms = [float(np.linalg.norm(grad.reshape(-1).astype(np.float64), norm_type)) for grad in grads]
    total = float(np.linalg.norm(norms, norm_type)) if norms else 0.0
    if check_flag(owner, "error_if_nonfinite", error_if_nonfinite) and not math.isfinite(total):
        raise ValueError(f"{owner}: the norm of the gradients is {total}")
    factor = max_norm / (total + 1e-6)
    if not factor >= 1:  # or NaN
        with np.errstate(invalid="ignore"):  # infinity times 0
            for grad in grads:
                np.multiply(grad, grad.dtype.type(factor), out=grad)
    return total


def clip_grad_value_(parameters: Iterable[Parameter] | Parameter, clip_value: float) -> None:
    """Limit every entry of the gradients to [-clip_value, clip_value], in place.

    Args:
        parameters: those whose gradients are limited; parameters without a gradient are skipped.
        clip_value: the limit, not negative.

    Warns:
        UserWarning: as for `clip_grad_norm_`.

    Raises:
        ValueError: clip_value is negative.
        TypeError: clip_value is not a number.
    """
    clip_value = check_number("clip_grad_value_", "clip_value", clip_value)
    for grad in _grads("clip_grad_value_", parameters):
        np.clip(grad, -clip_value, clip_value, out=grad)


def _grads(owner: str, parameters: Iterable[Parameter] | Parameter) -> list[Array]:
    several = [parameters] if isinstance(parameters, Parameter) else list(parameters)
    if not several and isinstance(parameters, Iterator):
        warnings.warn(
            f"{owner}: parameters is an iterator without any left, so nothing is clipped; a generator such as "
            "model.params() can be used only once: call it again, or make a list",
            UserWarning,
            stacklevel=3,
        )
    return [parameter.grad for parameter in several if parameter.grad is not None]
