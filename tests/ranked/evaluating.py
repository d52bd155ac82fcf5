"""evaluate, validation and predict are shared out, and put together in order."""

import hashlib

import numpy as np

import minidl
from minidl import nn
from minidl.data import ArrayDataset, DataLoader
from minidl.data.transforms import RandomCrop

from . import check
from .exact import rows_of
from .problems import Fresh
from .small import arrays, raised, small_net, trainer_of


def bits(value):
    """A digest of an array, its shape and dtype."""
    value = np.ascontiguousarray(value)
    return [str(value.dtype), list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]


@check(1, 2, 3)
def predictions(comm):
    """The bits of predictions, however the inputs are given."""
    trainer = trainer_of(comm, model=small_net(dtype=np.float32))
    x, labels = arrays(37, np.float32)
    batches = [(x[first : first + 5], labels[first : first + 5]) for first in range(0, 37, 5)]
    found = {
        "an array": trainer.predict(x, batch_size=7),
        "one batch": trainer.predict(x),
        "two batches": trainer.predict(x, batch_size=20),
        "a sample each": trainer.predict(x, batch_size=1),
        "a dataset": trainer.predict(ArrayDataset(x, labels), batch_size=4),
        "a loader": trainer.predict(DataLoader(ArrayDataset(x, labels), 6, prefetch=2)),
        "a list": trainer.predict(batches),
        "a generator": trainer.predict(x[first : first + 5] for first in range(0, 37, 5)),
        "fewer than ranks, without a length": trainer.predict(iter([x[:3]])),
    }
    return {name: bits(value) for name, value in found.items()}


@check(1, 2, 3)
def evaluations(comm):
    """The measures, however the data are given."""
    trainer = trainer_of(comm)
    x, labels = arrays(37)
    batches = [(x[first : first + 5], labels[first : first + 5]) for first in range(0, 37, 5)]
    return {
        "arrays": trainer.evaluate((x, labels), batch_size=7),
        "one batch": trainer.evaluate((x, labels)),
        "a list": trainer.evaluate(batches),
        "a generator": trainer.evaluate(Fresh(batches)),
        "a shuffled loader": trainer.evaluate(DataLoader(ArrayDataset(x, labels), 6, shuffle=True, drop_last=True)),
    }


@check(1, 2, 3)
def a_shuffled_validation_with_a_transform(comm):
    """The same images in the same batches, transformed alike, as in one process."""
    minidl.manual_seed(0)
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((23, 1, 6, 6)), rng.integers(0, 3, 23)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).astype(np.float64)
    val = DataLoader(ArrayDataset(x, labels), 5, shuffle=True, transform=RandomCrop(6, padding=2), drop_last=True)
    trainer = trainer_of(comm, model=model)
    return rows_of(trainer.fit(DataLoader(ArrayDataset(x, labels), 8, shuffle=True), val, epochs=4))


@check()
def nothing_to_predict(comm):
    trainer = trainer_of(comm)
    return [raised(lambda: trainer.predict([])), raised(lambda: trainer.evaluate([]))]


@check(1, 2, 3)
def several_outputs(comm):
    """A model of a dict of outputs."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small_net()

        def forward(self, x):
            out = self.inner(x)
            return {"a": out, "b": out[:, :1] * 2}

    trainer = trainer_of(comm, model=Two(), loss={"a": nn.CrossEntropyLoss(), "b": nn.MSELoss()})
    return {name: bits(value) for name, value in trainer.predict(arrays()[0], batch_size=4).items()}
