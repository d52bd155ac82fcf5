"""Steps of data-parallel training, one side of one case on all its ranks.

    mpiexec -n N python -m mpi4py benchmarks/ranks.py minidl NET train BATCH     with minidl's Trainer
    mpiexec -n N python -m mpi4py benchmarks/ranks.py torch NET train BATCH      with DistributedDataParallel and gloo
    mpiexec -n N python -m mpi4py benchmarks/ranks.py share NET STEPS BATCH      where minidl's steps go, as JSON

BATCH is that of all ranks together. Rank 0 serves steps as worker.py does; with one rank there is no communication.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mpi4py import MPI

sys.path.insert(0, str(Path(__file__).parent))
import nets

BATCHES = 8  # of an epoch
NAP = 0.05  # seconds; waiting in MPI would take the core from the side whose turn it is, and so do many naps

Run = Callable[[int], list[Any]]


def samples(net: str, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels of an epoch, the same on every rank."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCHES * batch, *nets.shape(net)), dtype=np.float32)
    return x, rng.integers(0, 10, len(x))


def minidl_fit(net: str, batch: int, comm: MPI.Intracomm, clock: Callable[[], Any] = time.perf_counter) -> Run:
    """Return a function that runs steps in fits of a Trainer, and returns what a clock shows for each, with loading."""
    import minidl
    from minidl import nn, optim
    from minidl.data import ArrayDataset, DataLoader
    from minidl.training import Callback, Trainer

    class Watch(Callback):
        def on_epoch_start(self, trainer: Trainer) -> None:
            self.last = clock()

        def on_batch_end(self, trainer: Trainer) -> None:
            now = clock()
            shown.append(now - self.last)
            self.last = now

    minidl.manual_seed(0)
    model, shown = nets.build(net, nn), list[Any]()
    optimizer = optim.SGD(model.params(), lr=0.01, momentum=0.9)
    group = comm if comm.size > 1 else None
    loss_fn = nn.CrossEntropyLoss()
    trainer = Trainer(model, loss_fn, optimizer, callbacks=[Watch()], progress="none", comm=group)
    loader = DataLoader(ArrayDataset(*samples(net, batch)), batch, shuffle=True)

    def run(steps: int) -> list[float]:
        shown.clear()
        trainer.fit(loader, epochs=-(-steps // BATCHES))
        return shown[:steps]

    return run


def torch_fit(net: str, batch: int, comm: MPI.Intracomm) -> Run:
    """Return a function that runs steps of PyTorch, and returns their seconds."""
    import torch
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    if comm.size > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = comm.bcast(free.getsockname()[1])
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
        distributed.init_process_group("gloo", rank=comm.rank, world_size=comm.size)
    torch.manual_seed(0)
    model, loss_fn = nets.build(net, torch.nn), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    if comm.size > 1:  # running statistics stay those of each rank, as minidl's do
        model = DistributedDataParallel(model, forward_sync_buffers=False)
    x, labels = map(torch.from_numpy, samples(net, batch))
    order = torch.Generator().manual_seed(0)

    def batches() -> Iterator[Any]:
        while True:
            for chosen in torch.randperm(len(x), generator=order).split(batch):
                yield chosen[comm.rank * batch // comm.size : (comm.rank + 1) * batch // comm.size]

    endless = batches()

    def run(steps: int) -> list[float]:
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            chosen = next(endless)
            optimizer.zero_grad()
            loss = loss_fn(model(x[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
            loss.item()
            seconds.append(time.perf_counter() - start)
        return seconds

    return run


class TimedComm(MPI.Intracomm):
    """A communicator that adds up the seconds of sums, such as the gradients', and of the meetings before them."""

    spent = np.zeros(3)  # seconds in sums and in meetings, and how many meetings
    sizes: ClassVar[list[int]] = []  # bytes of the sums of a step

    def Allreduce(self, *args: Any, **options: Any) -> None:
        """Sum up, and add the seconds."""
        start = time.perf_counter()
        super().Allreduce(*args, **options)
        self.spent[0] += time.perf_counter() - start
        self.sizes.append(args[1].nbytes)

    def Iallreduce(self, *args: Any, **options: Any) -> TimedRequest:
        """Begin a meeting."""
        return TimedRequest(super().Iallreduce(*args, **options))


class TimedRequest(MPI.Request):
    """A meeting that adds the seconds in which it was waited for."""

    def Wait(self, status: Any = None) -> Any:
        """Wait, and add the seconds."""
        start = time.perf_counter()
        done = super().Wait(status)
        TimedComm.spent[1:] += time.perf_counter() - start, 1
        return done


def share(net: str, steps: int, batch: int) -> dict[str, Any]:
    """Return of each step the seconds (all, in sums, in meetings) and how many meetings; and the bytes of the sums."""
    sums: list[int] = []

    def clock() -> np.ndarray:
        sums[:], TimedComm.sizes[:] = TimedComm.sizes, []
        return np.array([time.perf_counter(), *TimedComm.spent])

    run = minidl_fit(net, batch, TimedComm(MPI.COMM_WORLD), clock)
    run(BATCHES)
    return {"steps": [list(row) for row in run(steps)], "sums": sums}


def serve(run: Run, comm: MPI.Intracomm) -> None:
    """Run steps on all ranks as rank 0 is told to; at the end of its input print its peak memory."""
    if comm.rank > 0:
        while steps := _told(comm):
            run(steps)
        return
    for line in sys.stdin:
        _tell(comm, int(line))
        print(json.dumps(run(int(line))), flush=True)
    _tell(comm, 0)
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024), flush=True)


def _tell(comm: MPI.Intracomm, steps: int) -> None:
    for rank in range(1, comm.size):
        comm.send(steps, rank)
    comm.Barrier()


def _told(comm: MPI.Intracomm) -> int:
    while not comm.iprobe(source=0):
        time.sleep(NAP)
    steps: int = comm.recv(source=0)
    comm.Barrier()
    return steps


def main() -> None:
    """Do what the command line says."""
    side, net, task, batch = sys.argv[1:5]
    comm = MPI.COMM_WORLD
    if side == "share":
        found = share(net, int(task), int(batch))
        if comm.rank == 0:
            print(json.dumps(found))
        return
    serve({"minidl": minidl_fit, "torch": torch_fit}[side](net, int(batch), comm), comm)


if __name__ == "__main__":
    main()
