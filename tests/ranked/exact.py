"""Whether several ranks have the numbers of one process, and the same bits again."""

import os
from functools import partial

import numpy as np

from minidl import nn, optim
from minidl.training import Callback, Trainer

from . import check
from .problems import Problem
from .small import arrays, small_net

FIRST = int(os.environ.get("MINIDL_RANK_SEED", "0"))  # of the problems: for a run of others than the suite's
COUNT = int(os.environ.get("MINIDL_RANK_PROBLEMS", "0"))  # and how many; 0: as in the suite
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}
_COUNTS = {"float64": {2: 10, 3: 3, 4: 1}, "float32": {2: 3, 3: 1, 4: 1}}
CASES = [  # (ranks, seed, dtype)
    (ranks, seed, dtype)
    for dtype, counts in _COUNTS.items()
    for ranks, count in counts.items()
    for seed in range(FIRST, FIRST + (COUNT or count))
]
CASES.append((2, 127, "float64"))  # a sample that alone uses a layer does not count, in a share of which nothing does


class Losses(Callback):
    """Keeps the loss, the norm and the rate of each step."""

    def __init__(self):
        self.found = []

    def on_batch_end(self, trainer):
        self.found.append([trainer.batch_loss, trainer.grad_norm, trainer.lr])


def numbers_of(model):
    """All parameters and buffers in a row."""
    return np.concatenate([value.reshape(-1).astype(np.float64) for _, value in model._state()]).tolist()


def rows_of(history):
    """The rows of a history, without what takes time."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history.rows]


def trained(problem, comm):
    """Train a problem; return its losses, step by step, and what has become of it."""
    losses = Losses()
    trainer = problem.make(comm, [losses])
    history = problem.fit(trainer)
    predicted = trainer.predict(problem.inputs())
    predicted = predicted if isinstance(predicted, dict) else {"": predicted}
    return {
        "told": str(problem),
        "losses": losses.found,
        "history": rows_of(history),
        "weights": numbers_of(trainer.model),
        "predicted": {name: np.asarray(value, np.float64).reshape(-1).tolist() for name, value in predicted.items()},
    }


def a_problem(seed, dtype, comm):
    return trained(Problem(seed, dtype), comm)


for seed, dtype in sorted({(seed, dtype) for _, seed, dtype in CASES}):
    sizes = [ranks for ranks, *case in CASES if case == [seed, dtype]]
    check(1, *sizes, name=f"problem {seed} {dtype}")(partial(a_problem, seed, dtype))


@check(1, 2, 3)
def a_training_step_with_ignored_labels(comm):
    """Some batches, and some shares, have nothing that counts; classes have weights."""

    class Own(Trainer):
        def training_step(self, batch):
            return self.loss(self.model(batch[0]), batch[1])

    x, labels = arrays()
    labels[:8] = 1
    batches = [(x[first : first + 6], labels[first : first + 6]) for first in range(0, 23, 6)]
    model = small_net()
    loss = nn.CrossEntropyLoss(np.array([0.3, 1.0, 2.0]), ignore_index=1)
    trainer = Own(model, loss, optim.SGD(model.params(), lr=0.05), comm=comm, progress="none")
    return [rows_of(trainer.fit(batches, epochs=5)), numbers_of(model)]


@check()
def the_same_bits_again(comm):
    """Two fits of one problem."""
    return [trained(Problem(7, np.float32, steps=20), comm) for _ in range(2)]
