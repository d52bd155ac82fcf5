"""Errors on one rank, ranks that are not alike, bad input: what each rank raises, and whether all can go on."""

from functools import partial

import numpy as np

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader, Dataset
from minidl.training import Trainer, alike
from minidl.training.callbacks import LearningRateMonitor
from minidl.training.metrics import Metric

from . import check
from .problems import Fresh
from .small import At, arrays, fit, raised, small_net, trainer_of
from .stopping import HOOKS, on_last


def and_on(comm, function):
    """What a function raises on this rank; and whether all ranks can train together afterwards."""
    error = raised(function)
    comm.Barrier()
    history = fit(trainer_of(comm), epochs=1)
    return [error, len(history)]


def broken(_):
    raise ValueError("broken here")


def in_a_hook(hook, comm):
    trainer = trainer_of(comm, callbacks=[At(hook, on_last(comm, broken))])
    return and_on(comm, lambda: fit(trainer, val=arrays(9)))


for hook in HOOKS:
    check(2, name=f"error in {hook}")(partial(in_a_hook, hook))


class Broken(Dataset):
    """A dataset of which a sample cannot be read."""

    def __init__(self, last):
        self.arrays, self._last = arrays(), last

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, index):
        if self._last and index == 20:
            raise OSError("sample 20 cannot be read")
        return self.arrays[0][index], self.arrays[1][index]


@check()
def in_a_dataset(comm):
    last = comm.rank == comm.size - 1
    return and_on(comm, lambda: trainer_of(comm).fit(DataLoader(Broken(last), 23), epochs=2))


@check()
def in_the_prefetching_of_a_dataset(comm):
    last = comm.rank == comm.size - 1
    return and_on(comm, lambda: trainer_of(comm).fit(DataLoader(Broken(last), 23, prefetch=2), epochs=2))


@check()
def in_a_validation(comm):
    last = comm.rank == comm.size - 1
    return and_on(comm, lambda: fit(trainer_of(comm), val=DataLoader(Broken(last), 4)))


@check()
def in_predict(comm):
    last = comm.rank == comm.size - 1
    return and_on(comm, lambda: trainer_of(comm).predict(DataLoader(Broken(last), 4)))


@check()
def in_a_loss(comm):
    def loss(output, target):
        if comm.rank == comm.size - 1:
            raise ValueError("broken here")
        return nn.functional.cross_entropy(output, target)

    return and_on(comm, lambda: fit(trainer_of(comm, loss=loss)))


@check()
def in_a_metric(comm):
    class Bad(Metric):
        name = "bad"

        def update(self, output, target):
            if comm.rank == comm.size - 1:
                raise ValueError("broken here")
            self.add(count=len(output))

        def compute(self):
            return float(self.sums["count"])

    return and_on(comm, lambda: fit(trainer_of(comm, metrics=[Bad()])))


@check()
def in_compute_of_a_metric(comm):
    class Bad(Metric):
        name = "bad"

        def update(self, output, target):
            self.add(count=len(output))

        def compute(self):
            if comm.rank == comm.size - 1:
                raise ValueError("broken here")
            return float(self.sums["count"])

    return and_on(comm, lambda: fit(trainer_of(comm, metrics=[Bad()])))


@check()
def in_a_layer_between_exchanges(comm):
    """One rank fails where the others wait for its part of a batch's statistics."""

    class Bad(nn.Module):
        def forward(self, x):
            if comm.rank == comm.size - 1:
                raise ValueError("broken here")
            return x

    model = nn.Sequential(Bad(), nn.Conv2d(1, 2, 3), nn.SyncBatchNorm2d(2), nn.Flatten(), nn.Linear(32, 3))
    trainer = trainer_of(comm, model=model.astype(np.float64))
    x = np.random.default_rng(0).standard_normal((12, 1, 6, 6))
    return and_on(comm, lambda: fit(trainer, data=(x, np.zeros(12, int))))


@check()
def on_all(comm):
    return and_on(comm, lambda: fit(trainer_of(comm, callbacks=[At("on_batch_end", broken)])))


# Ranks that are not alike


def different(comm, first, other, **options):
    """What each rank raises if the last of them is made in another way."""
    make = other if comm.rank == comm.size - 1 else first
    return and_on(comm, lambda: make(**options))


def one_pixel():
    x, labels = arrays()
    x[5, 3] += 1e-9
    return x, labels


def another_version(comm):
    before = alike.__version__
    alike.__version__ = "0.0.1"
    try:
        fit(trainer_of(comm))
    finally:
        alike.__version__ = before


def with_optimizer(comm, make):
    model = small_net()
    fit(Trainer(model, nn.CrossEntropyLoss(), make(model.params()), comm=comm, progress="none"))


