"""Batch normalisation, and layers and transforms that draw random numbers."""

import numpy as np

import minidl
from minidl import nn
from minidl.data import ArrayDataset, DataLoader
from minidl.data.transforms import RandomCrop

from . import check
from .exact import numbers_of, rows_of
from .small import At, fit, trainer_of


def images(samples, dtype=np.float64):
    rng = np.random.default_rng(3)
    return rng.standard_normal((samples, 2, 6, 6)).astype(dtype), rng.integers(0, 3, samples)


def norm_net():
    minidl.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.BatchNorm2d(4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).astype(np.float64)


@check(1, 2, 3)
def sync_batch_norm(comm):
    """A converted net, whose last batch has fewer samples than ranks; in one process the plain one."""
    found = []
    for samples in (25, 23):  # the last batch of 8 has 1 sample, or 7
        model = norm_net()
        model = model if comm is None else nn.convert_sync_batchnorm(model)
        trainer = trainer_of(comm, model=model, accumulate=1)
        history = fit(trainer, epochs=8, batch_size=8, data=images(samples), val=images(9))
        found.append([numbers_of(model), rows_of(history)])
    return found


@check(1, 2, 3)
def sync_batch_norm_of_a_training_step(comm):
    """The same by a training step of the user's own."""
    from minidl.training import Trainer

    class Own(Trainer):
        def training_step(self, batch):
            x, target = batch
            return self.loss(self.model(x), target)

    model = norm_net()
    model = model if comm is None else nn.convert_sync_batchnorm(model)
    plain = trainer_of(comm, model=model)
    trainer = Own(model, plain.loss, plain.optimizer, comm=comm, progress="none")
    fit(trainer, epochs=3, batch_size=8, data=images(25))
    return numbers_of(model)


@check(1, 2, 3)
def sync_batch_norm_with_ignored_labels(comm):
    """Some shares have nothing that counts, but their samples are in the statistics."""
    x, labels = images(24)
    labels[:14] = 2
    model = norm_net()
    model = model if comm is None else nn.convert_sync_batchnorm(model)
    trainer = trainer_of(comm, model=model, loss=nn.CrossEntropyLoss(ignore_index=2))
    loader = DataLoader(ArrayDataset(x, labels), 8)
    trainer.fit(loader, epochs=3)
    return numbers_of(model)


@check()
def batch_norm_buffers(comm):
    """The running statistics after each step, on every rank; and those of the first step, as they should be."""
    seen = []

    def look(trainer):
        buffers = np.concatenate([value.reshape(-1) for _, value in trainer.model.named_buffers()])
        seen.append(buffers.tolist())

    class Look(At):
        def _call(self, trainer):
            look(trainer)

    x, labels = images(23)
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 3)).astype(np.float64)
    trainer = trainer_of(comm, model=model, callbacks=[Look("on_batch_end", None)])
    trainer.fit(DataLoader(ArrayDataset(x, labels), 8), epochs=3)
    return {"seen": seen, "first mean": (0.1 * x[:8].mean(axis=(0, 2, 3))).tolist()}


def drawn(comm, seed):
    """The masks of a dropout layer in each step, on this rank, and the generators afterwards."""
    masks = []
    minidl.manual_seed(seed)
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3)).astype(np.float64)
    model[0].register_forward_hook(lambda module, inputs, output: masks.append((output != 0).astype(int).tolist()))
    trainer = trainer_of(comm, model=model)
    x = np.ones((12, 6))
    trainer.fit(DataLoader(ArrayDataset(x, np.zeros(12, int)), 2 * (1 if comm is None else comm.size)), epochs=2)
    return masks, minidl._core.default_rng().bit_generator.state


@check()
def masks(comm):
    """Two fits of the same seed, and one of another."""
    return [drawn(comm, seed) for seed in (3, 3, 4)]


def cropped(comm, seed):
    """What a random transform gives of images that are all the same, on this rank."""
    given = []

    class Look(At):
        def _call(self, trainer):
            given.append(trainer.batches[0].inputs.reshape(-1).tolist())

    minidl.manual_seed(seed)
    x = np.tile(np.arange(36, dtype=np.float64).reshape(1, 1, 6, 6), (12, 1, 1, 1))
    loader = DataLoader(ArrayDataset(x, np.zeros(12, int)), 2 * comm.size, transform=RandomCrop(6, padding=2))
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).astype(np.float64)
    trainer = trainer_of(comm, model=model, callbacks=[Look("on_batch_start", None)], lr=1e-4)
    trainer.fit(loader, epochs=2)
    return given, minidl._core.default_rng().bit_generator.state


@check()
def crops(comm):
    return [cropped(comm, seed) for seed in (3, 3, 4)]
