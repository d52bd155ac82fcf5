"""What everything else builds on: argument checks, random numbers, threads, BLAS's threads, and recycled memory."""

from .checks import *
from .memory import release as release_memory
from .random import *
from .threads import available_cpus, blas_threads, cpu_quota, get_num_threads, set_num_threads

__all__ = [
    "Array",
    "IntPair",
    "available_cpus",
    "blas_threads",
    "check_bias",
    "check_choice",
    "check_flag",
    "check_float",
    "check_grad",
    "check_images",
    "check_int",
    "check_number",
    "check_pair",
    "check_same_dtype",
    "check_sequences",
    "cpu_quota",
    "default_rng",
    "get_num_threads",
    "manual_seed",
    "plain",
    "release_memory",
    "remembered",
    "set_num_threads",
]
