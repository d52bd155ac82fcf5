"""A script of several ranks that ends in one of many ways: python -m mpi4py -m ranked.ending MODE [FOLDER]."""

import os
import random
import signal
import sys
import threading
import time

import numpy as np
from mpi4py import MPI

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.training import ModelCheckpoint, Trainer
from minidl.training.callbacks import HealthMonitor

from .small import At, arrays, fit, small_net, trainer_of

COMM = MPI.COMM_WORLD
LAST = COMM.rank == COMM.size - 1


def broken(trainer):
    if LAST:
        raise ValueError("broken here")


def in_a_callback():
    fit(trainer_of(COMM, callbacks=[At("on_batch_end", broken, epoch=2)]), epochs=1000)


def at_the_end():
    fit(trainer_of(COMM, callbacks=[At("on_fit_end", broken)]))


def while_others_compute():
    """The others do not come to where they would hear of it."""

    def slow(trainer):
        if not LAST:
            time.sleep(60)
        broken(trainer)

    fit(trainer_of(COMM, callbacks=[At("on_batch_start", slow, epoch=2)]))


def before_the_fit():
    """A file that only the first rank can read."""
    trainer = trainer_of(COMM)
    if COMM.rank:
        np.load(sys.argv[2] + "/of-the-first-rank-only.npy")
    fit(trainer)


def between_fits():
    trainer = trainer_of(COMM)
    fit(trainer)
    if LAST:
        raise ValueError("broken here")
    fit(trainer)


def another_rate():
    fit(trainer_of(COMM, lr=0.05 + 0.01 * LAST))


def an_interrupt():
    def kill(trainer):
        if LAST:
            os.kill(os.getpid(), signal.SIGINT)

    history = fit(trainer_of(COMM, callbacks=[At("on_batch_end", kill, epoch=2)], progress="lines"), epochs=1000)
    print(f"rank {COMM.rank} interrupted {history.interrupted}", flush=True)


def lines():
    trainer = trainer_of(COMM, callbacks=[HealthMonitor()], progress="lines")
    fit(trainer, val=arrays(9))
    trainer.evaluate(arrays())


def a_bar():
    trainer = trainer_of(COMM, progress="bar")
    fit(trainer, val=arrays(9))
    trainer.predict(arrays()[0])


def warnings_of_the_first():
    """An idle layer, and validation in which nothing counts, are told of by the first rank."""
    x, labels = arrays()
    trainer = trainer_of(COMM, loss=nn.CrossEntropyLoss(ignore_index=7))
    trainer.fit((x, labels), (x, np.full_like(labels, 7)), epochs=1)


def a_kill():
    """Checkpoints, until a rank is killed at a random moment; or, without a number, to the end."""
    folder, seed = sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else ""
    draw = random.Random(seed)
    victim, moment = draw.randrange(COMM.size), draw.random() * 1.5

    def arm(trainer):
        if seed and COMM.rank == victim:
            print(f"rank {victim} is killed after {moment:.3f} s", flush=True)
            threading.Timer(moment, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()

    def slow(trainer):
        if seed:
            time.sleep(0.005)

    class Each(At):
        def _call(self, trainer):
            self.function(trainer)

    model = small_net(nn.Dropout(0.2))
    optimizer = optim.Adam(model.params(), lr=0.01)
    callbacks = [ModelCheckpoint(folder, every=3), At("on_fit_start", arm), Each("on_batch_start", slow)]
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, comm=COMM, callbacks=callbacks, progress="lines")
    loader = DataLoader(ArrayDataset(*arrays()), 6, shuffle=True)
    trainer.fit(loader, arrays(9), epochs=20, resume=folder)
    if COMM.rank == 0:
        minidl.save(model, folder + "/weights.npz")


if __name__ == "__main__":
    minidl.manual_seed(0)
    globals()[sys.argv[1]]()
