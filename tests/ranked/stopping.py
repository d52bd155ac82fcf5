"""What one rank wants ends the fit on all: stop, StopTraining, limits, Ctrl-C, and what is not finite."""

import os
import signal
import time
from functools import partial

import numpy as np

from minidl import nn
from minidl.training import StopTraining
from minidl.training.callbacks import TimeLimit

from . import check
from .exact import numbers_of, rows_of
from .small import At, arrays, fit, raised, small_net, trainer_of

HOOKS = (
    "on_fit_start",
    "on_epoch_start",
    "on_batch_start",
    "on_before_step",
    "on_batch_end",
    "on_epoch_trained",
    "on_validation_start",
    "on_validation_end",
    "on_epoch_end",
    "on_save",
    "on_fit_end",
)


def on_last(comm, function):
    """A function of the Trainer that is called on the last rank only."""
    return lambda trainer: function(trainer) if comm.rank == comm.size - 1 else None


def ended(comm, *callbacks, **options):
    """Fit with some callbacks, and once more without; return what was raised, and how far each came."""
    trainer = trainer_of(comm, callbacks=callbacks)
    error = raised(lambda: fit(trainer, epochs=4, val=arrays(9), **options))
    state = trainer.state
    before = [error, len(trainer.history), state.epoch, trainer.history.interrupted, numbers_of(trainer.model)]
    trainer.callbacks = []
    again = rows_of(fit(trainer, epochs=1))
    return [*before, again]


@check()
def stop_on_one(comm):
    def stop(trainer):
        trainer.stop = True

    return ended(comm, At("on_batch_end", on_last(comm, stop), epoch=2))


def raising(hook, comm):
    def stop(trainer):
        raise StopTraining("enough")

    return ended(comm, At(hook, on_last(comm, stop), epoch=None if hook == "on_fit_start" else 2))


for hook in HOOKS[:-1]:
    check(2, name=f"StopTraining in {hook}")(partial(raising, hook))


@check()
def a_limit_on_one(comm):
    return ended(comm, TimeLimit(1e-9 if comm.rank == 0 else 1000.0))


def interrupt(times, comm, chosen):
    def kill(trainer):
        for number in range(times if comm.rank in chosen else 0):
            time.sleep(0.6 * bool(number))
            os.kill(os.getpid(), signal.SIGINT)

    time.sleep(0.6)  # within half a second after the last interrupt another one is the same
    return ended(comm, At("on_batch_start", kill, epoch=2))


@check()
def an_interrupt_on_one(comm):
    return interrupt(1, comm, [comm.size - 1])


@check()
def an_interrupt_on_the_first(comm):
    return interrupt(1, comm, [0])


@check()
def an_interrupt_on_all(comm):
    return interrupt(1, comm, range(comm.size))


@check()
def two_interrupts_on_all(comm):
    return interrupt(2, comm, range(comm.size))


@check()
def an_interrupt_of_evaluate(comm):
    """Outside of a fit it is raised, on every rank."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small_net()

        def forward(self, x):
            if comm.rank == comm.size - 1:
                os.kill(os.getpid(), signal.SIGINT)
            return self.inner(x)

    time.sleep(0.6)
    trainer = trainer_of(comm, model=Net())
    return [raised(lambda: trainer.evaluate(arrays(), batch_size=4)), len(comm.allgather(1))]


def not_finite(on_nonfinite, comm, *, value=np.nan):
    """One sample is not finite: it is in one rank's share."""
    x, labels = arrays()
    x[7] = value
    trainer = trainer_of(comm, on_nonfinite=on_nonfinite)
    error = raised(lambda: fit(trainer, data=(x, labels)))
    return [error, rows_of(trainer.history), numbers_of(trainer.model), trainer.steps]


for mode in ("raise", "skip"):
    check(1, 2, 3, name=f"not finite: {mode}")(partial(not_finite, mode))


@check(1, 2)
def a_gradient_that_is_not_finite(comm):
    """The loss is finite, a gradient is not."""

    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small_net()

        def forward(self, x):
            return self.inner(x) + np.sqrt(abs(self.inner(x) * x[:, :1]))

    x, labels = arrays()
    x[7, 0] = 0.0
    trainer = trainer_of(comm, model=Root(), on_nonfinite="skip")
    with np.errstate(all="ignore"):
        error = raised(lambda: fit(trainer, data=(x, labels)))
    return [error, rows_of(trainer.history), trainer.steps]
