"""Activation layers."""

from __future__ import annotations

from ..functional._checks import Array
from ..functional.activation import relu_backward, relu_forward
from .module import Module

__all__ = ["ReLU"]


class ReLU(Module):
    """Rectified linear unit: y = max(x, 0). Its gradient at x == 0 is 0.

    Shape:
        input and output: any, the same.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ReLU.html
    """

    def forward(self, x: Array) -> Array:
        """Apply the function elementwise."""
        out, cache = relu_forward(x)
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient of the input."""
        return relu_backward(grad_output, self.take_saved())
