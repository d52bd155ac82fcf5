"""Layers, containers and losses; `functional` has their arithmetic. Names, arguments and defaults are PyTorch's."""

from . import functional as functional
from . import init as init
from . import tensor_methods as tensor_methods
from . import utils as utils
from .activation import *
from .adaptive_pool import *
from .average_pool import *
from .batch_norm import *
from .bilinear import *
from .container import *
from .conv import *
from .conv1d import *
from .conv_transpose import *
from .drawing import Drawing as Drawing
from .dropout import *
from .elementwise_loss import *
from .embedding import *
from .gated import *
from .label_loss import *
from .layer_norm import *
from .linear import *
from .local_response_norm import *
from .loss import Loss as Loss
from .max_pool import *
from .modes import is_grad_enabled as is_grad_enabled
from .modes import no_grad as no_grad
from .module import Module as Module
from .module_list import *
from .pad import *
from .parameter import Parameter as Parameter
from .piecewise import *
from .reshape import *
from .resize import *
from .smooth_activation import *
from .softmax import *
from .squeeze_excite import *
from .summary import Summary as Summary
from .sync_batch_norm import *
from .unfold import *

__all__ = ["convert_sync_batchnorm", "init", "is_grad_enabled", "no_grad", "utils"]
__all__ += [name for name in globals() if name[0].isupper()]
