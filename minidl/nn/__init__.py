"""Layers, containers and losses: state on top of `minidl.functional`. Names and defaults are PyTorch's."""

from . import init as init
from .activation import *
from .container import *
from .conv import *
from .dropout import *
from .grad_mode import is_grad_enabled as is_grad_enabled
from .grad_mode import no_grad as no_grad
from .linear import Identity as Identity
from .linear import Linear as Linear
from .loss import *
from .module import Module as Module
from .normalization import *
from .parameter import Parameter as Parameter
from .pooling import *
from .shape import *
from .summary import Summary as Summary

__all__ = ["init", "is_grad_enabled", "no_grad"]
__all__ += [name for name in globals() if name[0].isupper()]
