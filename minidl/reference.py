"""The article's direct loops, corrected: slow, obvious, exact. They specify the fast functions and test them.

Nothing is vectorised and nothing is shared with the fast code, so that both cannot be wrong in the same way.
N batch, C input channels, F filters, H and W input size, OH and OW output size, KH and KW kernel size.
"""

from __future__ import annotations

import math

import numpy as np

from ._core import Array

__all__ = ["conv2d_backward", "conv2d_forward", "max_pool2d_backward", "max_pool2d_forward"]

Pair = tuple[int, int]
ConvCache = tuple[Array, Array, bool, Pair, Pair, Pair, int]
PoolCache = tuple[Array, list[tuple[int, int, int, int, int, int]], tuple[int, ...]]


def conv2d_forward(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> tuple[Array, ConvCache]:
    """Convolve, with seven nested loops.

    out[n, f, oh, ow] = b[f] + sum over c, kh, kw of
    w[f, c, kh, kw] * x_padded[n, c, oh*SH + kh*DH, ow*SW + kw*DW], c running over f's group.

    Args:
        x: input (N, C, H, W).
        w: filters (F, C/groups, KH, KW).
        b: bias (F,), or None.
        stride, padding, dilation: (height, width).
        groups: channels and filters are split into this many independent groups.

    Returns:
        out (N, F, OH, OW), and the cache for `conv2d_backward`.
    """
    n_images, _, h, wd = x.shape
    n_filters, group_channels, kh, kw = w.shape
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    oh = (h + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    ow = (wd + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    out = np.zeros((n_images, n_filters, oh, ow), x.dtype)
    for n in range(n_images):
        for f in range(n_filters):
            first_channel = f // (n_filters // groups) * group_channels
            for r in range(oh):
                for s in range(ow):
                    total = 0.0 if b is None else float(b[f])
                    for c in range(group_channels):
                        for i in range(kh):
                            for j in range(kw):
                                y, z = r * sh + i * dh - ph, s * sw + j * dw - pw
                                if 0 <= y < h and 0 <= z < wd:
                                    total += float(x[n, first_channel + c, y, z]) * float(w[f, c, i, j])
                    out[n, f, r, s] = total
    return out, (x, w, b is not None, stride, padding, dilation, groups)


def conv2d_backward(grad_output: Array, cache: ConvCache) -> tuple[Array, Array, Array | None]:
    """Send each output's gradient back to every input, weight and bias that contributed to it.

    Args:
        grad_output: gradient of the output, (N, F, OH, OW).
        cache: from `conv2d_forward`.

    Returns:
        (dx, dw, db) in the shapes of x, w and b; db is None when there was no bias.
    """
    x, w, has_bias, (sh, sw), (ph, pw), (dh, dw_), groups = cache
    _, _, h, wd = x.shape
    n_filters, group_channels, kh, kw = w.shape
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(n_filters)
    for n in range(grad_output.shape[0]):
        for f in range(n_filters):
            first_channel = f // (n_filters // groups) * group_channels
            for r in range(grad_output.shape[2]):
                for s in range(grad_output.shape[3]):
                    g = float(grad_output[n, f, r, s])
                    db[f] += g
                    for c in range(group_channels):
                        for i in range(kh):
                            for j in range(kw):
                                y, z = r * sh + i * dh - ph, s * sw + j * dw_ - pw
                                if 0 <= y < h and 0 <= z < wd:
                                    dx[n, first_channel + c, y, z] += g * w[f, c, i, j]
                                    dw[f, c, i, j] += g * x[n, first_channel + c, y, z]
    return dx.astype(x.dtype), dw.astype(w.dtype), db.astype(w.dtype) if has_bias else None


def max_pool2d_forward(
    x: Array,
    kernel_size: Pair,
    *,
    stride: Pair,
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    ceil_mode: bool = False,
) -> tuple[Array, PoolCache]:
    """Take the maximum of each window, with loops; padding never wins, the first of equal values does.

    Args:
        x: input (N, C, H, W).
        kernel_size, stride, padding, dilation: (height, width).
        ceil_mode: round the output size up; the last window may extend past the end, but must start before it.

    Returns:
        out (N, C, OH, OW), and the cache for `max_pool2d_backward`.
    """
    sizes = []
    for axis in (0, 1):
        room = x.shape[2 + axis] + 2 * padding[axis] - dilation[axis] * (kernel_size[axis] - 1) - 1
        count = (math.ceil if ceil_mode else math.floor)(room / stride[axis]) + 1
        if ceil_mode and (count - 1) * stride[axis] >= x.shape[2 + axis] + padding[axis]:
            count -= 1
        sizes.append(count)
    out = np.empty((x.shape[0], x.shape[1], sizes[0], sizes[1]), x.dtype)
    winners = []
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for r in range(sizes[0]):
                for s in range(sizes[1]):
                    best, where = -math.inf, None
                    for i in range(kernel_size[0]):
                        for j in range(kernel_size[1]):
                            y = r * stride[0] + i * dilation[0] - padding[0]
                            z = s * stride[1] + j * dilation[1] - padding[1]
                            if not (0 <= y < x.shape[2] and 0 <= z < x.shape[3]):
                                continue
                            if where is None or x[n, c, y, z] > best:
                                best, where = float(x[n, c, y, z]), (y, z)
                    out[n, c, r, s] = best
                    if where is not None:
                        winners.append((n, c, r, s, *where))
    return out, (out, winners, x.shape)


def max_pool2d_backward(grad_output: Array, cache: PoolCache) -> Array:
    """Add each output's gradient to the input that won its window; overlapping windows add up.

    Args:
        grad_output: gradient of the output, (N, C, OH, OW).
        cache: from `max_pool2d_forward`.

    Returns:
        dx (N, C, H, W).
    """
    out, winners, shape = cache
    dx = np.zeros(shape, out.dtype)
    for n, c, r, s, y, z in winners:
        dx[n, c, y, z] += grad_output[n, c, r, s]
    return dx
