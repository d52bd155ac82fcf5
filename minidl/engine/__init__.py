"""How it is computed: the only part that knows about memory layout, threads and recycled memory.

Arrays enter and leave in the shape (N, C, H, W). Other parts import the functions listed here and nothing else.
"""

from .bound import Room, Step, laid_out, linear, perform, scaled
from .choice import ENGINES, Engine, current_engine, get_engine, set_engine
from .elementwise import in_pieces, kept_unless, multiply, select
from .erf import erf
from .im2col import col2im, im2col
from .layout import empty, empty_like, flatten
from .normalising import Joint
from .product import product, resample
from .sums import sum_over
from .window import Geometry, correlation_geometry, offsets, output_size, window_geometry

__all__ = [
    "ENGINES",
    "Engine",
    "Geometry",
    "Joint",
    "Room",
    "Step",
    "col2im",
    "correlation_geometry",
    "current_engine",
    "empty",
    "empty_like",
    "erf",
    "flatten",
    "get_engine",
    "im2col",
    "in_pieces",
    "kept_unless",
    "laid_out",
    "linear",
    "multiply",
    "offsets",
    "output_size",
    "perform",
    "product",
    "resample",
    "scaled",
    "select",
    "set_engine",
    "sum_over",
    "window_geometry",
]
