"""Options of training: NumPy scalars are converted, messages name the class or method that was called."""

import numpy as np
import pytest
from fits import problem

from minidl import nn, optim
from minidl.data import DataLoader
from minidl.training import ModelCheckpoint, Trainer
from minidl.training.callbacks import EarlyStopping, EMAWeights, TimeLimit
from minidl.training.metrics import ConfusionMatrix, Precision, TopK


def plain(**options):
    model = nn.Linear(4, 3)
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), progress="none", **options)


def test_numpy_scalars_become_plain_numbers(tmp_path):
    trainer = plain(clip_grad_norm=np.float64(0.5), accumulate=np.int64(2))
    assert type(trainer.clip_grad_norm) is float
    assert type(trainer.accumulate) is int
    stopping, checkpoint = (
        EarlyStopping(patience=np.int32(3), restore_best=np.bool_(True)),
        ModelCheckpoint(tmp_path, every=np.int64(2)),
    )
    assert (type(stopping.patience), type(stopping.restore_best)) == (int, bool)
    assert type(checkpoint.every) is int
    assert type(EMAWeights(np.float32(0.5)).decay) is float
    assert type(TimeLimit(np.float32(2)).seconds) is float
    assert type(TopK(np.int64(2)).k) is int
    assert type(ConfusionMatrix(np.int64(2)).num_classes) is int
    history = trainer.fit(DataLoader(problem(), 10), epochs=np.int64(2))
    assert len(history) == 2
    assert all(p.data.dtype == np.float32 for p in trainer.model.params())
    assert trainer.predict(problem().arrays[0], batch_size=np.int64(7)).shape == (50, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plain().predict(problem(), batch_size=0), "Trainer.predict: batch_size must be at least 1, got 0"),
        (lambda: plain().fit([], epochs=0), "Trainer.fit: epochs must be at least 1, got 0"),
        (lambda: plain(accumulate=0), "Trainer: accumulate must be at least 1, got 0"),
        (lambda: plain(clip_grad_norm=-1), "Trainer: clip_grad_norm must be at least 0.0, got -1"),
        (lambda: ModelCheckpoint("a", mode="least"), "ModelCheckpoint: mode must be one of 'auto', 'min', 'max'"),
        (lambda: EarlyStopping(min_delta=-1), "EarlyStopping: min_delta must be at least 0.0, got -1"),
        (lambda: Precision(num_classes=0), "Precision: num_classes must be at least 1, got 0"),
    ],
)
def test_messages_name_what_was_called(call, message):
    with pytest.raises(ValueError, match=message):
        call()
