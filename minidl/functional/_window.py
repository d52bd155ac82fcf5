"""Sliding windows along one axis: how many there are, and which inputs a kernel offset meets.

With size H, padding P before and after, dilation D, kernel K and stride S an axis has

    OH = floor((H + P_before + P_after - D*(K - 1) - 1) / S) + 1

windows; window ``o`` meets input ``o*S + k*D - P_before`` at kernel offset ``k``. What does not fit a whole
window at the end is dropped: it is not read, and its gradient is zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .._core import IntPair, check_choice, check_pair

__all__ = ["Geometry", "Pads", "offsets", "output_size", "resolve_padding", "span"]

Pads = tuple[tuple[int, int], tuple[int, int]]
Pair = tuple[int, int]


class Geometry(NamedTuple):
    """The options of a correlation: (height, width) pairs, ``before`` being the padding above and to the left.

    Padding may be negative: the first windows then begin inside the image. How much there is at the end follows from
    the number of windows.
    """

    stride: Pair
    before: Pair
    dilation: Pair
    groups: int


def resolve_padding(owner: str, padding: IntPair | str, kernel: Pair, stride: Pair, dilation: Pair) -> Pads:
    """Return ((top, bottom), (left, right)) for an int, a pair, 'valid' or 'same'.

    'same' pads D*(K-1) in total, the smaller half first, as PyTorch does, so that the output has the input's
    size; it needs stride 1.
    """
    if not isinstance(padding, str):
        ph, pw = check_pair(owner, "padding", padding, minimum=0)
        return (ph, ph), (pw, pw)
    if check_choice(owner, "padding", padding, ("same", "valid")) == "valid":
        return (0, 0), (0, 0)
    if stride != (1, 1):
        raise ValueError(f"{owner}: padding='same' needs stride 1, got stride {stride}")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    top, left = totals[0] // 2, totals[1] // 2
    return (top, totals[0] - top), (left, totals[1] - left)


def output_size(size: Pair, kernel: Pair, stride: Pair, pads: Pads, dilation: Pair, *, ceil_mode: bool = False) -> Pair:
    """Return (OH, OW), the number of windows along both axes.

    Args:
        size: input height and width.
        kernel, stride, dilation: (height, width) each.
        pads: ((top, bottom), (left, right)).
        ceil_mode: round up instead of down, unless the last window would start in the padding at the end.

    Raises:
        ValueError: not one window fits.
    """
    result = []
    for n, k, s, (before, after), d in zip(size, kernel, stride, pads, dilation, strict=True):
        room = n + before + after - d * (k - 1) - 1
        count = (room + s - 1 if ceil_mode else room) // s + 1
        if ceil_mode and (count - 1) * s >= n + before:
            count -= 1
        result.append(count)
    if min(result) < 1:
        spread = "" if dilation == (1, 1) else f" with dilation {dilation}"
        padded = (size[0] + sum(pads[0]), size[1] + sum(pads[1]))
        raise ValueError(f"kernel {kernel}{spread} is larger than the padded input {padded} (input {size})")
    return result[0], result[1]


def span(start: int, stride: int, size: int, count: int) -> tuple[slice, slice]:
    """Return (windows, inputs) for one kernel offset along one axis, leaving the padding out.

    Window ``o`` of ``count`` meets input ``start + o*stride``; both slices cover the windows for which that
    lies in [0, size).
    """
    first = max(0, -(start // stride))
    last = min(count, (size - 1 - start) // stride + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    begin = start + first * stride
    return slice(first, last), slice(begin, begin + (last - first - 1) * stride + 1, stride)


def offsets(
    size: Pair, kernel: Pair, stride: Pair, pads: Pads, dilation: Pair, count: Pair
) -> Iterator[tuple[int, int, slice, slice, slice, slice]]:
    """Yield (i, j, window rows, window columns, input rows, input columns) for each kernel offset.

    In row-major order of (i, j); offsets that meet nothing but padding are left out.
    """
    columns = [span(j * dilation[1] - pads[1][0], stride[1], size[1], count[1]) for j in range(kernel[1])]
    for i in range(kernel[0]):
        rows, in_rows = span(i * dilation[0] - pads[0][0], stride[0], size[0], count[0])
        for j, (cols, in_cols) in enumerate(columns):
            if rows.stop > rows.start and cols.stop > cols.start:
                yield i, j, rows, cols, in_rows, in_cols
