"""What everything else is built on: checks of arguments and sizes, paths, random numbers, threads, memory, bars."""

from . import archives, bars, checks, damage, html, limits, palette, paths, random, signals, text, writing
from .archives import *
from .bars import *
from .checks import *
from .damage import *
from .html import *
from .limits import *
from .memory import release as release_memory
from .palette import *
from .paths import *
from .random import *
from .signals import *
from .text import *
from .threads import available_cpus, blas_threads, cpu_quota, get_num_threads, set_num_threads, share_cpus
from .writing import *

__all__ = ["available_cpus", "blas_threads", "cpu_quota", "get_num_threads", "release_memory", "set_num_threads"]
__all__ += ["share_cpus"]
__all__ += archives.__all__
__all__ += bars.__all__
__all__ += checks.__all__
__all__ += damage.__all__
__all__ += html.__all__
__all__ += limits.__all__
__all__ += palette.__all__
__all__ += paths.__all__
__all__ += random.__all__
__all__ += signals.__all__
__all__ += text.__all__
__all__ += writing.__all__
