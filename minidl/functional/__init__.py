"""The arithmetic: pure functions on arrays, in forward and backward pairs.

``*_forward(...)`` returns the output and a cache; ``*_backward(grad_output, cache)`` returns the gradients of the
inputs, in their order. No state, no classes to learn, usable alone. `reference` holds the direct loops.
"""

from . import reference
from .activation import *
from .conv import *
from .dropout import *
from .im2col import *
from .linear import *
from .loss import *
from .normalization import *
from .padding import *
from .pooling import *
from .resize import *
from .shape import *

__all__ = ["col2im", "im2col", "reference"]
__all__ += [name for name in globals() if name.endswith(("_forward", "_backward", "_indices"))]
