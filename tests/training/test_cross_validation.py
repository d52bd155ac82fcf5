"""cross_validate: what it trains on and measures, against the loop written out."""

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader, stratified_folds
from minidl.training import Callback, CrossValidation, Trainer, cross_validate

from ..fits import problem

X, Y = problem().arrays


def make_trainer(*callbacks):
    model = nn.Linear(4, 3, rng=np.random.default_rng(0))
    optimizer = optim.SGD(model.params(), lr=0.1)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks, progress="none")


@pytest.mark.parametrize("data", [(X, Y), problem()], ids=["arrays", "dataset"])
def test_it_is_the_loop_written_out(data):
    result = cross_validate(make_trainer, data, 4, epochs=2, batch_size=10, rng=np.random.default_rng(7))
    rng = np.random.default_rng(7)
    accuracies, losses = [], []
    for train, apart in stratified_folds(problem(), Y, 4, rng=rng):
        trainer = make_trainer()
        trainer.fit(DataLoader(train, 10, shuffle=True, rng=rng), epochs=2)
        x, y = apart.batch(np.arange(len(apart)))
        logits = trainer.predict(x).astype(np.float64)
        accuracies.append(np.mean(logits.argmax(axis=1) == y))
        losses.append(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]))
    for name, values in (("accuracy", accuracies), ("loss", losses)):
        np.testing.assert_allclose([fold[name] for fold in result.folds], values, rtol=1e-5)
        assert result.mean[name] == pytest.approx(sum(values) / 4, rel=1e-5)
        spread = (sum((value - sum(values) / 4) ** 2 for value in values) / 3) ** 0.5
        assert result.std[name] == pytest.approx(spread, rel=1e-4)
    assert f"accuracy {np.mean(accuracies):.4f} ± {result.std['accuracy']:.4f}" in str(result)


def test_numbers_are_split_at_random():
    def regression():
        model = nn.Linear(4, 1)
        return Trainer(model, nn.MSELoss(), optim.SGD(model.params(), lr=0.01), progress="none")

    result = cross_validate(regression, ArrayDataset(X, X[:, :1]), 5)
    assert len(result.folds) == 5
    assert set(result.mean) == {"loss", "mae"}


def test_arrays_among_the_measures_have_no_mean():
    result = CrossValidation([{"accuracy": 0.5, "matrix": np.eye(2)}, {"accuracy": 0.7, "matrix": np.eye(2), "nan": 1}])
    assert (result.mean, result.std) == ({"accuracy": 0.6}, {"accuracy": pytest.approx(0.1414213562)})


def test_ctrl_c_is_no_result():
    class Interrupt(Callback):
        def on_batch_end(self, trainer):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cross_validate(lambda: make_trainer(Interrupt()), (X, Y))


def test_what_it_refuses():
    trainer = make_trainer()
    with pytest.raises(ValueError, match="must make a new model each time"):
        cross_validate(lambda: trainer, (X, Y))
    with pytest.raises(TypeError, match=r"what make_trainer\(\) returns must be a Trainer"):
        cross_validate(lambda: trainer.model, (X, Y))
    with pytest.raises(TypeError, match="data must be arrays .* got DataLoader"):
        cross_validate(make_trainer, DataLoader(problem(), 10))
    with pytest.raises(ValueError, match="cross_validate: .* is taken for arrays"):
        cross_validate(make_trainer, (X, Y[1:]))
    with pytest.raises(ValueError, match="60 folds need as many samples, got 50"):
        cross_validate(make_trainer, (X, Y), 60)


def test_the_seed_decides():
    results = []
    for seed in (3, 3, 4):
        minidl.manual_seed(seed)
        results.append(cross_validate(make_trainer, (X, Y), 3).folds)
    assert results[0] == results[1] != results[2]
