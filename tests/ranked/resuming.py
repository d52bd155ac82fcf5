"""Checkpoints of several ranks: the same bits on the same number, the same sample on another."""

import contextlib
import io
from functools import partial

import numpy as np

import minidl
from minidl import nn
from minidl.data import ArrayDataset, DataLoader
from minidl.data.transforms import RandomCrop
from minidl.training import Callback, ModelCheckpoint, StopTraining
from minidl.training.callbacks import EarlyStopping, EMAWeights, GradientMonitor

from . import check
from .exact import Losses, numbers_of, rows_of
from .small import arrays, folder_of, raised, small_net, trainer_of


class StopAt(Callback):
    """Ends the fit after some step, of which others still hear; None: never."""

    def __init__(self, step):
        self.step = step

    def on_batch_end(self, trainer):
        if trainer.steps == self.step:
            raise StopTraining("enough")


def a_fit(comm, folder, stop=None, random=True, resume=False, every=3, exact=True):
    """Train with checkpoints, dropout and random crops; maybe only to some step, or from there on."""
    minidl.manual_seed(0)
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((22, 1, 6, 6)), rng.integers(0, 3, 22)
    between = [nn.Dropout(0.3)] if random else [nn.Tanh()]
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), *between, nn.Linear(48, 3)).astype(np.float64)
    losses = Losses()
    callbacks = [losses, EMAWeights(0.9), GradientMonitor(), EarlyStopping(patience=9), StopAt(stop)]
    callbacks.append(ModelCheckpoint(folder, every=every))
    trainer = trainer_of(comm, model=model, callbacks=callbacks, progress="lines")
    transform = RandomCrop(6, padding=1) if random else None
    loader = DataLoader(ArrayDataset(x, labels), 6, shuffle=True, transform=transform)
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        history = trainer.fit(
            loader,
            DataLoader(ArrayDataset(x, labels), 5),
            epochs=5,
            resume=folder if resume else None,
            exact=exact,
        )
    return {
        "losses": losses.found,
        "history": rows_of(history),
        "weights": numbers_of(model),
        "told": told.getvalue(),
        "norms": callbacks[2].rows,
    }


def resumed(step, comm):
    """A fit as a whole, and one that was stopped after a step and resumed."""
    whole = a_fit(comm, folder_of(comm))
    folder = folder_of(comm)
    first = a_fit(comm, folder, stop=step)
    return [whole, first, a_fit(comm, folder, resume=True)]


# of 4 steps an epoch, saved every 3: in the middle, at an epoch's end, right after it
for step in (5, 7, 8, 9, 12):
    check(2, name=f"resumed after step {step}")(partial(resumed, step))
check(3, name="resumed after step 7 on 3")(partial(resumed, 7))


def part(comm, ranks):
    """A communicator of the first ranks; None for the others."""
    own = comm.Split(int(comm.rank >= ranks), comm.rank)
    return own if comm.rank < ranks else None


def on_other_ranks(before, after, step, exact, comm):
    """A fit on one number of ranks, stopped after a step and resumed on another; and one on the first as a whole."""
    folder = folder_of(comm)
    first, second, found = part(comm, before), part(comm, after), [None, None, None]
    if first is not None:
        found[0] = a_fit(first, folder_of(first), random=False)
        found[1] = a_fit(first, folder, stop=step, random=False, every=1)
    comm.Barrier()
    if second is not None:
        found[2] = a_fit(second, folder, resume=True, random=False, exact=exact, every=1)
    comm.Barrier()
    return found


for before, after in ((2, 3), (3, 2), (2, 1), (1, 2), (3, 1)):
    check(3, name=f"{before} to {after}")(partial(on_other_ranks, before, after, 6, True))
check(3, name="3 to 2, not exactly")(partial(on_other_ranks, 3, 2, 8, False))


@check(2)
def a_folder_of_another_fit(comm):
    """The first rank finds it; all hear of it."""
    folder = folder_of(comm)
    a_fit(comm, folder)
    return raised(lambda: a_fit(comm, folder))


@check(2)
def a_damaged_checkpoint(comm):
    folder = folder_of(comm)
    a_fit(comm, folder)
    if comm.rank == 0:
        for name in ("last.ckpt", "previous.ckpt"):
            (folder / name).write_bytes(b"damaged")
    comm.Barrier()
    return raised(lambda: a_fit(comm, folder, resume=True))


@check(2)
def a_fit_after_a_fit(comm):
    """Two fits of one Trainer: the generators of all ranks go on together."""
    model = small_net(nn.Dropout(0.2))
    trainer = trainer_of(comm, model=model)
    for _ in range(2):
        trainer.fit(arrays(), epochs=2, batch_size=6)
    return numbers_of(model)
