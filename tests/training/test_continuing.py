"""Resuming with changes: `fit(..., resume=..., exact=False)`."""

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.optim.lr_scheduler import OneCycleLR, StepLR
from minidl.training import Callback, ModelCheckpoint, Trainer

RNG = np.random.default_rng(1)
DATA = ArrayDataset(RNG.standard_normal((48, 4)).astype(np.float32), RNG.integers(0, 3, 48))


class Start(Callback):
    """Notes the weights with which a fit starts."""

    def on_fit_start(self, trainer):
        self.weights = trainer.model.state_dict()


def make(folder, kind=optim.SGD, schedule=None, callbacks=(), accumulate=1, groups=False, **options):
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    given = {"lr": 0.1, "momentum": 0.9, **options} if kind is optim.SGD else {"lr": 0.01, **options}
    params = [{"params": list(model[0].params())}, {"params": list(model[2].params())}] if groups else model.params()
    optimizer = kind(params, **given)
    return Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        scheduler=None if schedule is None else schedule(optimizer),
        callbacks=[*callbacks, ModelCheckpoint(folder)],
        accumulate=accumulate,
        progress="lines",
    )


@pytest.fixture
def begun(tmp_path, capsys):
    """A fit of two epochs."""
    trainer = make(tmp_path)
    trainer.fit(DATA, DATA, epochs=2, batch_size=8)
    capsys.readouterr()
    return tmp_path, trainer


