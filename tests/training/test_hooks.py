"""The hooks of a step and of the validation: their order, what they see and may change, and what is left of it."""

import weakref

import numpy as np
import pytest

from minidl import nn, optim
from minidl.data import DataLoader
from minidl.training import Callback, Trainer
from minidl.training.hooks import Hooks

from ..fits import problem

ALL = (
    *("on_fit_start", "on_epoch_start", "on_batch_start", "on_before_step", "on_batch_end", "on_epoch_trained"),
    *("on_validation_start", "on_validation_end", "on_epoch_end", "on_save", "on_fit_end"),
)


class Watch(Callback):
    """Calls a function with the name of each hook, and the Trainer."""

    def __init__(self, look):
        for name in ALL:
            setattr(self, name, lambda trainer, name=name: look(name, trainer))


class At(Callback):
    """Does something in one hook."""

    def __init__(self, hook, action):
        setattr(self, hook, action)


def make(*callbacks, trainer=Trainer, optimizer=None, **options):
    model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    for number, parameter in enumerate(model.params()):
        parameter.data[...] = np.random.default_rng(number).standard_normal(parameter.shape)
    made = optim.SGD(model.params(), lr=0.1) if optimizer is None else optimizer(model)
    return trainer(model, nn.CrossEntropyLoss(), made, callbacks=callbacks, progress="none", **options)


def fit(trainer, epochs=1, batch_size=25):
    trainer.fit(DataLoader(problem(), batch_size), DataLoader(problem(), 50), epochs=epochs)
    return trainer.model.state_dict()


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


def cross_entropy(logits, labels):
    """The mean, from its formula, in float64."""
    logits = logits.astype(np.float64)
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels])


def test_the_order():
    calls = []
    fit(make(Watch(lambda name, trainer: calls.append((name, trainer.epoch, trainer.batch)))))
    assert calls == [
        ("on_fit_start", 0, 0),
        ("on_epoch_start", 1, 0),
        ("on_batch_start", 1, 1),
        ("on_before_step", 1, 1),
        ("on_batch_end", 1, 1),
        ("on_save", 1, 1),
        ("on_batch_start", 1, 2),
        ("on_before_step", 1, 2),
        ("on_batch_end", 1, 2),
        ("on_save", 1, 2),
        ("on_epoch_trained", 1, 2),
        ("on_validation_start", 1, 2),
        ("on_validation_end", 1, 2),
        ("on_epoch_end", 1, 2),
        ("on_save", 1, 2),
        ("on_fit_end", 1, 2),
    ]


def test_watching_changes_no_bit_and_costs_nothing_where_nobody_watches():
    trainer = make(Callback())
    before = fit(trainer, epochs=3)
    assert trainer._step.before is None
    watched = make(Watch(lambda name, trainer: trainer.batches))
    assert same(before, fit(watched, epochs=3))
    assert watched._step.before is not None
    hooks = Hooks([Callback(), At("on_batch_end", print)])
    assert [len(hooks.of(name)) for name in ("on_batch_start", "on_batch_end")] == [0, 1]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_inputs_targets_outputs_and_losses_are_seen_read_only(accumulate):
    x, y = problem().arrays
    seen, left = [], []

    def look(name, trainer):
        batches = trainer.batches
        if name == "on_batch_start":
            assert [(one.output, np.isnan(one.loss)) for one in batches[-1:]] == [(None, True)]
        if name in ("on_before_step", "on_batch_end"):
            assert len(batches) == accumulate
            for number, one in enumerate(batches):
                rows = slice(*(10 * (trainer.batch - accumulate + number + k) for k in (0, 1)))
                np.testing.assert_array_equal(one.inputs, x[rows])
                np.testing.assert_array_equal(one.target, y[rows])
                assert one.output.shape == (10, 3)
                assert one.loss == pytest.approx(cross_entropy(one.output, one.target), rel=1e-5)
                assert not any(array.flags.writeable for array in one[:3])
            assert trainer.batch_loss == pytest.approx(np.mean([one.loss for one in batches]), rel=1e-6)
            seen.append(name)
            left.extend(weakref.ref(one.output) for one in batches)
        elif name not in ("on_batch_start", "on_save"):
            assert batches == ()

    trainer = make(Watch(look), accumulate=accumulate)
    x, y = x[:40], y[:40]
    trainer.fit([(x[n : n + 10], y[n : n + 10]) for n in range(0, 40, 10)], [(x, y)])
    assert seen == ["on_before_step", "on_batch_end"] * (4 // accumulate)
    assert trainer.batches == ()
    assert not any(reference() is not None for reference in left)


def test_nothing_of_a_step_is_kept_behind_it():
    outputs = []

    def on_batch_end(trainer):
        whole = trainer.batches[0].output
        while isinstance(whole.base, np.ndarray):
            whole = whole.base
        outputs.append(weakref.ref(whole))

    def on_epoch_trained(trainer):
        assert len(outputs) == 2
        trainer.model(problem().arrays[0])  # the model's own memory holds the next pass
        assert [output() for output in outputs] == [None, None]

    callback = At("on_batch_end", on_batch_end)
    callback.on_epoch_trained = on_epoch_trained
    fit(make(callback))


def test_a_structure_of_inputs_is_read_only_too():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, a, b):
            return self.layer(a) + self.layer(b)

    def look(trainer):
        (one,) = trainer.batches
        assert set(one.inputs) == {"a", "b"}
        with pytest.raises(ValueError, match="read-only"):
            one.inputs["a"][...] = 0
        assert one.output.shape == (50, 3)

    x, y = problem().arrays
    model = Two()
    optimizer = optim.SGD(model.params(), lr=0.1)
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optimizer, callbacks=[At("on_before_step", look)], targets="y", progress="none"
    )
    trainer.fit([{"a": x, "b": x, "y": y}])


