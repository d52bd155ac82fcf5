"""The compiled loops of softmax with cross-entropy, for predictions (N, C).

Samples are done some at a time, and the innermost loop is over them: where the batch is innermost in memory, as a
Linear leaves it, that is a loop over neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import compiled
from .functions import exp
from .vectors import cast, load, load_index, store

__all__ = ["ROOM", "SAMPLES", "cross_entropy", "cross_entropy_grad"]

SAMPLES = 64  # at a time
ROOM = 3 * SAMPLES  # float64 numbers that the loops need


@compiled
def _count_labels(labels: int, samples: int, classes: int, ignore: int) -> Any:
    """Return how many labels are not ignored; -1 if one of them is no class."""
    count = 0
    for n in range(samples):
        label = load_index(labels, n)
        if label != ignore:
            if label < 0 or label >= classes:
                return -1
            count += 1
    return count


@compiled
def cross_entropy(x: int, sample: int, channel: int, labels: int, weight: int, samples: int, classes: int, ignore: int,
                  smoothing: float, log_p: int, coefficients: int, to_sample: int, to_channel: int, losses: int,
                  room: int, size: int, like: Any) -> Any:  # fmt: skip
    """Fill log-probabilities, their coefficients and the losses; return how many labels count, -1 if one is no class.

    ``sample`` and ``channel`` are strides of x in numbers, ``to_sample`` and ``to_channel`` those of what is filled;
    labels are 64-bit; a ``weight`` of 0 stands for ones. What is multiplied by 0 is 0, whatever it is.
    """
    kept = _count_labels(labels, samples, classes, ignore)
    if kept < 0:
        return kept
    highest, summed, loss = room, room + 8 * SAMPLES, room + 16 * SAMPLES
    spread = smoothing / classes
    for first in range(0, samples, SAMPLES):
        count = min(SAMPLES, samples - first)
        source, target = x + size * first * sample, log_p + size * first * to_sample
        factors = coefficients + size * first * to_sample
        for k in range(count):
            store(highest, k, cast(-np.inf, like))
            store(summed, k, 0.0)
            store(loss, k, 0.0)
        for c in range(classes):
            at = source + size * c * channel
            for k in range(count):
                v, most = load(at, k * sample, like), load(highest, k, like)
                store(highest, k, v if v > most or v != v else most)
        for c in range(classes):
            at, to = source + size * c * channel, target + size * c * to_channel
            for k in range(count):
                v = load(at, k * sample, like) - load(highest, k, like)
                store(to, k * to_sample, v)
                store(summed, k, load(summed, k, 0.0) + exp(v))
        for k in range(count):
            store(summed, k, np.log(load(summed, k, 0.0)))
        for c in range(classes):
            to, factor = target + size * c * to_channel, factors + size * c * to_channel
            scale = load(weight, c, like) + 0.0 if weight else 1.0
            for k in range(count):
                label = load_index(labels, first + k)
                v = cast(load(to, k * to_sample, like) - load(summed, k, 0.0), like)
                store(to, k * to_sample, v)
                q = spread + (1.0 - smoothing if label == c else 0.0) if label != ignore else 0.0
                q = q * scale if q != 0.0 and scale != 0.0 else 0.0
                rounded = cast(q, like)
                store(factor, k * to_sample, rounded)
                if q != 0.0 and v != like:
                    store(loss, k, load(loss, k, 0.0) - rounded * v)
        for k in range(count):
            store(losses, first + k, cast(load(loss, k, 0.0), like))
    return kept


@compiled
def cross_entropy_grad(log_p: int, coefficients: int, sample: int, channel: int, samples: int, classes: int, scale: int,
                       each: bool, out: int, room: int, size: int, like: Any) -> None:  # fmt: skip
    """Fill (softmax * sum of coefficients - coefficients) * scale, laid out as log_p and the coefficients are.

    ``scale`` is where one number lies, or if ``each`` one for every sample, of which 0 makes 0 of anything.
    """
    for first in range(0, samples, SAMPLES):
        count = min(SAMPLES, samples - first)
        begin = size * first * sample
        for k in range(count):
            store(room, k, 0.0)
        for c in range(classes):
            at = coefficients + begin + size * c * channel
            for k in range(count):
                store(room, k, load(room, k, 0.0) + load(at, k * sample, like))
        for c in range(classes):
            place = begin + size * c * channel
            for k in range(count):
                all_of_them = cast(load(room, k, 0.0), like)
                p = exp(load(log_p + place, k * sample, like))
                share = all_of_them * p if all_of_them != like else like
                share = share if p != like else like
                factor = load(scale, first + k if each else 0, like)
                value = (share - load(coefficients + place, k * sample, like)) * factor
                store(out + place, k * sample, like if each and factor == like else value)
