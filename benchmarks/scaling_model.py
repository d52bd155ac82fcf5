"""What a data-parallel step takes: computing, meetings of the ranks, and sums over them, the largest the gradients'.

    step(n ranks, b samples on each) = fixed + b * each + meetings * meeting(n) + the sum of allreduce(n, bytes)

An exchange between two ranks takes latency + bytes / bandwidth. A meeting, a maximum of three integers, is made by
recursive doubling, an Allreduce by Rabenseifner's algorithm, a reduce-scatter by recursive halving and an allgather by
recursive doubling, as in MPICH. Their costs are those of Thakur, Rabenseifner and Gropp, "Optimization of collective
communication operations in MPICH", International Journal of High Performance Computing Applications 19 (2005), 49-66.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

SHORT = 256  # bytes, up to which an Allreduce has short messages only: MPICH over TCP waits twice for longer ones


@dataclass(frozen=True)
class Network:
    """A network between any two ranks.

    Attributes:
        short: seconds of an exchange of a few bytes.
        latency: seconds of a longer one, without what its bytes take.
        bandwidth: bytes per second, both ways at once.
        adding: bytes per second that a rank adds to others.
    """

    short: float
    latency: float
    bandwidth: float
    adding: float

    def meeting(self, ranks: int) -> float:
        """Return the seconds of an Allreduce of a few bytes: each round, partners at twice the distance exchange."""
        return self.short * (_rounds(ranks) + 2 * _folded(ranks))

    def allreduce(self, ranks: int, size: float) -> float:
        """Return the seconds of an Allreduce of some bytes."""
        rounds, latency = _rounds(ranks), self.short if size <= SHORT else self.latency
        moved = size * (1 - 2**-rounds)  # half of them, then a quarter, ...
        seconds = 2 * (rounds * latency + moved / self.bandwidth) + moved / self.adding
        if _folded(ranks):
            seconds += 2 * (latency + size / self.bandwidth) + size / self.adding
        return seconds


def _rounds(ranks: int) -> int:
    return ranks.bit_length() - 1


def _folded(ranks: int) -> bool:
    """Return whether some ranks first give theirs away, and get the result in the end: it is no power of two."""
    return bool(ranks & (ranks - 1))


@dataclass(frozen=True)
class Training:
    """The steps of a network.

    Attributes:
        fixed: seconds of a step without samples.
        each: seconds for each sample.
        meetings: of a step.
        sums: bytes of each.
    """

    fixed: float
    each: float
    meetings: int
    sums: Sequence[int]

    def seconds(self, ranks: int, samples: float, network: Network) -> float:
        """Return the seconds of a step with some samples on each rank."""
        seconds = self.fixed + samples * self.each
        if ranks > 1:
            seconds += self.meetings * network.meeting(ranks)
            seconds += sum(network.allreduce(ranks, size) for size in self.sums)
        return seconds

    def strong(self, ranks: int, batch: int, network: Network) -> float:
        """Return the speed-up: how much faster than on one rank a step is whose batch all ranks share."""
        return self.seconds(1, batch, network) / self.seconds(ranks, batch / ranks, network)

    def weak(self, ranks: int, samples: int, network: Network) -> float:
        """Return the speed-up: how many more samples per second, if each rank has as many in a step as one had."""
        return ranks * self.seconds(1, samples, network) / self.seconds(ranks, samples, network)


def pays_up_to(speed_up: Callable[[int], float], counts: Sequence[int], least: float = 0.5) -> int:
    """Return the largest of some numbers of ranks up to which speed-up / ranks is at least ``least``; or 1."""
    last = 1
    for ranks in counts:
        if speed_up(ranks) < least * ranks:
            break
        last = ranks
    return last


def line(x: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Return a, at least 0, and b of seconds = a + b * x, such that the relative errors are small."""
    xs, weights = np.asarray(x, float), 1 / np.asarray(seconds, float)
    b, a = np.polyfit(xs, seconds, 1, w=weights)
    if a < 0:
        a, b = 0.0, np.sum(xs * weights) / np.sum((xs * weights) ** 2)
    return float(a), float(b)