def by_hand(state, velocity, lr, momentum, batches):
    """PyTorch's SGD from these weights and velocities, in plain NumPy through a fresh model's gradients."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    model.load_state_dict(state)
    loss_fn = nn.CrossEntropyLoss()
    velocity = [v.copy() for v in velocity]
    for x, y in batches:
        model.zero_grad()
        loss_fn(model(x), y)
        model.backward(loss_fn.backward())
        for v, p in zip(velocity, model.params(), strict=True):
            v[...] = momentum * v + p.grad
            p.data[...] -= lr * v
    return model.state_dict()


def test_weights_velocities_epoch_and_history_are_the_checkpoints_all_else_is_new(begun, capsys):
    folder, first = begun
    rows = [dict(row) for row in first.history.rows]
    state = first.model.state_dict()
    velocity = [first.optimizer.state[p]["momentum_buffer"].copy() for p in first.model.params()]
    watching = Start()
    second = make(folder, lr=0.01, callbacks=[watching])
    batches = [(DATA.arrays[0][i : i + 16], DATA.arrays[1][i : i + 16]) for i in range(0, 48, 16)]
    history = second.fit(batches, [(DATA.arrays[0], DATA.arrays[1])], epochs=3, resume=folder, exact=False)
    assert [row["epoch"] for row in history.rows] == [1, 2, 3]
    assert history.rows[:2] == rows
    assert history.rows[2]["lr"] == 0.01
    assert all(np.array_equal(watching.weights[name], state[name]) for name in state)
    expected = by_hand(state, velocity, 0.01, 0.9, batches)
    for name, value in second.model.state_dict().items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-7)
    out = capsys.readouterr().out
    assert f"resumed after epoch 2 from {folder / 'last.ckpt'}, not exactly: weights, the optimizer's state and" in out
    assert "resumed with optimizer.0.lr 0.01; it was 0.1" in out


def test_what_continues_inexactly_can_be_resumed_exactly(begun):
    folder, _ = begun
    whole = make(folder, lr=0.01)
    whole.fit(DATA, epochs=4, batch_size=16, resume=folder, exact=False)
    # the same again in two parts
    again = folder / "again"
    make(again).fit(DATA, DATA, epochs=2, batch_size=8)
    make(again, lr=0.01).fit(DATA, epochs=3, batch_size=16, resume=again, exact=False)
    parts = make(again, lr=0.01)
    parts.fit(DATA, epochs=4, batch_size=16, resume=again)
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(parts.model.state_dict()[name], value)


def test_the_order_of_the_samples_is_not_that_of_the_first_epoch_again(begun, monkeypatch):
    folder, _ = begun
    seen = []
    original = DataLoader._order

    def order(self, seed):
        seen.append(seed)
        return original(self, seed)

    monkeypatch.setattr(DataLoader, "_order", order)
    make(folder / "other").fit(DATA, epochs=2, batch_size=8)
    first = list(seen)
    seen.clear()
    make(folder, lr=0.01).fit(DATA, epochs=4, batch_size=8, resume=folder, exact=False)
    assert len(set(first + seen)) == 4


def test_a_schedule_begins_anew(begun):
    folder, _ = begun
    trainer = make(folder, schedule=lambda optimizer: OneCycleLR(optimizer, 0.2, total_steps=6, pct_start=0.5))
    trainer.fit(DATA, epochs=4, batch_size=16, resume=folder, exact=False)
    assert trainer.history["lr"][2] == pytest.approx(0.2 / 25)
    assert trainer.scheduler.last_epoch == 6
    with pytest.raises(ValueError, match="OneCycleLR: it has 2 steps, and ends before the fit does"):
        make(folder, schedule=lambda optimizer: OneCycleLR(optimizer, 0.2, total_steps=2)).fit(
            DATA, epochs=6, batch_size=16, resume=folder, exact=False
        )


@pytest.mark.parametrize("change", [{"kind": optim.Adam}, {"groups": True}])
def test_another_optimizer_begins_anew_and_that_is_told(change, begun, capsys):
    folder, _ = begun
    trainer = make(folder, **change)
    trainer.fit(DATA, epochs=3, batch_size=8, resume=folder, exact=False)
    assert (
        "begun anew: the state of the optimizer, which is of another kind or has other groups"
        in capsys.readouterr().out
    )
    assert len(trainer.history) == 3


def test_an_epoch_that_was_interrupted_is_begun_again(tmp_path):
    class Stop(Callback):
        def on_batch_end(self, trainer):
            if trainer.steps == 8:
                raise KeyboardInterrupt

    trainer = make(tmp_path)
    trainer.callbacks[0].every = 1
    trainer.callbacks.append(Stop())
    trainer.fit(DATA, epochs=3, batch_size=8)
    assert trainer.history.interrupted
    again = make(tmp_path, lr=0.05)
    history = again.fit(DATA, epochs=2, batch_size=24, resume=tmp_path, exact=False)
    assert [row["epoch"] for row in history.rows] == [1, 2]
    assert again.steps == 7 + 2  # the eighth was not saved


def test_a_refused_continuation_changes_nothing(begun):
    folder, _ = begun
    minidl.manual_seed(3)
    other = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 3))
    trainer = Trainer(other, nn.CrossEntropyLoss(), optim.SGD(other.params(), lr=0.1), progress="none")
    before = other.state_dict()
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match=r"last.ckpt: Trainer: cannot resume: .*0.weight has shape \(8, 4\), expected"):
        trainer.fit(DATA, resume=folder, exact=False)
    assert all(np.array_equal(before[name], value) for name, value in other.state_dict().items())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


def test_exact_says_how_to_resume(tmp_path):
    with pytest.raises(ValueError, match="exact=False says how to resume; give resume=folder, too"):
        make(tmp_path).fit(DATA, exact=False)
    with pytest.raises(TypeError, match="exact must be True or False"):
        make(tmp_path).fit(DATA, resume=tmp_path, exact=0)


def test_without_a_checkpoint_the_fit_begins_from_the_start(tmp_path, capsys):
    trainer = make(tmp_path, schedule=lambda optimizer: StepLR(optimizer, 1))
    trainer.fit(DATA, epochs=1, resume=tmp_path, exact=False)
    assert "there is no checkpoint in" in capsys.readouterr().out
    assert len(trainer.history) == 1
