"""The compiled engine: the engine's functions as machine code that numba makes for this machine; extra ``fast``."""

from __future__ import annotations

from typing import Any

from . import activations, correlation, label_losses, norms, pooling, updates
from .bound import fast_steps

__all__ = ["functions"]


def functions() -> dict[str, Any]:
    """Return what this engine computes by itself, by the names of `Engine`'s fields; the rest is NumPy's."""
    return {
        "activate": activations.activate,
        "activate_grad": activations.activate_grad,
        "bound": fast_steps,
        "cross_entropy": label_losses.cross_entropy,
        "cross_entropy_grad": label_losses.cross_entropy_grad,
        "dropout_mask": activations.dropout_mask,
        "correlate": correlation.correlate,
        "input_grad": correlation.input_grad,
        "weight_grad": correlation.weight_grad,
        "max_pool": pooling.max_pool,
        "max_pool_grad": pooling.max_pool_grad,
        "adaptive_avg_pool": pooling.adaptive_avg_pool,
        "adaptive_avg_pool_grad": pooling.adaptive_avg_pool_grad,
        "avg_pool": pooling.avg_pool,
        "avg_pool_grad": pooling.avg_pool_grad,
        "normalise": norms.normalise,
        "normalise_grad": norms.normalise_grad,
        "update": updates.update,
    }