DIFFERENT = {
    "data": lambda comm: fit(trainer_of(comm), data=one_pixel()),
    "validation": lambda comm: fit(trainer_of(comm), val=one_pixel()),
    "no validation": lambda comm: fit(trainer_of(comm)),
    "samples": lambda comm: fit(trainer_of(comm), data=arrays(24)),
    "dtype": lambda comm: fit(trainer_of(comm), data=arrays(dtype=np.float32)),
    "width": lambda comm: fit(trainer_of(comm, model=nn.Sequential(nn.Linear(6, 3)).astype(np.float64))),
    "layers": lambda comm: fit(trainer_of(comm, model=small_net(nn.ReLU()))),
    "dtype of the model": lambda comm: fit(trainer_of(comm, model=small_net(dtype=np.float32))),
    "frozen": lambda comm: fit(trainer_of(comm, model=frozen())),
    "lr": lambda comm: fit(trainer_of(comm, lr=0.01)),
    "optimizer": lambda comm: with_optimizer(comm, lambda params: optim.Adam(params, lr=0.05)),
    "loss": lambda comm: fit(trainer_of(comm, loss=nn.CrossEntropyLoss(label_smoothing=0.1))),
    "version": another_version,
    "epochs": lambda comm: fit(trainer_of(comm), epochs=4),
    "callbacks": lambda comm: fit(trainer_of(comm, callbacks=[LearningRateMonitor()])),
    "batch_size": lambda comm: fit(trainer_of(comm), batch_size=8),
    "clip_grad_norm": lambda comm: fit(trainer_of(comm, clip_grad_norm=1.0)),
    "accumulate": lambda comm: fit(trainer_of(comm, accumulate=2)),
    "on_nonfinite": lambda comm: fit(trainer_of(comm, on_nonfinite="skip")),
    "no fit": lambda comm: trainer_of(comm).evaluate(arrays()),
}


def frozen():
    model = small_net()
    next(model.params()).requires_grad = False
    return model


def usual(comm, what):
    return fit(trainer_of(comm), **({"val": arrays()} if "validation" in what else {}))


for what, make in DIFFERENT.items():
    check(2, name=f"other {what}")(
        lambda comm, make=make, what=what: different(comm, partial(usual, comm, what), partial(make, comm))
    )


@check()
def other_weights(comm):
    """They are rank 0's, then."""
    trainer = trainer_of(comm, model=small_net(seed=comm.rank))
    fit(trainer)
    reference = trainer_of(comm, model=small_net(seed=0))
    fit(reference)
    pairs = zip(trainer.model.params(), reference.model.params(), strict=True)
    return all((one.data == other.data).all() for one, other in pairs)


@check()
def weights_that_drift_apart(comm):
    """A callback changes them on one rank."""

    def change(trainer):
        next(trainer.model.params()).data += 1e-9

    return and_on(comm, lambda: fit(trainer_of(comm, callbacks=[At("on_epoch_end", on_last(comm, change))])))


# Bad input


class DistributedSampler:
    """Stands for PyTorch's."""


class Loader:
    """Stands for PyTorch's."""

    sampler = DistributedSampler()

    def __iter__(self):
        return iter([arrays()])


def own_order(comm):
    x, labels = arrays()
    order = np.random.default_rng(comm.rank).permutation(len(x))
    return Fresh([(x[order[:12]], labels[order[:12]]), (x[order[12:]], labels[order[12:]])])


def wrong_comm(comm):
    return [raised(partial(trainer_of, wrong)) for wrong in (type(comm), comm.rank, "world", object())]


def manual(comm):
    class Own(Trainer):
        def training_step(self, batch):
            loss = self.loss(self.model(batch[0]), batch[1])
            loss.backward()
            self.optimizer.step()
            return self.done(loss=float(loss))

    model = small_net()
    fit(Own(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), comm=comm, progress="none"))


BAD = {
    "more ranks than samples in a batch": lambda comm: fit(trainer_of(comm), batch_size=1),
    "a dataset smaller than the ranks": lambda comm: fit(trainer_of(comm), data=arrays(1)),
    "layers without a size": lambda comm: fit(trainer_of(comm, model=nn.Sequential(nn.Linear(None, 3)))),
    "a DistributedSampler": lambda comm: trainer_of(comm).fit(Loader()),
    "batches in an order of their own": lambda comm: trainer_of(comm).fit(own_order(comm), epochs=2),
    "batches of another number": lambda comm: trainer_of(comm).fit(Fresh([arrays()] * (2 + comm.rank)), epochs=2),
    "a loader of another length": lambda comm: trainer_of(comm).fit([arrays()] * (2 + comm.rank), epochs=2),
    "epochs=0": lambda comm: fit(trainer_of(comm), epochs=0),
    "no optimizer": lambda comm: fit(Trainer(small_net(), nn.CrossEntropyLoss(), comm=comm)),
    "a manual step": manual,
}

for what, function in BAD.items():
    check(2, name=f"bad: {what}")(lambda comm, function=function: and_on(comm, partial(function, comm)))
check(2, name="a comm of the wrong type")(wrong_comm)


@check(2)
def a_loader_of_ones_own(comm):
    """DataLoader(comm=...) in a loop: each rank's part of every batch; and what is refused."""
    x, labels = arrays()
    minidl.manual_seed(comm.rank)  # the order is rank 0's all the same
    loader = DataLoader(ArrayDataset(x, labels), 4, shuffle=True, comm=comm)
    parts = [[batch[0][:, 0].tolist() for batch in loader] for _ in range(2)]
    return [parts, len(loader), raised(lambda: DataLoader(ArrayDataset(x, labels), 1, comm=comm))]
