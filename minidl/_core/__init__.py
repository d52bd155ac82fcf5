"""What everything else is built on: checks of arguments, paths, random numbers, threads, BLAS, recycled memory."""

from . import checks, paths, random
from .checks import *
from .memory import release as release_memory
from .paths import *
from .random import *
from .threads import available_cpus, blas_threads, cpu_quota, get_num_threads, set_num_threads

__all__ = ["available_cpus", "blas_threads", "cpu_quota", "get_num_threads", "release_memory", "set_num_threads"]
__all__ += checks.__all__
__all__ += paths.__all__
__all__ += random.__all__
