"""Inside a callback model, NumPy and Trainer behave as outside a fit; what does not is documented in `Callback`."""

import warnings

import numpy as np
import pytest

from minidl import nn, optim
from minidl.data import DataLoader
from minidl.training import Callback, Trainer
from minidl.training.diagnosis import NonFiniteLossError
from minidl.training.metrics import TopK

from ..fits import make, problem

HOOKS = (
    *("on_fit_start", "on_epoch_start", "on_batch_start", "on_batch_end", "on_validation_start", "on_validation_end"),
    *("on_epoch_end", "on_save", "on_fit_end"),
)


class Do(Callback):
    """Does something in one of the hooks."""

    def __init__(self, hook, action):
        self.results = []
        setattr(self, hook, lambda trainer: self.results.append(action(trainer)))


def fit(callback, **options):
    """Fit with a callback; return the weights."""
    trainer = make(callbacks=[callback] if callback else [])
    for name, value in options.items():
        setattr(trainer, name, value)
    trainer.model[2].rng = np.random.default_rng(0)
    for number, parameter in enumerate(trainer.model.params()):
        parameter.data[...] = np.random.default_rng(number).standard_normal(parameter.shape)
    trainer.fit(DataLoader(problem(), 10), DataLoader(problem(), 25), epochs=2)
    return trainer.model.state_dict()


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


def gradient(trainer):
    """The gradient of the images, written by hand."""
    model = trainer.model
    modes = [module.training for module in model.modules()]
    model.eval()
    x = problem().arrays[0][:3]
    out = model(x)
    dx = model.backward(np.ones_like(out))
    for module, mode in zip(model.modules(), modes, strict=True):
        module.training = mode
    return dx


@pytest.mark.parametrize("hook", HOOKS)
def test_backward_returns_the_gradient_of_the_input_and_leaves_no_trace(hook):
    look = Do(hook, gradient)
    weights = fit(look)
    assert look.results
    assert all(dx.shape == (3, 4) and np.abs(dx).max() > 0 for dx in look.results)
    assert same(weights, fit(None))


def test_a_single_layer_and_a_flag_of_the_users_own():
    model = nn.Linear(4, 3)
    look = Do("on_batch_end", gradient)
    Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), 0.1), callbacks=[look], progress="none").fit(
        DataLoader(problem(), 25)
    )
    assert all(dx.shape == (3, 4) for dx in look.results)
    trainer = make()
    trainer.model[0].needs_input_grad = False
    trainer.fit(DataLoader(problem(), 25))
    assert not trainer.model[0].needs_input_grad


@pytest.mark.parametrize("hook", HOOKS)
def test_warnings_of_a_callback_are_shown(hook):
    with pytest.warns(RuntimeWarning, match="overflow"):
        fit(Do(hook, lambda _trainer: np.float32(1e38) * np.array([10], np.float32)))


def test_warnings_of_the_data_are_shown_and_the_steps_own_are_not():
    class Overflowing:
        def __iter__(self):
            x, y = problem().arrays
            assert np.isinf(np.float32(1e38) * np.array([10], np.float32))
            yield x, y

    for call in ("fit", "evaluate", "predict"):
        with pytest.warns(RuntimeWarning, match="overflow"):
            getattr(make(), call)(Overflowing())
    trainer = make(lr=1e30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(NonFiniteLossError):
            trainer.fit(DataLoader(problem(), 10), epochs=5)


@pytest.mark.parametrize("hook", ["on_epoch_start", "on_batch_end", "on_epoch_end"])
def test_evaluate_and_predict_leave_no_trace(hook):
    data = DataLoader(problem(20), 8)

    def look(trainer):
        trainer.model[0].eval()
        modes = [module.training for module in trainer.model.modules()]
        result = trainer.evaluate(data)["top2"], trainer.predict(data).shape
        assert modes == [module.training for module in trainer.model.modules()]
        return result

    assert same(fit(Do(hook, look), metrics=[TopK(2)]), fit(None))


def test_a_fit_within_is_another_trainers():
    def again(trainer):
        with pytest.raises(RuntimeError, match="Trainer.fit: this Trainer is in the middle of a fit; create another"):
            trainer.fit(DataLoader(problem(), 10))
        return trainer.epoch

    look = Do("on_epoch_end", again)
    assert same(fit(look), fit(None))
    assert look.results == [1, 2]

    def other(trainer):
        own = optim.SGD(trainer.model.params(), 0.1)
        inner = Trainer(trainer.model, nn.CrossEntropyLoss(), own, progress="none")
        trainer.model[1].eval()
        assert len(inner.fit(DataLoader(problem(), 25))) == 1
        assert trainer.model.training
        assert not trainer.model[1].training
        assert trainer.model.needs_input_grad
        return trainer.history.rows[-1]["epoch"]

    look = Do("on_epoch_end", other)
    fit(look)
    assert look.results == [1, 2]
    trainer = make(callbacks=[Do("on_epoch_end", lambda _trainer: 1 / 0)])
    for _ in range(2):  # a fit that failed is no longer in the middle of anything
        with pytest.raises(ZeroDivisionError):
            trainer.fit(DataLoader(problem(), 25))
