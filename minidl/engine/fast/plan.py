"""How a correlation is laid out for the compiled loops: the padded planes, and where each tap reads.

A piece of images is copied into planes in which every tap reads a run of numbers: with stride S the columns that a tap
reads are S apart, so columns are sorted into phases (column modulo S), and rows likewise. Then the output at
(oh, ow, n) reads, for tap (i, j, c),

    planes[phase of i, phase of j, c, oh + i*DH // SH, ow + j*DW // SW, n]

which is a constant distance from planes[.., oh, ow, n]: the tap's offset. So a correlation of any stride, dilation and
padding is the same loop over a list of offsets.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from ..window import Geometry

__all__ = ["PLAN", "Plan", "make_plan"]

# What the compiled loops read: all strides are numbers of elements.
_FIELDS = (
    *("images", "channels", "filters", "height", "width", "groups"),  # images: of the whole; the next two: of a group
    *("top", "left", "stride_h", "stride_w", "step_h", "step_w", "phases_h", "phases_w", "out_width", "taps"),
    *("kernel_h", "dilation_h"),
    *("slice", "rows", "plane_height", "plane_width"),  # images and rows at a time, and the planes that these need
    *("row", "channel", "phase_h", "phase_w", "size"),  # strides in the planes, and how many numbers these are
    *("line", "length"),  # of a run of outputs; rounded up to vectors
    *("by_rows", "direct"),  # whether a run is one row; whether taps read the images themselves
)
PLAN = np.dtype([(name, np.int64) for name in _FIELDS])

_CACHE = 2**19  # bytes of planes at a time
_FEWEST = 2  # rows in a piece, in rows that a tap reads
_SHORT = 4  # vectors: shorter rows are joined to one run


class Plan(NamedTuple):
    """The numbers of a correlation, and the taps' offsets."""

    numbers: Any
    taps: Any
    address: int  # of the taps
    size: int  # numbers in the planes, with what may be read beyond
    scratch: int  # numbers for the output of one piece


@lru_cache(maxsize=4096)
def make_plan(
    memory: tuple[int, ...], images: int, filters: int, geometry: Geometry, out: tuple[int, int],
    itemsize: int, lanes: int, tile: int = 1, parts: int = 1,
) -> Plan:  # fmt: skip
    """Lay out a correlation of ``images`` of the images in memory (H, C, W, N) with ``filters`` for each group.

    ``out`` is (OH, OW); with ``tile`` 2 whole tiles of 2 by 2 outputs are laid out in planes. ``parts`` is how many
    pieces are wanted at least, if that makes none of so few rows that filling the planes takes longer than it saves.
    """
    height, channels, width, column = memory
    (kh, kw), (sh, sw), (top, left), (dh, dw), groups = geometry
    channels //= groups
    gh, gw = gcd(sh, dh), gcd(sw, dw)
    phases_h = max(i * dh % sh for i in range(kh)) // gh + 1
    phases_w = max(j * dw % sw for j in range(kw)) // gw + 1
    reach_h, reach_w = (kh - 1) * dh // sh, (kw - 1) * dw // sw
    plane_width, line = -(-out[1] // tile) * tile + reach_w, out[1] * images
    row_bytes = channels * phases_h * phases_w * plane_width * images * itemsize
    wanted = max(_FEWEST * (reach_h + 1), -(-out[0] // parts))
    rows = max(1, min(out[0], wanted, _CACHE // row_bytes - reach_h))
    rows = -(-out[0] // -(-out[0] // rows))
    rows = -(-rows // tile) * tile
    plane_height = rows + reach_h
    inside = top == left == 0 and (out[0] - 1) * sh + (kh - 1) * dh < height and out[1] + (kw - 1) * dw <= width
    direct = tile == 1 and inside and sw == 1 and images == column and line % lanes == 0
    by_rows = tile > 1 or direct or line >= _SHORT * lanes or line % lanes == 0 or rows == 1
    if direct:
        channel, image_row = width * column, channels * groups * width * column
        row, phase_h, phase_w, size = image_row * sh, 0, 0, 0
        places = [i * dh * image_row + j * dw * column for i in range(kh) for j in range(kw)]
    else:
        row = plane_width * images
        phase_w = row if by_rows else row * plane_height
        channel = _spread(phase_w * phases_w, itemsize)
        phase_h = channel * channels
        row = phase_h * phases_h if by_rows else row
        size = row * plane_height if by_rows else phase_h * phases_h
        places = [
            i * dh % sh // gh * phase_h + i * dh // sh * row + j * dw % sw // gw * phase_w + j * dw // sw * images
            for i in range(kh)
            for j in range(kw)
        ]
    # in the order (KH, C, KW): neighbours read the same numbers, and those of a row of the kernel lie together
    of_rows = [places[i * kw : (i + 1) * kw] for i in range(kh)]
    taps = np.array(
        [place + c * channel for row_places in of_rows for c in range(channels) for place in row_places], np.int64
    )
    if not by_rows:
        line = (rows - 1) * row + line
    length = -(-line // lanes) * lanes
    numbers = np.zeros(1, PLAN)
    numbers[0] = (
        *(column, channels, filters, height, width, groups),
        *(top, left, sh, sw, gh, gw, phases_h, phases_w, out[1], len(taps)),
        *(kh, dh),
        *(images, rows, plane_height, plane_width),
        *(row, channel, phase_h, phase_w, size),
        *(line, length),
        *(by_rows, direct),
    )
    lines = rows if by_rows else 1
    return Plan(numbers, taps, taps.ctypes.data, size + 16 * lanes, lines * length * filters)


def _spread(step: int, itemsize: int) -> int:
    """Keep channels from lying a power of two apart, where they would share a few places of the cache."""
    return step + 128 // itemsize if step * itemsize % 2048 == 0 else step
