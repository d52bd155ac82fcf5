"""``minidl.functional``: another name of the module `minidl.nn.functional`."""

import sys

from .nn import functional
from .nn.functional import *

sys.modules[__name__] = functional
