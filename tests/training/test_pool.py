"""The pool of recycled memory is empty after fit and predict, however they end."""

import numpy as np
import pytest

from minidl import nn, optim
from minidl._core.memory import held
from minidl.training import Callback, StopTraining, Trainer


@pytest.mark.parametrize("end", [None, KeyboardInterrupt(), StopTraining("enough")])
def test_fit_and_predict_give_the_recycled_memory_back(end):
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 26 * 26, 3))
    images = np.zeros((64, 1, 28, 28), np.float32)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), progress="none")
    held_within = []

    class Look(Callback):
        def on_batch_end(self, trainer):
            held_within.append(held())
            if end is not None and trainer.batch == 2:
                raise end

    trainer.callbacks.append(Look())
    trainer.fit([(images, np.zeros(64, int))] * 3)
    assert max(held_within) > 0
    assert held() == 0
    trainer.predict(images)
    assert held() == 0
