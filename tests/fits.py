"""A small problem and a Trainer for it, for the tests of training."""

import numpy as np

from minidl import nn, optim
from minidl.data import ArrayDataset
from minidl.training import Trainer


def problem(samples=50, dtype=np.float32):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, 4)).astype(dtype)
    return ArrayDataset(x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0))


def make(progress="none", lr=0.1, callbacks=(), **options):
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
    optimizer = optim.SGD(model.params(), lr=lr, momentum=0.9)
    return Trainer(model, nn.CrossEntropyLoss(**options), optimizer, callbacks=callbacks, progress=progress)
