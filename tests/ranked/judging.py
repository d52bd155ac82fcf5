"""Metrics, and decisions that follow from them."""

import numpy as np

from minidl import nn, optim
from minidl.training import Trainer
from minidl.training.callbacks import EarlyStopping
from minidl.training.metrics import ConfusionMatrix, F1Score, Metric, TopK

from . import check
from .exact import numbers_of, rows_of
from .small import arrays, fit, raised, small_net, trainer_of


def spread(outputs, targets):
    """A function of all outputs."""
    return float(np.median(outputs) + targets.max())


@check(1, 2, 3)
def metrics(comm):
    trainer = trainer_of(comm, metrics=[ConfusionMatrix(), F1Score(), TopK(2), spread])
    history = fit(trainer, val=arrays(17))
    measured = trainer.evaluate(arrays(31), batch_size=4)
    return [rows_of(history), {name: np.asarray(value).tolist() for name, value in measured.items()}]


class Kept(Metric):
    """A user's metric that keeps what it measures outside of its sums."""

    name = "kept"

    def __init__(self):
        super().__init__()
        self.values = []

    def update(self, output, target):
        self.values.extend(output[:, 0])

    def compute(self):
        return float(np.median(self.values))


@check()
def a_metric_without_sums(comm):
    trainer = trainer_of(comm, metrics=[Kept()])
    return [raised(lambda: fit(trainer)), raised(lambda: trainer.evaluate(arrays()))]


@check(1, 2, 3)
def early_stopping(comm):
    """A rate so large that the loss grows: after how many epochs the fit ends, and with which weights."""
    trainer = trainer_of(comm, lr=1.5, callbacks=[EarlyStopping(patience=1)])
    history = fit(trainer, epochs=30, val=arrays(17))
    return [len(history), rows_of(history), numbers_of(trainer.model)]


@check(1, 2, 3)
def reducing_on_a_plateau(comm):
    model = small_net()
    optimizer = optim.SGD(model.params(), lr=1.0, momentum=0.9)
    schedule = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=schedule, comm=comm, progress="none")
    return rows_of(fit(trainer, epochs=10, val=arrays(17)))
