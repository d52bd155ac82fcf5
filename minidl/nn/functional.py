"""The arithmetic: PyTorch's functions, and beside them forward and backward pairs of pure functions on arrays.

``relu(x)``, ``cross_entropy(x, y)`` and the others have PyTorch's names, arguments and defaults. In the forward of a
Module without a backward they are recorded; on arrays they just compute.

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
from .functional_activations import *
from .functional_attention import *
from .functional_layers import *
from .functional_losses import *
from .functional_shapes import *
from .gated import *
from .label_loss import *
from .layer_norm import *
from .linear import *
from .local_response_norm import *
from .max_pool import *
from .pad import *
from .reshape import *
from .resize import *
from .smooth_activation import *
from .softmax import *
from .unfold import *

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool2d_forward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool2d_forward",
    "adaptive_max_pool2d_indices",
    "alpha_dropout",
    "alpha_dropout_backward",
    "alpha_dropout_forward",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_forward",
    "bce_loss_backward",
    "bce_loss_forward",
    "bce_with_logits_loss_backward",
    "bce_with_logits_loss_forward",
    "bilinear",
    "bilinear_backward",
    "bilinear_forward",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "col2im",
    "conv1d",
    "conv1d_backward",
    "conv1d_forward",
    "conv2d",
    "conv2d_backward",
    "conv2d_forward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose2d_forward",
    "cosine_similarity",
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout_backward",
    "dropout_channels_backward",
    "dropout_channels_forward",
    "dropout_forward",
    "elu",
    "embedding",
    "embedding_backward",
    "embedding_forward",
    "flatten_backward",
    "flatten_forward",
    "fold",
    "fold_backward",
    "fold_forward",
    "gelu",
    "glu",
    "group_norm",
    "group_norm_backward",
    "group_norm_forward",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "huber_loss",
    "huber_loss_backward",
    "huber_loss_forward",
    "im2col",
    "instance_norm",
    "instance_norm_backward",
    "instance_norm_forward",
    "interpolate",
    "kl_div",
    "kl_div_loss_backward",
    "kl_div_loss_forward",
    "l1_loss",
    "l1_loss_backward",
    "l1_loss_forward",
    "layer_norm",
    "layer_norm_backward",
    "layer_norm_forward",
    "leaky_relu",
    "linear",
    "linear_backward",
    "linear_forward",
    "local_response_norm",
    "local_response_norm_backward",
    "local_response_norm_forward",
    "log_softmax",
    "log_softmax_backward",
    "log_softmax_forward",
    "logsigmoid",
    "lp_pool2d",
    "lp_pool2d_backward",
    "lp_pool2d_forward",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool1d_forward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "max_pool2d_indices",
    "mish",
    "mse_loss",
    "mse_loss_backward",
    "mse_loss_forward",
    "multi_margin_loss",
    "multi_margin_loss_backward",
    "multi_margin_loss_forward",
    "nll_loss",
    "nll_loss_backward",
    "nll_loss_forward",
    "normalize",
    "one_hot",
    "pad",
    "pad2d_backward",
    "pad2d_forward",
    "pairwise_distance",
    "pixel_shuffle",
    "pixel_shuffle_backward",
    "pixel_shuffle_forward",
    "prelu",
    "prelu_backward",
    "prelu_forward",
    "reference",
    "relu",
    "relu6",
    "relu_backward",
    "relu_forward",
    "rms_norm",
    "rms_norm_backward",
    "rms_norm_forward",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "sigmoid_backward",
    "sigmoid_forward",
    "silu",
    "smooth_l1_loss",
    "smooth_l1_loss_backward",
    "smooth_l1_loss_forward",
    "softmax",
    "softmax_backward",
    "softmax_forward",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanh_backward",
    "tanh_forward",
    "tanhshrink",
    "threshold",
    "unflatten_backward",
    "unflatten_forward",
    "unfold",
    "unfold_backward",
    "unfold_forward",
    "upsample",
    "upsample_backward",
    "upsample_forward",
]
