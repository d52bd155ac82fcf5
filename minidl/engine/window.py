"""Sliding windows along one axis: how many there are, and which inputs a kernel offset meets.

With size H, padding P before and after, dilation D, kernel K and stride S an axis has

    OH = floor((H + P_before + P_after - D*(K - 1) - 1) / S) + 1

windows; window ``o`` meets input ``o*S + k*D - P_before`` at kernel offset ``k``. Inputs at the end that do not fill a
whole window are dropped: they are not read, and their gradient is zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .._core import IntPair, check_choice, check_int, check_pair, remembered

__all__ = ["Geometry", "correlation_geometry", "offsets", "output_size", "span", "window_geometry"]

Pair = tuple[int, int]


class Geometry(NamedTuple):
    """How windows lie on an image: (height, width) pairs; ``before`` is the padding above and to the left.

    Padding may be negative: the first windows then begin inside the image. The padding at the end follows from
    the number of windows. Groups are for correlations only.
    """

    kernel: Pair
    stride: Pair
    before: Pair
    dilation: Pair
    groups: int = 1


@remembered
def window_geometry(
    owner: str, kernel_size: IntPair, stride: IntPair | None = None, padding: IntPair = 0, dilation: IntPair = 1
) -> Geometry:
    """Check the options of windows with the same padding on both sides; a stride of None, or (), is the kernel size.

    Raises:
        TypeError, ValueError: an option is invalid; the message names ``owner`` and the option.
    """
    kernel = check_pair(owner, "kernel_size", kernel_size)
    unsaid = stride is None or (isinstance(stride, tuple) and not stride)
    strides = kernel if unsaid else check_pair(owner, "stride", stride)
    before = check_pair(owner, "padding", padding, minimum=0)
    return Geometry(kernel, strides, before, check_pair(owner, "dilation", dilation))


@remembered
def correlation_geometry(
    owner: str, kernel_size: IntPair, stride: IntPair, padding: IntPair | str, dilation: IntPair, groups: int
) -> tuple[Geometry, Pair]:
    """Check the options of a correlation; return its geometry and the padding at the bottom and the right.

    Padding may be 'valid' (none), or 'same': D*(K-1) in total, the smaller half first, as in PyTorch, so that the
    output is as large as the input; it needs stride 1.

    Raises:
        TypeError, ValueError: an option is invalid; the message names ``owner`` and the option.
    """
    checked = window_geometry(owner, kernel_size, stride, 0 if isinstance(padding, str) else padding, dilation)
    checked = checked._replace(groups=check_int(owner, "groups", groups))
    if not isinstance(padding, str) or check_choice(owner, "padding", padding, ("same", "valid")) == "valid":
        return checked, checked.before
    if checked.stride != (1, 1):
        raise ValueError(f"{owner}: padding='same' needs stride 1, got stride {checked.stride}")
    height, width = (d * (k - 1) for k, d in zip(checked.kernel, checked.dilation, strict=True))
    before = height // 2, width // 2
    return checked._replace(before=before), (height - before[0], width - before[1])


@remembered
def output_size(size: Pair, geometry: Geometry, after: Pair | None = None, ceil_mode: bool = False) -> Pair:
    """Return (OH, OW), the number of windows along both axes.

    Args:
        size: input height and width.
        geometry: how windows lie.
        after: the padding at the bottom and the right; None means the same as before.
        ceil_mode: round up instead of down, unless the last window would start in the padding at the end.

    Raises:
        ValueError: no window fits.
    """
    kernel, stride, before, dilation, _ = geometry
    after = before if after is None else after
    result = []
    for n, k, s, p, q, d in zip(size, kernel, stride, before, after, dilation, strict=True):
        room = n + p + q - d * (k - 1) - 1
        count = (room + s - 1 if ceil_mode else room) // s + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        result.append(count)
    if min(result) < 1:
        spread = "" if dilation == (1, 1) else f" with dilation {dilation}"
        padded = (size[0] + before[0] + after[0], size[1] + before[1] + after[1])
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


def offsets(size: Pair, geometry: Geometry, count: Pair) -> Iterator[tuple[int, int, slice, slice, slice, slice]]:
    """Yield (i, j, window rows, window columns, input rows, input columns) for each kernel offset.

    In row-major order of (i, j); offsets that meet only padding are skipped.

    Args:
        size: input height and width.
        geometry: how windows lie.
        count: the number of windows along both axes.
    """
    kernel, stride, before, dilation, _ = geometry
    columns = [span(j * dilation[1] - before[1], stride[1], size[1], count[1]) for j in range(kernel[1])]
    for i in range(kernel[0]):
        rows, in_rows = span(i * dilation[0] - before[0], stride[0], size[0], count[0])
        for j, (cols, in_cols) in enumerate(columns):
            if rows.stop > rows.start and cols.stop > cols.start:
                yield i, j, rows, cols, in_rows, in_cols
