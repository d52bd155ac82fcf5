"""Layers that change only the shape."""

from __future__ import annotations

from ..functional._checks import Array, check_int
from ..functional.shape import flatten_backward, flatten_forward
from .module import Module

__all__ = ["Flatten"]


class Flatten(Module):
    """Make one axis of several, in row-major order.

    Args:
        start_dim: first axis to join.
        end_dim: last axis to join; negative ones count from the end.

    Shape:
        input (N, C, H, W), output (N, C*H*W) with the defaults.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Flatten.html
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = check_int("Flatten", "start_dim", start_dim, minimum=-32)
        self.end_dim = check_int("Flatten", "end_dim", end_dim, minimum=-32)
        if (start_dim < 0) == (end_dim < 0) and start_dim > end_dim:
            raise ValueError(f"Flatten: start_dim must not come after end_dim, got {start_dim} and {end_dim}")

    def forward(self, x: Array) -> Array:
        """Apply the layer."""
        out, cache = flatten_forward(x, self.start_dim, self.end_dim)
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> Array:
        """Return grad_output in the input's shape."""
        return flatten_backward(grad_output, self.take_saved())

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
