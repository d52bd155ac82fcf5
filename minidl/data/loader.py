"""DataLoader: batches of a dataset, in order or shuffled, transformed, and prefetched in a thread if wanted."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .._core import Array, check_flag, check_int, class_hint, default_rng, described
from ..distributed import check_comm, group_of
from ..distributed.shares import share
from ..nn.structure import rebuild
from .collate import DatasetLike, check_dataset
from .dataset import Batch, batch_of
from .naming import named
from .prefetching import prefetched
from .sampling import Sampler
from .transforms import Transform

__all__ = ["DataLoader"]


class DataLoader:
    """Batches of a dataset. It can be iterated as often as you like, in a new order each time if it shuffles.

    Each pass draws one seed. The order follows from the seed, the random numbers of the transform from the seed and the
    batch's number, so batches are the same with and without prefetching, and a pass can be resumed where it stopped.

    Args:
        dataset: a `Dataset`, or any object with ``__len__`` and ``__getitem__``, such as one of PyTorch's.
        batch_size: number of samples in a batch; the last batch may be smaller.
        shuffle: draw a new order for each pass.
        sampler: decides which samples a pass visits, instead of shuffle; see `minidl.data.sampling`.
        drop_last: leave out the last batch if it is smaller.
        rng: generator for the seeds; None means minidl's own, see `minidl.manual_seed`.
        transform: a `minidl.data.transforms.Transform`, or a function of the first array of each batch (the images)
            that returns its replacement.
        prefetch: number of batches that a thread prepares in advance; 0 for no thread.
        comm: a communicator of mpi4py, whose ranks share out each batch: ``batch_size`` is that of all of them, the
            order is rank 0's, and each rank gets its part of every batch, the last one too. Every rank must iterate. A
            Trainer with a ``comm`` does this with any loader; only a loop of your own needs it.
        num_workers, pin_memory: PyTorch's; without effect here, where `prefetch` prepares batches in advance.

    Warns:
        UserWarning: num_workers or pin_memory is given and asks for something.

    Yields:
        Tuples of arrays, as the dataset's `batch` gives them: usually (images (N, C, H, W), labels (N,)); dicts of
        arrays if the samples are dicts; and tuples or dicts in a tuple, if the samples have them.

    Raises:
        ValueError: the dataset is empty, batch_size is less than 1, or both shuffle and sampler are given; there are
            more ranks than samples in a batch.
        TypeError: an argument has the wrong type.
    """

    def __init__(
        self,
        dataset: DatasetLike,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Sampler | None = None,
        *,
        drop_last: bool = False,
        rng: np.random.Generator | None = None,
        transform: Transform | Callable[[Array], Array] | None = None,
        prefetch: int = 0,
        comm: Any = None,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        if len(check_dataset("DataLoader", dataset)) == 0:
            raise ValueError("DataLoader: the dataset is empty")
        if transform is not None and (not callable(transform) or isinstance(transform, type)):
            raise TypeError(
                "DataLoader: transform must be a function of a batch of images, got "
                f"{described(transform)}{class_hint(transform)}"
            )
        if sampler is not None and not isinstance(sampler, Sampler):
            raise TypeError(f"DataLoader: sampler must be a Sampler, got {sampler!r}")
        if check_int("DataLoader", "num_workers", num_workers, minimum=0) or check_flag(
            "DataLoader", "pin_memory", pin_memory
        ):
            warnings.warn(
                "DataLoader: num_workers and pin_memory have no effect: minidl starts no processes, and knows one "
                "device; prefetch=2 prepares two batches in advance, in a thread",
                UserWarning,
                stacklevel=2,
            )
        self.dataset = dataset
        self.batch_size = check_int("DataLoader", "batch_size", batch_size)
        self.shuffle = check_flag("DataLoader", "shuffle", shuffle)
        self.drop_last = check_flag("DataLoader", "drop_last", drop_last)
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: give either shuffle or sampler; a sampler decides the order")
        if rng is not None:
            with named("DataLoader"):
                default_rng(rng)
        self.rng, self.transform, self.sampler = rng, transform, sampler
        self.prefetch = check_int("DataLoader", "prefetch", prefetch, minimum=0)
        self.comm = check_comm("DataLoader", comm)
        self._whole_batches = False  # whether a rank takes some of the batches, and not its part of each
        self._check_shares()
        self._position = (0, 0)  # of the current pass: its seed and the number of batches yielded
        self._resume: tuple[int, int] | None = None  # where the next pass begins; None: at its start, with a new seed

    def __len__(self) -> int:
        """Return the number of batches in a pass."""
        return len(self._numbers())

    def _batches(self) -> int:
        """Return the number of batches in a pass of all ranks."""
        samples = len(self.dataset if self.sampler is None else self.sampler)
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def __repr__(self) -> str:
        options: dict[str, Any] = {"batch_size": self.batch_size, "shuffle": self.shuffle, "sampler": self.sampler}
        options |= {"drop_last": self.drop_last, "transform": self.transform, "prefetch": self.prefetch}
        given = "".join(f", {name}={value!r}" for name, value in options.items() if value)
        return f"DataLoader({self.dataset!r}{given}: {len(self):,} batches)"

    def _numbers(self) -> range:
        """Return the numbers of the batches of a pass."""
        count = self._batches()
        own = share(count, *self._rank_of()) if self._whole_batches else slice(0, count)
        return range(own.start, own.stop)

    def _rank_of(self) -> tuple[int, int]:
        """Return this process's rank, and how many there are."""
        return (0, 1) if self.comm is None else (self.comm.rank, self.comm.size)

    def _of_rank(self, comm: Any, *, whole_batches: bool = False) -> DataLoader:
        """Return a loader of the same batches for one of several ranks: its part of each, or some of them as they are.

        Raises:
            ValueError: there are more ranks than samples in a batch.
        """
        own = copy.copy(self)
        own.comm, own._whole_batches = comm, whole_batches
        own._check_shares()
        return own

    def _check_shares(self) -> None:
        _, ranks = self._rank_of()
        samples = len(self.dataset if self.sampler is None else self.sampler)
        least = min(self.batch_size, samples)
        if self._whole_batches or least >= ranks:
            return
        what = f"the dataset has {samples} samples"
        if self.batch_size < ranks:
            what = f"batch_size is {self.batch_size}, that of all ranks together"
        raise ValueError(
            f"DataLoader: {what}, but there are {ranks} ranks, of which some would get nothing; make it larger, or "
            f"start fewer processes: mpiexec -n {least}"
        )

    def __iter__(self) -> Iterator[Batch]:
        random = self.shuffle or self.sampler is not None or isinstance(self.transform, Transform)
        if self._resume is not None:
            (seed, first), self._resume = self._resume, None
        else:
            seed, first = int(default_rng(self.rng).integers(2**63)) if random else 0, 0
            group = group_of(self.comm)
            seed = seed if group is None else group.from_first(seed, "an order of samples")
        order = self._order(seed)
        numbers = self._numbers()[first:]
        made = (self._batch(order, seed, number) for number in numbers)
        for number, batch in zip(numbers, prefetched(made, self.prefetch) if self.prefetch else made, strict=True):
            self._position = seed, number + 1
            yield batch
        self._position = 0, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the current pass, as plain data; the next batch is the one after the last yielded."""
        seed, done = self._position if self._resume is None else self._resume
        return {
            "seed": seed,
            "batch": done,
            "rng": None if self.rng is None else self.rng.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass resume where `state_dict` was taken, from a loader with the same arguments.

        Raises:
            ValueError: entries are missing, the pass has fewer batches, or only one of the two loaders has its own
                generator.
        """
        if missing := [name for name in ("seed", "batch", "rng") if name not in state]:
            raise ValueError(f"DataLoader: cannot load state: missing {', '.join(missing)}")
        if state["batch"] > self._batches() or (state["rng"] is None) != (self.rng is None):
            raise ValueError("DataLoader: cannot load state: it belongs to a different loader")
        if self.rng is not None:
            self.rng.bit_generator.state = state["rng"]
        self._position = int(state["seed"]), int(state["batch"])
        self._resume = self._position if self._position[1] else None

    def _order(self, seed: int) -> Array:
        rng = np.random.Generator(np.random.PCG64(seed))
        if self.sampler is not None:
            return self._checked(np.asarray(self.sampler.indices(rng)), len(self.sampler))
        return rng.permutation(len(self.dataset)) if self.shuffle else np.arange(len(self.dataset))

    def _checked(self, order: Array, count: int) -> Array:
        """Return what a sampler gave, if these are ``count`` indices of the dataset."""
        last = len(self.dataset) - 1
        wanted = f"DataLoader: the sampler must give {count} indices from 0 to {last}, got"
        if order.size and order.dtype.kind not in "iu":
            raise TypeError(f"{wanted} an array of {order.dtype}")
        if order.shape != (count,) or (order.size and not (order.min() >= 0 and order.max() <= last)):
            raise ValueError(
                f"{wanted} shape {order.shape}" + (f", {order.min()} to {order.max()}" if order.size else "")
            )
        return order

    def _batch(self, order: Array, seed: int, number: int) -> Batch:
        """Return a batch, or this rank's part of it."""
        chosen, stream = order[number * self.batch_size : (number + 1) * self.batch_size], [seed, number]
        rank, ranks = self._rank_of()
        if ranks == 1 or self._whole_batches:
            return self._transformed(chosen, stream)
        own = chosen[share(len(chosen), rank, ranks)]
        if not len(own):  # of a last batch of fewer samples than ranks
            return rebuild(self._transformed(chosen[:1], stream), lambda array: array[:0])
        return self._transformed(own, [*stream, rank])

    def _transformed(self, chosen: Array, stream: list[int]) -> Batch:
        """Return samples, transformed by random numbers that follow from ``stream``."""
        batch = batch_of(self.dataset, chosen)
        if self.transform is not None and not (isinstance(batch, (tuple, list)) and hasattr(batch[0], "__array__")):
            kind = type(batch[0] if isinstance(batch, (tuple, list)) else batch).__name__
            where = " first" if isinstance(batch, (tuple, list)) else ""
            raise TypeError(
                f"DataLoader: transform needs samples (image, ...), got a {kind}{where}; return a tuple from "
                "__getitem__, with the image first, or transform there"
            )
        if isinstance(self.transform, Transform):
            transformed = self.transform.apply(batch, np.random.Generator(np.random.PCG64(stream)))
        elif self.transform is not None:
            transformed = (self.transform(batch[0]), *batch[1:])
        else:
            return batch
        if np.shape(transformed[0])[:1] != np.shape(batch[0])[:1]:
            raise ValueError(
                f"DataLoader: transform must return {len(batch[0])} images, got shape {np.shape(transformed[0])}"
            )
        return transformed
