"""The arithmetic: pure functions on arrays, in forward and backward pairs.

``*_forward(...)`` returns the output and a cache; ``*_backward(grad_output, cache)`` returns the gradients of the
inputs, in their order. No state, no classes to learn, usable alone. `reference` holds the direct loops.
Also known as ``minidl.functional``. Each pair is defined beside the layer that uses it.
"""

from .. import reference
from .activation import *
from .adaptive_pool import *
from .average_pool import *
from .batch_norm import *
from .bilinear import *
from .conv import *
from .conv1d import *
from .conv_transpose import *
from .dropout import *
from .elementwise_loss import *
from .embedding import *
from .label_loss import *
from .layer_norm import *
from .linear import *
from .local_response_norm import *
from .max_pool import *
from .pad import *
from .reshape import *
from .resize import *
from .softmax import *
from .unfold import *

__all__ = [
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool2d_forward",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool2d_forward",
    "adaptive_max_pool2d_indices",
    "alpha_dropout_backward",
    "alpha_dropout_forward",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "batch_norm_backward",
    "batch_norm_forward",
    "bce_loss_backward",
    "bce_loss_forward",
    "bce_with_logits_loss_backward",
    "bce_with_logits_loss_forward",
    "bilinear_backward",
    "bilinear_forward",
    "col2im",
    "conv1d_backward",
    "conv1d_forward",
    "conv2d_backward",
    "conv2d_forward",
    "conv_transpose2d_backward",
    "conv_transpose2d_forward",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "dropout_backward",
    "dropout_channels_backward",
    "dropout_channels_forward",
    "dropout_forward",
    "embedding_backward",
    "embedding_forward",
    "flatten_backward",
    "flatten_forward",
    "fold_backward",
    "fold_forward",
    "group_norm_backward",
    "group_norm_forward",
    "huber_loss_backward",
    "huber_loss_forward",
    "im2col",
    "instance_norm_backward",
    "instance_norm_forward",
    "kl_div_loss_backward",
    "kl_div_loss_forward",
    "l1_loss_backward",
    "l1_loss_forward",
    "layer_norm_backward",
    "layer_norm_forward",
    "linear_backward",
    "linear_forward",
    "local_response_norm_backward",
    "local_response_norm_forward",
    "log_softmax_backward",
    "log_softmax_forward",
    "lp_pool2d_backward",
    "lp_pool2d_forward",
    "max_pool1d_backward",
    "max_pool1d_forward",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "max_pool2d_indices",
    "mse_loss_backward",
    "mse_loss_forward",
    "multi_margin_loss_backward",
    "multi_margin_loss_forward",
    "nll_loss_backward",
    "nll_loss_forward",
    "pad2d_backward",
    "pad2d_forward",
    "pixel_shuffle_backward",
    "pixel_shuffle_forward",
    "reference",
    "relu_backward",
    "relu_forward",
    "rms_norm_backward",
    "rms_norm_forward",
    "sigmoid_backward",
    "sigmoid_forward",
    "smooth_l1_loss_backward",
    "smooth_l1_loss_forward",
    "softmax_backward",
    "softmax_forward",
    "tanh_backward",
    "tanh_forward",
    "unflatten_backward",
    "unflatten_forward",
    "unfold_backward",
    "unfold_forward",
    "upsample_backward",
    "upsample_forward",
]
