"""The compiled loops of pooling over contiguous (H, C, W, N) blocks: tap by tap, a row of windows at a time."""

from __future__ import annotations

from typing import Any

from .compiled import compiled
from .runs import add, copy, zero
from .vectors import load, store

__all__ = ["avg_pool", "avg_pool_grad", "max_pool", "max_pool_grad"]


@compiled
def _first(start: int, stride: int) -> int:
    """Return the first window whose input, start + o*stride, is not before the image."""
    return max(0, -(start // stride))


@compiled
def _count(start: int, stride: int, size: int, count: int) -> int:
    """Return how many of ``count`` windows begin before the image's end."""
    return max(0, min(count, (size - 1 - start) // stride + 1))


@compiled
def _maximum(x: int, step: int, out: int, runs: int, length: int, size: int, like: Any) -> None:
    """out = max(out, x) over runs of ``length``, ``step`` apart in x; NaN is larger than any number."""
    if step == length:
        runs, length = 1, runs * length
    if length == 1:
        for i in range(runs):
            a, b = load(x, i * step, like), load(out, i, like)
            store(out, i, b if (a <= b or b != b) else a)
        return
    for i in range(runs):
        source, target = x + size * i * step, out + size * i * length
        for k in range(length):
            a, b = load(source, k, like), load(target, k, like)
            store(target, k, b if (a <= b or b != b) else a)


@compiled
def max_pool(x: int, out: int, lowest: Any, h: int, c: int, w: int, n: int, oh: int, ow: int, kh: int, kw: int,
             sh: int, sw: int, top: int, left: int, dh: int, dw: int, begin: int, end: int, size: int,
             like: Any) -> None:  # fmt: skip
    """Fill the rows of windows from ``begin`` to ``end``."""
    row, line = c * w * n, w * n
    for r in range(begin, end):
        for f in range(c):
            target = out + size * (r * c + f) * ow * n
            for k in range(ow * n):
                store(target, k, lowest)
            for i in range(kh):
                at = r * sh + i * dh - top
                if at < 0 or at >= h:
                    continue
                for j in range(kw):
                    start = j * dw - left
                    first = _first(start, sw)
                    last = _count(start, sw, w, ow)
                    if last > first:
                        source = x + size * (at * row + f * line + (start + first * sw) * n)
                        _maximum(source, sw * n, target + size * first * n, last - first, n, size, like)


@compiled
def _take(x: int, step: int, best: int, rest: int, dx: int, runs: int, length: int, size: int, like: Any) -> None:
    """Give what is left of a window's gradient to x, if it is not less than the window's maximum."""
    if step == length:
        runs, length = 1, runs * length
    if length == 1:
        for i in range(runs):
            left = load(rest, i, like)
            takes = not (load(x, i * step, like) < load(best, i, like))
            store(dx, i * step, load(dx, i * step, like) + (left if takes else like))
            store(rest, i, like if takes else left)
        return
    for i in range(runs):
        source, target = x + size * i * step, dx + size * i * step
        most, remainder = best + size * i * length, rest + size * i * length
        for k in range(length):
            left = load(remainder, k, like)
            takes = not (load(source, k, like) < load(most, k, like))
            store(target, k, load(target, k, like) + (left if takes else like))
            store(remainder, k, like if takes else left)


@compiled
def _give(x: int, step: int, best: int, rest: int, dx: int, runs: int, length: int, size: int, like: Any) -> None:
    """Do what `_take` does where no other window reaches x: what was there is not added, but overwritten."""
    for i in range(runs):
        source, target = x + size * i * step, dx + size * i * step
        most, remainder = best + size * i * length, rest + size * i * length
        for k in range(length):
            left = load(remainder, k, like)
            takes = not (load(source, k, like) < load(most, k, like))
            store(target, k, left if takes else like)
            store(remainder, k, like if takes else left)


@compiled
def _zero_rows(dx: int, begin: int, end: int, row: int, line: int, first: int, last: int, size: int, like: Any) -> None:
    for r in range(begin, end):
        zero(dx + size * (r * row + first * line), (last - first) * line, like)


@compiled
def max_pool_grad(g: int, x: int, out: int, dx: int, rest: int, h: int, c: int, w: int, n: int, oh: int, ow: int,
                  kh: int, kw: int, sh: int, sw: int, top: int, left: int, dh: int, dw: int, begin: int, end: int,
                  size: int, like: Any) -> None:  # fmt: skip
    """Fill the channels from ``begin`` to ``end``; ``rest`` is room for a row of windows."""
    row, line = c * w * n, w * n
    tiled = kh == sh and kw == sw and dh == 1 and dw == 1 and top == 0 and left == 0 and oh * kh <= h and ow * kw <= w
    done = 0
    for r in range(oh):
        until = (r + 1) * kh if tiled else min(h, max(done, r * sh - top + (kh - 1) * dh + 1))
        if not tiled:
            _zero_rows(dx, done, until, row, line, begin, end, size, like)
        done = until
        for f in range(begin, end):
            at_window = size * (r * c + f) * ow * n
            copy(g + at_window, n, rest, n, ow, n, size, like)
            for i in range(kh):
                at = r * sh + i * dh - top
                if at < 0 or at >= h:
                    continue
                if tiled:
                    zero(dx + size * (at * row + f * line + ow * kw * n), (w - ow * kw) * n, like)
                for j in range(kw):
                    start = j * dw - left
                    first = _first(start, sw)
                    last = _count(start, sw, w, ow)
                    if tiled:
                        place = size * (at * row + f * line + j * n)
                        _give(x + place, sw * n, out + at_window, rest, dx + place, ow, n, size, like)
                    elif last > first:
                        place = size * (at * row + f * line + (start + first * sw) * n)
                        there = size * first * n
                        _take(x + place, sw * n, out + at_window + there, rest + there, dx + place, last - first, n,
                              size, like)  # fmt: skip
    _zero_rows(dx, done, h, row, line, begin, end, size, like)


@compiled
def avg_pool(x: int, divisor: int, out: int, h: int, c: int, w: int, n: int, oh: int, ow: int, kh: int, kw: int,
             sh: int, sw: int, top: int, left: int, dh: int, dw: int, begin: int, end: int, size: int,
             like: Any) -> None:  # fmt: skip
    """Fill the rows of windows from ``begin`` to ``end``; divisor is (OH, OW)."""
    row, line = c * w * n, w * n
    for r in range(begin, end):
        for f in range(c):
            target = out + size * (r * c + f) * ow * n
            zero(target, ow * n, like)
            for i in range(kh):
                at = r * sh + i * dh - top
                if at < 0 or at >= h:
                    continue
                for j in range(kw):
                    start = j * dw - left
                    first = _first(start, sw)
                    last = _count(start, sw, w, ow)
                    if last > first:
                        source = x + size * (at * row + f * line + (start + first * sw) * n)
                        add(source, sw * n, target + size * first * n, n, last - first, n, size, like)
            for o in range(ow):
                by = load(divisor, r * ow + o, like)
                for k in range(n):
                    store(target, o * n + k, load(target, o * n + k, like) / by)


@compiled
def avg_pool_grad(g: int, divisor: int, dx: int, rest: int, h: int, c: int, w: int, n: int, oh: int, ow: int,
                  kh: int, kw: int, sh: int, sw: int, top: int, left: int, dh: int, dw: int, begin: int, end: int,
                  size: int, like: Any) -> None:  # fmt: skip
    """Fill the channels from ``begin`` to ``end``; ``rest`` is room for a row of windows."""
    row, line = c * w * n, w * n
    done = 0
    for r in range(oh):
        until = min(h, max(done, r * sh - top + (kh - 1) * dh + 1))
        _zero_rows(dx, done, until, row, line, begin, end, size, like)
        done = until
        for f in range(begin, end):
            at_window = size * (r * c + f) * ow * n
            for o in range(ow):
                by = load(divisor, r * ow + o, like)
                for k in range(n):
                    store(rest, o * n + k, load(g + at_window, o * n + k, like) / by)
            for i in range(kh):
                at = r * sh + i * dh - top
                if at < 0 or at >= h:
                    continue
                for j in range(kw):
                    start = j * dw - left
                    first = _first(start, sw)
                    last = _count(start, sw, w, ow)
                    if last > first:
                        target = dx + size * (at * row + f * line + (start + first * sw) * n)
                        add(rest + size * first * n, n, target, sw * n, last - first, n, size, like)
    _zero_rows(dx, done, h, row, line, begin, end, size, like)
