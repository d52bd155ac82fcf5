"""Plain functions as metrics and callbacks of a Trainer."""

import functools

import numpy as np
import pytest

from minidl import nn, optim
from minidl.data import DataLoader
from minidl.training import ModelCheckpoint, Trainer
from minidl.training.callbacks import EarlyStopping
from minidl.training.metrics import Accuracy

from ..fits import make, problem

X, Y = problem().arrays


def macro_f1(outputs, targets):
    sklearn = pytest.importorskip("sklearn.metrics")
    return sklearn.f1_score(targets, outputs.argmax(axis=1), average="macro", zero_division=0.0)


def trainer(*metrics, loss=None, model=None, callbacks=(), **options):
    model = nn.Linear(4, 3) if model is None else model
    loss = nn.CrossEntropyLoss() if loss is None else loss
    optimizer = optim.SGD(model.params(), lr=0.1)
    return Trainer(model, loss, optimizer, metrics=list(metrics), callbacks=callbacks, progress="none", **options)


def test_a_metric_is_of_all_samples_and_no_mean_of_batches():
    made = trainer(macro_f1)
    loader = DataLoader(problem(), 7)
    logits = made.predict(X)
    whole = macro_f1(logits, Y)
    batches = [macro_f1(logits[n : n + 7], Y[n : n + 7]) for n in range(0, 50, 7)]
    assert made.evaluate(loader)["macro_f1"] == whole
    assert abs(np.mean(batches) - whole) > 0.01


def test_it_is_a_column_of_the_validation_alone_and_can_be_watched():
    made = trainer(macro_f1, Accuracy(), callbacks=[EarlyStopping("val_macro_f1", mode="max")])
    history = made.fit(DataLoader(problem(), 10), DataLoader(problem(), 20), epochs=2)
    assert [name for name in history.columns() if "f1" in name] == ["val_macro_f1"]
    assert history["val_macro_f1"][-1] == macro_f1(made.predict(X), Y)
    with pytest.raises(ValueError, match="there is no column 'train_macro_f1'"):
        trainer(macro_f1, callbacks=[EarlyStopping("train_macro_f1", mode="max")]).fit(DataLoader(problem(), 10))


def test_it_is_called_once_for_each_evaluation_with_arrays_of_its_own():
    calls = []

    def seen(outputs, targets):
        outputs[...] = np.nan  # its own copy
        calls.append((outputs.shape, targets.shape))
        return len(targets)

    made = trainer(seen)
    made.fit(DataLoader(problem(), 10), DataLoader(problem(), 20), epochs=2)
    assert calls == [((50, 3), (50,))] * 2
    assert np.isfinite(made.predict(X)).all()


def test_labels_that_do_not_count_are_left_out():
    def count(outputs, targets):
        assert (targets != 1).all()
        return len(targets)

    made = trainer(count, loss=nn.CrossEntropyLoss(ignore_index=1))
    assert made.evaluate(DataLoader(problem(), 8))["count"] == np.count_nonzero(Y != 1)
    assert np.isnan(made.evaluate([(X, np.ones_like(Y))])["count"])


def test_several_outputs_come_as_the_model_returns_them():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            out = self.layer(x)
            return {"a": out, "b": out * 2}

    def double(outputs, targets):
        np.testing.assert_array_equal(outputs["a"] * 2, outputs["b"])
        assert outputs["a"].shape == (50, 3)
        return targets.sum()

    def loss(outputs, targets):
        return nn.CrossEntropyLoss()(outputs["a"], targets)

    assert trainer(double, loss=loss, model=Two()).evaluate(DataLoader(problem(), 20))["double"] == Y.sum()
    made = Trainer(Two(), {"a": nn.CrossEntropyLoss()}, metrics={"a": macro_f1}, progress="none")
    both = made.evaluate([(X, {"a": Y})])
    assert both["a_macro_f1"] == macro_f1(made.predict(X)["a"], Y)


def test_a_fit_with_functions_goes_on(tmp_path):
    def note(trainer):
        pass

    def fit(folder, epochs):
        made = trainer(macro_f1, callbacks=[ModelCheckpoint(tmp_path / folder, every=2), note])
        for parameter in made.model.params():
            parameter.data[...] = 0.1
        made.fit(DataLoader(problem(), 10), DataLoader(problem(), 20), epochs=epochs, resume=tmp_path / folder)
        return made.model.state_dict(), made.history["val_macro_f1"]

    (whole, column), _ = fit("whole", 3), fit("parts", 1)
    parts, other = fit("parts", 3)
    assert column == other
    np.testing.assert_array_equal(whole["weight"], parts["weight"])


def test_what_is_no_metric_is_refused():
    with pytest.raises(TypeError, match=r"Metric or a function of \(outputs, targets\), got .*; did you mean Accuracy"):
        trainer(Accuracy)
    with pytest.raises(TypeError, match="Metric or a function of .*, got 'accuracy'"):
        trainer("accuracy")
    for nameless in (lambda outputs, targets: 0, functools.partial(macro_f1)):
        with pytest.raises(TypeError, match="a metric needs a name for its column"):
            trainer(nameless)
    with pytest.raises(ValueError, match="different names"):
        trainer(macro_f1, macro_f1).evaluate(DataLoader(problem(), 10))

    def pair(outputs, targets):
        return np.zeros(2)

    with pytest.raises(TypeError, match=r"metric pair\(\) must return a number, got an array of shape \(2,\)"):
        trainer(pair).evaluate(DataLoader(problem(), 10))

    def accuracy(outputs, targets):
        return 0.0

    with pytest.raises(ValueError, match="column of minidl's own"):
        trainer(accuracy).evaluate(DataLoader(problem(), 10))


def test_a_callback_is_called_after_each_epoch():
    seen = []

    def note(trainer):
        seen.append((trainer.epoch, trainer.history["val_loss"][-1]))
        if trainer.epoch == 2:
            trainer.stop = True

    history = trainer(callbacks=[note]).fit(DataLoader(problem(), 10), DataLoader(problem(), 20), epochs=5)
    assert seen == list(zip((1, 2), history["val_loss"], strict=True))


def test_a_callback_may_add_a_column_that_another_watches():
    def add(trainer):
        trainer.history.rows[-1]["val_score"] = -float(trainer.epoch)

    stopping = EarlyStopping("val_score", mode="max", patience=0)
    for callback in (add, functools.partial(add)):
        history = trainer(callbacks=[callback, stopping]).fit(DataLoader(problem(), 10), epochs=5)
        assert len(history) == 2


def test_what_is_no_callback_is_refused():
    with pytest.raises(TypeError, match=r"Callback or a function of the Trainer, got .*; did you mean EarlyStopping"):
        make(callbacks=[EarlyStopping])
    with pytest.raises(TypeError, match="Callback or a function of the Trainer, got 3"):
        make(callbacks=[3])
