"""Sharing: the ranks of a fit share out its batches, and put together what they have measured and predicted."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from ..data import DataLoader
from ..distributed import Group
from ..distributed.shares import share
from ..nn.structure import leaves, rebuild
from .batches import count_batches

__all__ = ["merged", "merged_states", "own_batches", "shared", "uncut"]

AnyMeter = TypeVar("AnyMeter", bound=Any)


def shared(group: Group | None, batches: Any) -> Any:
    """Return this rank's part of every batch, for training.

    A DataLoader reads nothing else; other batches must be the same on every rank, and are cut.

    Raises:
        ValueError: there are more ranks than samples in a batch; or a loader shares out the samples already.
    """
    if group is None:
        return batches
    if isinstance(batches, DataLoader):
        return batches._of_rank(group.comm)
    sampler = getattr(batches, "sampler", None)
    if type(sampler).__name__ == "DistributedSampler":
        raise ValueError(
            "Trainer: the loader has a DistributedSampler, which shares out the samples, as the Trainer does already: "
            "give a loader of all samples, with the batch_size of all ranks together"
        )
    return (_Cut if count_batches(batches) is None else _CutList)(group, batches)


class _Cut:
    """This rank's part of each of some batches that are the same on every rank."""

    def __init__(self, group: Group, batches: Any) -> None:
        self._group, self._batches = group, batches

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._batches, name)  # its state, if it has one

    def __iter__(self) -> Iterator[Any]:
        for batch in self._batches:
            self._check(batch)
            yield rebuild(batch, self._part)

    def _part(self, leaf: Any) -> Any:
        return leaf[share(len(leaf), self._group.rank, self._group.size)] if np.ndim(leaf) else leaf

    def _check(self, batch: Any) -> None:
        """Raise ValueError on every rank if they have different batches, which no cutting makes one."""
        found = self._group.gather(np.array([_checksum(batch)]))[:, 0]
        if (found != found[0]).any():
            other = int(np.argmax(found != found[0]))
            raise ValueError(
                f"Trainer.fit: rank {other} has another batch than rank 0: its batches are in an order of their own; "
                "give arrays, a dataset or minidl's DataLoader, or let every rank shuffle alike"
            )


def uncut(batches: Any) -> Any:
    """Return the whole batches of which `shared` gives parts."""
    return batches._batches if isinstance(batches, _Cut) else batches


class _CutList(_Cut):
    """The same, if it is known how many batches there are."""

    def __len__(self) -> int:
        return len(self._batches)


def _checksum(batch: Any) -> int:
    checksum = 0
    for leaf in leaves(batch):
        array = np.ascontiguousarray(leaf)
        checksum = zlib.crc32(repr((array.shape, array.dtype.str)).encode(), checksum)
        checksum = zlib.crc32(array.reshape(-1).view(np.uint8).data, checksum)
    return checksum


class own_batches:
    """The batches of which this rank evaluates all samples: with one rank, all of them.

    As they are, so that each has the size, and each output the bits, that it would have with one rank.

    Args:
        group: the ranks; None: one.
        batches: all of them.

    Attributes:
        numbers: those of the batches that were given so far.
    """

    def __init__(self, group: Group | None, batches: Any) -> None:
        self.numbers: list[int] = []
        self._chosen: Callable[[int], bool] | None = None
        self._batches, self._count = batches, count_batches(batches)
        self._first = 0
        if group is None:
            return
        if isinstance(batches, DataLoader):
            whole = batches._batches()
            self._batches = batches._of_rank(group.comm, whole_batches=True)
            self._count, self._first = len(self._batches), share(whole, group.rank, group.size).start
        elif self._count is not None:
            part = share(self._count, group.rank, group.size)
            self._chosen, self._count = (lambda number: part.start <= number < part.stop), part.stop - part.start
        else:
            self._chosen = lambda number: number % group.size == group.rank

    def __len__(self) -> int:
        if self._count is None:
            raise TypeError("batches without a length")
        return self._count

    def __iter__(self) -> Iterator[Any]:
        for number, batch in enumerate(self._batches, self._first):
            if self._chosen is None or self._chosen(number):
                self.numbers.append(number)
                yield batch


def merged(group: Group | None, meter: AnyMeter, new: Callable[[], AnyMeter]) -> AnyMeter:
    """Return a meter of what those of all ranks have measured.

    Args:
        group: the ranks; None: one.
        meter: this rank's.
        new: makes an empty one.
    """
    if group is None:
        return meter
    return merged_states(group.collect(meter.state_dict(), "measures"), new)


def merged_states(states: list[Any], new: Callable[[], AnyMeter]) -> AnyMeter:
    """Return a meter of what meters with these states have measured, in their order."""
    whole = new()
    for state in states:
        own = new()
        own.load_state_dict(state)
        whole.merge(own)
    return whole
