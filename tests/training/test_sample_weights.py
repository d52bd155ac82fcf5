"""Sample weights are asked for: a third element of a batch never becomes weights by itself."""

import numpy as np
import pytest
from fits import problem

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.training import ModelCheckpoint, Trainer
from minidl.training.checkpoint import read_checkpoint, write_checkpoint

X, LABELS = problem(20, np.float64).arrays
WEIGHTS = np.linspace(0, 2, 20)
TWO, THREE = ArrayDataset(X, LABELS), ArrayDataset(X, LABELS, WEIGHTS)
UNASKED = r"expected batches \(input, target\), got 3 parts; if the third .* Trainer\(..., sample_weights=True\)"
LACKING = r"expected batches \(input, target, weights\), since sample_weights=True, got 2 parts"


def make(sample_weights=None, **options):
    minidl.manual_seed(0)
    model = nn.Linear(4, 3, dtype=np.float64)
    options.update({} if sample_weights is None else {"sample_weights": sample_weights})
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), progress="none", **options)


def forms(dataset):
    """The same batches as a loader, as a loader whose samples cannot be known, as a list, and one after another."""
    yield DataLoader(dataset, 10)
    yield DataLoader(dataset, 10, transform=lambda x: x)
    yield list(DataLoader(dataset, 10))
    yield iter(list(DataLoader(dataset, 10)))


@pytest.mark.parametrize("number", range(4))
def test_batches_of_other_parts_are_refused_and_nothing_has_changed(number):
    for asked, good, bad, message in (
        (None, TWO, THREE, UNASKED),
        (False, TWO, THREE, UNASKED),
        (True, THREE, TWO, LACKING),
    ):
        trainer = make(asked)
        before = trainer.model.state_dict()
        with pytest.raises(ValueError, match=message):
            trainer.fit(list(forms(bad))[number])
        with pytest.raises(ValueError, match=message):
            trainer.evaluate(list(forms(bad))[number])
        if number in (0, 2):  # known before the first step
            with pytest.raises(ValueError, match=message):
                trainer.fit(list(forms(good))[number], list(forms(bad))[number])
        assert trainer.steps == 0
        for name, value in trainer.model.state_dict().items():
            np.testing.assert_array_equal(value, before[name])
        trainer.fit(list(forms(good))[number], list(forms(good))[number])


def test_the_weighted_mean_by_hand():
    trainer = make(True, metrics=[])
    logits = X @ trainer.model.weight.data.T + trainer.model.bias.data
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(20), LABELS]
    result = trainer.evaluate(DataLoader(THREE, 7))
    assert result["loss"] == pytest.approx((losses * WEIGHTS).sum() / WEIGHTS.sum(), rel=1e-12)
    kept = WEIGHTS > 0
    assert result["accuracy"] == (logits.argmax(axis=1) == LABELS)[kept].mean()
    assert trainer.fit(DataLoader(THREE, 20))["train_loss"][0] == pytest.approx(result["loss"], rel=1e-12)


def test_more_parts_and_a_flag_that_is_none():
    four = ArrayDataset(X, LABELS, WEIGHTS, WEIGHTS)
    for asked in (True, False):
        with pytest.raises(ValueError, match="got 4 parts"):
            make(asked).fit(DataLoader(four, 10))
    with pytest.raises(TypeError, match="Trainer: sample_weights must be True or False, got 1"):
        make(1)
    assert make().predict(DataLoader(THREE, 10)).shape == (20, 3)  # only the input is used


def test_a_resume_compares_it_and_takes_files_of_earlier_versions(tmp_path):
    make(True, callbacks=[ModelCheckpoint(tmp_path)]).fit(DataLoader(THREE, 10))
    with pytest.raises(
        ValueError, match="cannot resume: sample_weights of the checkpoint: True, of this Trainer: False"
    ):
        make(callbacks=[ModelCheckpoint(tmp_path)]).fit(DataLoader(TWO, 10), epochs=2, resume=tmp_path)
    state = read_checkpoint(tmp_path / "last.ckpt")
    del state["made_of"]["sample_weights"]
    write_checkpoint(tmp_path / "last.ckpt", state)
    resumed = make(True, callbacks=[ModelCheckpoint(tmp_path)])
    assert len(resumed.fit(DataLoader(THREE, 10), epochs=2, resume=tmp_path)) == 2
