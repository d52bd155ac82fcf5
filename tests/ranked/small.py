"""A small fit for the checks of everything else, and what they have in common."""

import tempfile
import time
from pathlib import Path

import numpy as np

import minidl
from minidl import nn, optim
from minidl.training import Callback, Trainer

SAMPLES = 23


def arrays(samples=SAMPLES, dtype=np.float64):
    """Rows (N, 6) and one of three labels for each."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((samples, 6)).astype(dtype)
    return x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0)


def small_net(*between, seed=0, dtype=np.float64):
    """A network for them, the same each time."""
    minidl.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), *between, nn.Linear(8, 3)).astype(dtype)


def trainer_of(comm, *, model=None, loss=None, lr=0.05, **options):
    """A Trainer of a small network."""
    model = small_net() if model is None else model
    optimizer = optim.SGD(model.params(), lr=lr, momentum=0.9)
    options = {"progress": "none", **options}
    return Trainer(model, loss or nn.CrossEntropyLoss(), optimizer, comm=comm, **options)


def fit(trainer, epochs=3, batch_size=6, data=None, **options):
    """Train on the small data, in an order that is always the same."""
    data = arrays() if data is None else data
    return trainer.fit(data, epochs=epochs, batch_size=batch_size, rng=np.random.default_rng(1), **options)


class At(Callback):
    """Calls a function of the Trainer at a hook, once, in some epoch."""

    def __init__(self, hook, function, epoch=None):
        self.hook, self.function, self.epoch = hook, function, epoch
        setattr(self, hook, self._call)

    def _call(self, trainer):
        if self.epoch is None or trainer.epoch == self.epoch:
            self.epoch = -1
            self.function(trainer)


def raised(function):
    """Call a function; return what it raised, the message, and how long it took; None for nothing."""
    start = time.monotonic()
    try:
        function()
    except (Exception, KeyboardInterrupt) as error:
        return [type(error).__name__, str(error), time.monotonic() - start]
    return None


def folder_of(comm):
    """A new folder, the same on every rank."""
    made = tempfile.mkdtemp(prefix="ranked-") if comm is None or comm.rank == 0 else None
    return Path(made if comm is None else comm.bcast(made))