def test_gradients_that_are_changed_before_the_step_enter_it():
    def halve(trainer):
        for parameter in trainer.model.params():
            parameter.grad *= 0.5

    half = fit(make(At("on_before_step", halve)))
    slow = fit(make(optimizer=lambda model: optim.SGD(model.params(), lr=0.05)))
    for name, value in half.items():
        np.testing.assert_allclose(value, slow[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_they_are_clipped_afterwards():
    norms = []

    def raise_them(trainer):
        assert trainer.grad_norm < 1e4
        for parameter in trainer.model.params():
            parameter.grad *= 1e6

    callback = At("on_before_step", raise_them)
    callback.on_batch_end = lambda trainer: norms.append(
        np.sqrt(sum(float((p.grad.astype(np.float64) ** 2).sum()) for p in trainer.model.params()))
    )
    fit(make(callback, clip_grad_norm=0.5))
    assert norms == pytest.approx([0.5, 0.5], rel=1e-4)


def test_if_the_hook_raises_the_step_is_not_made():
    def fail(trainer):
        raise ZeroDivisionError

    trainer = make(At("on_before_step", fail))
    before = trainer.model.state_dict()
    with pytest.raises(ZeroDivisionError):
        fit(trainer)
    assert same(before, trainer.model.state_dict())  # running statistics, too


def test_numpy_warns_in_the_hook_as_outside_of_a_fit():
    def overflow(trainer):
        with pytest.warns(RuntimeWarning, match="overflow"):
            np.float32(3e38) * np.ones(1, np.float32) * 10
        assert trainer.model.needs_input_grad

    fit(make(At("on_before_step", overflow)))


class Own(Trainer):
    def training_step(self, batch):
        x, y = batch
        return self.loss(self.model(x), y)


class Manual(Trainer):
    def training_step(self, batch):
        x, y = batch
        self.optimizer.zero_grad()
        loss = self.loss(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return self.done(float(loss))


@pytest.mark.parametrize(("kind", "asked"), [(Own, 2), (Manual, 0)])
def test_a_training_step_of_ones_own(kind, asked):
    calls = []

    def look(name, trainer):
        calls.append(name)
        if name == "on_batch_end":
            (one,) = trainer.batches
            assert [part.shape for part in one.inputs] == [(25, 4), (25,)]
            assert one.target is None

    weights = fit(make(Watch(look), trainer=kind))
    assert (calls.count("on_batch_start"), calls.count("on_before_step"), calls.count("on_batch_end")) == (2, asked, 2)
    plain = fit(make())
    for name, value in weights.items():
        np.testing.assert_allclose(value, plain[name], rtol=1e-5, atol=1e-6)


def test_validation_is_seen_with_the_weights_by_which_the_model_is_judged():
    from minidl.training.callbacks import EMAWeights

    seen = []

    def look(name, trainer):
        if name.startswith("on_validation"):
            has = "val_loss" in trainer.history.rows[-1]
            seen.append((name, has, same(trainer.model.state_dict(), ema.ema.average)))

    ema = EMAWeights(decay=0.9)
    fit(make(ema, Watch(look)))
    assert seen == [("on_validation_start", False, True), ("on_validation_end", True, True)]
