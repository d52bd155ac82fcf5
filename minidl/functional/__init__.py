"""The arithmetic: pure functions on arrays, in forward and backward pairs.

``*_forward(...)`` returns the output and a cache; ``*_backward(grad_output, cache)`` returns the gradients of the
inputs, in their order. No state, no classes to learn, usable alone. `reference` holds the direct loops.
"""

from . import reference
from .activation import (
    log_softmax_backward,
    log_softmax_forward,
    relu_backward,
    relu_forward,
    softmax_backward,
    softmax_forward,
)
from .conv import conv2d_backward, conv2d_forward
from .dropout import dropout_backward, dropout_forward
from .im2col import col2im, im2col
from .linear import linear_backward, linear_forward
from .loss import cross_entropy_backward, cross_entropy_forward, mse_loss_backward, mse_loss_forward
from .pooling import max_pool2d_backward, max_pool2d_forward
from .shape import flatten_backward, flatten_forward

__all__ = [
    "col2im",
    "conv2d_backward",
    "conv2d_forward",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "dropout_backward",
    "dropout_forward",
    "flatten_backward",
    "flatten_forward",
    "im2col",
    "linear_backward",
    "linear_forward",
    "log_softmax_backward",
    "log_softmax_forward",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "mse_loss_backward",
    "mse_loss_forward",
    "reference",
    "relu_backward",
    "relu_forward",
    "softmax_backward",
    "softmax_forward",
]
