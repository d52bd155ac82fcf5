"""A training step of one's own, automatic and manual, and several optimisers: against loops written out."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from minidl.training import Callback, NonFiniteLossError, Trainer
from minidl.training.callbacks import EarlyStopping
from minidl.training.model_checkpoint import ModelCheckpoint

X = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float64)
Y = np.arange(20) % 3
DATA = ArrayDataset(X, Y)


class Pair(nn.Module):
    """Two parts, each trained by an optimiser of its own."""

    def __init__(self):
        super().__init__()
        self.g, self.d = nn.Linear(3, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.d(np.tanh(self.g(x)))


def pair():
    minidl.manual_seed(0)
    return Pair().astype(np.float64)


def optimizers(model, kind=optim.Adam):
    return {"g": kind(model.g.params(), lr=0.02), "d": optim.SGD(model.d.params(), lr=0.1, momentum=0.9)}


class Own(Trainer):
    """The plain step, written out, and a penalty that no option gives."""

    penalty = 0.0

    def training_step(self, batch):
        x, y = batch
        output = self.model(x)
        loss = self.loss(output, y)
        return {"loss": loss, "right": (output.argmax(1) == y).mean()}


class Super(Trainer):
    def training_step(self, batch):
        return super().training_step(batch)


class Manual(Trainer):
    """Alternates between the two optimisers."""

    def training_step(self, batch):
        x, y = batch
        losses = []
        for optimizer in self.optimizer:
            optimizer.zero_grad()
            loss = self.loss(self.model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
        return self.done(losses[0], second=losses[1])


def trainer(kind=Own, several=True, **options):
    model = pair()
    optimizer = optimizers(model) if several else optim.Adam(model.params(), lr=0.02)
    return kind(model, nn.CrossEntropyLoss(), optimizer, progress="none", **options)


def same(one, other, tolerance=0.0):
    for name, value in one.model.state_dict().items():
        np.testing.assert_allclose(other.model.state_dict()[name], value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", [Own, Super])
@pytest.mark.parametrize("options", [{}, {"clip_grad_norm": 0.1}, {"accumulate": 3}])
@pytest.mark.parametrize("several", [True, False])
def test_an_automatic_step_is_the_plain_one(kind, options, several):
    plain, own = trainer(Trainer, several, **options), trainer(kind, several, **options)
    loaders = [DataLoader(DATA, 6), DataLoader(DATA, 20)]
    first, second = plain.fit(*loaders, epochs=3), own.fit(*loaders, epochs=3)
    same(plain, own, 1e-12)
    np.testing.assert_allclose(first["train_loss"], second["train_loss"], rtol=1e-12)
    np.testing.assert_allclose(first["val_accuracy"], second["val_accuracy"], rtol=1e-12)
    assert own.steps == plain.steps
    assert own.batch_loss == pytest.approx(plain.batch_loss, rel=1e-12)
    assert own.grad_norm == pytest.approx(plain.grad_norm, rel=1e-12)
    if kind is Own:
        assert second.columns()[2:4] == ["train_loss", "train_right"]
        np.testing.assert_allclose(first["train_accuracy"], second["train_right"], rtol=1e-12)


def test_several_optimizers_are_a_loop_over_them():
    model = pair()
    several, loss_fn = list(optimizers(model).values()), nn.CrossEntropyLoss()
    for _ in range(3):
        for x, y in DataLoader(DATA, 6):
            for one in several:
                one.zero_grad()
            loss_fn(model(x), y).backward()
            for one in several:
                one.step()
    fitted = trainer(Trainer)
    fitted.fit(DataLoader(DATA, 6), epochs=3)
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(fitted.model.state_dict()[name], value, rtol=1e-12, atol=1e-12)
    g, d = fitted.optimizer
    assert fitted.optimizer["g"] is g
    assert [len(fitted.optimizer), type(d)] == [2, optim.SGD]


def test_a_manual_step_is_a_loop_written_out():
    model = pair()
    named, loss_fn, rows = optimizers(model), nn.CrossEntropyLoss(), []
    for _ in range(2):
        sums = np.zeros(2)
        for x, y in DataLoader(DATA, 6):
            for number, optimizer in enumerate(named.values()):
                optimizer.zero_grad()
                loss = loss_fn(model(x), y)
                loss.backward()
                optimizer.step()
                sums[number] += float(loss) * len(x)
        rows.append(sums / 20)
    own = trainer(Manual)
    history = own.fit(DataLoader(DATA, 6), DataLoader(DATA, 20), epochs=2)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(own.model.state_dict()[name], value)
    np.testing.assert_allclose(np.transpose([history["train_loss"], history["train_second"]]), rows, rtol=1e-12)
    assert history.columns()[2:] == ["train_loss", "train_second", "val_loss", "val_accuracy", "seconds"]


class Generative(nn.Module):
    def __init__(self):
        super().__init__()
        self.g = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3))
        self.d = nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.2), nn.Linear(4, 1))

    def forward(self, z):
        return self.g(z)


class GAN(Trainer):
    """Three backward passes, two optimisers: DCGAN's step."""

    def training_step(self, batch):
        x, z = batch
        g, d, ones = self.model.g, self.model.d, np.ones((len(x), 1))
        self.optimizer["d"].zero_grad()
        real = self.loss(d(x), ones)
        real.backward()
        made = g(z)
        false = self.loss(d(minidl.detach(made)), 0 * ones)
        false.backward()
        self.optimizer["d"].step()
        self.optimizer["g"].zero_grad()
        fooled = self.loss(d(made), ones)
        fooled.backward()
        self.optimizer["g"].step()
        return self.done(d_loss=real + false, g_loss=fooled)


def test_a_gan_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    minidl.manual_seed(0)
    model = Generative().astype(np.float64)
    z = np.random.default_rng(1).standard_normal((20, 2))
    options = {"g": optim.Adam(model.g.params(), lr=0.02), "d": optim.Adam(model.d.params(), lr=0.02)}
    nn_ = torch.nn
    g = nn_.Sequential(nn_.Linear(2, 4), nn_.Tanh(), nn_.Linear(4, 3)).double()
    d = nn_.Sequential(nn_.Linear(3, 4), nn_.LeakyReLU(0.2), nn_.Linear(4, 1)).double()
    for theirs, ours in ((g, model.g), (d, model.d)):
        theirs.load_state_dict({name: torch.from_numpy(value) for name, value in ours.state_dict().items()})
    opt_g, opt_d = (torch.optim.Adam(part.parameters(), lr=0.02) for part in (g, d))
    criterion, sums = nn_.BCEWithLogitsLoss(), np.zeros((5, 2))
    for epoch in range(5):
        for i in range(0, 20, 10):
            real, noise = torch.from_numpy(X[i : i + 10]), torch.from_numpy(z[i : i + 10])
            ones = torch.ones(10, 1).double()
            opt_d.zero_grad()
            d_loss = criterion(d(real), ones)
            d_loss.backward()
            made = g(noise)
            false = criterion(d(made.detach()), 0 * ones)
            false.backward()
            opt_d.step()
            opt_g.zero_grad()
            fooled = criterion(d(made), ones)
            fooled.backward()
            opt_g.step()
            sums[epoch] += (d_loss + false).item() / 2, fooled.item() / 2
    history = GAN(model, nn.BCEWithLogitsLoss(), options, progress="none").fit(
        DataLoader(ArrayDataset(X, z), 10), epochs=5
    )
    np.testing.assert_allclose(np.transpose([history["train_d_loss"], history["train_g_loss"]]), sums, rtol=1e-10)
    assert "train_loss" not in history.columns()


KILLED = """
import sys
sys.path.insert(0, sys.argv[1])
from test_training_step import fit_for_resume
fit_for_resume(sys.argv[2], sys.argv[3], kill=True)
"""


class Kill(Callback):
    at = None

    def on_save(self, trainer):
        if trainer.steps == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def fit_for_resume(folder, kind, kill=False):
    checkpoint, killer = ModelCheckpoint(folder, every=1), Kill()
    killer.at = 6 if kill else None
    own = trainer({"manual": Manual, "own": Own, "plain": Trainer}[kind], callbacks=[checkpoint, killer])
    g, d = own.optimizer
    own.scheduler = {"g": StepLR(g, 2, 0.5), "d": ReduceLROnPlateau(d, patience=0, monitor="train_loss")}
    own.fit(DataLoader(DATA, 6, shuffle=True), epochs=4, resume=folder)
    return own


@pytest.mark.parametrize("kind", ["manual", "own", "plain"])
def test_a_fit_that_is_killed_goes_on_bit_for_bit(tmp_path, kind):
    whole = fit_for_resume(tmp_path / "a", kind)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path / "b"), kind], check=False
    )
    assert done.returncode == -signal.SIGKILL
    rest = fit_for_resume(tmp_path / "b", kind)
    assert rest.resumed
    same(whole, rest)
    assert [{**row, "seconds": 0} for row in rest.history] == [{**row, "seconds": 0} for row in whole.history]
    states = [one.optimizer.state_dict()["optimizers"] for one in (whole, rest)]
    for ours, theirs in zip(*states, strict=True):
        assert ours["param_groups"] == theirs["param_groups"]
        for number, entries in ours["state"].items():
            for name, value in entries.items():
                np.testing.assert_array_equal(theirs["state"][number][name], value)
    changed = trainer(Own, callbacks=[ModelCheckpoint(tmp_path / "a", every=1), Kill()])
    with pytest.raises(ValueError, match=r"cannot resume: scheduler of the checkpoint: \{'g': 'StepLR'"):
        changed.fit(DataLoader(DATA, 6, shuffle=True), epochs=4, resume=tmp_path / "a")


@pytest.mark.parametrize(("before", "after"), [(Trainer, Own), (Own, Trainer), (Own, Manual)])
def test_a_fit_with_another_step_does_not_continue(tmp_path, before, after):
    trainer(before, callbacks=[ModelCheckpoint(tmp_path)]).fit(DataLoader(DATA, 6))
    with pytest.raises(ValueError, match=r"cannot resume: training_step of the checkpoint: \w+.training_step, of this"):
        trainer(after, callbacks=[ModelCheckpoint(tmp_path)]).fit(DataLoader(DATA, 6), epochs=2, resume=tmp_path)


def test_options_of_each_optimizer_are_compared(tmp_path):
    def fit(lr, **resume):
        model = pair()
        several = [optim.Adam(model.g.params(), lr=0.02), optim.Adam(model.d.params(), lr=lr)]
        own = Trainer(model, nn.CrossEntropyLoss(), several, callbacks=[ModelCheckpoint(tmp_path)], progress="none")
        own.fit(DataLoader(DATA, 6), epochs=2, **resume)

    fit(0.02)
    with pytest.raises(ValueError, match=r"cannot resume: optimizer.1.0.lr of the checkpoint: 0.02, .*: 0.03"):
        fit(0.03, resume=tmp_path)


def test_a_parameter_that_gets_no_gradient_is_told_once():
    class Half(Trainer):
        def training_step(self, batch):
            return self.loss(np.asarray(self.model.g(batch[0])), batch[1])

    with pytest.warns(UserWarning, match="no gradient came to 'd.weight', 'd.bias' in the first step") as told:
        trainer(Half).fit(DataLoader(DATA, 6))
    assert len(told) == 1


def test_nothing_that_is_not_finite_enters_an_automatic_step():
    class Broken(Own):
        def training_step(self, batch):
            loss = super().training_step(batch)["loss"]
            return loss * (math.nan if self.batch == 2 else 1.0)

    own = trainer(Broken, on_nonfinite="skip")
    history = own.fit(DataLoader(DATA, 6), epochs=1)
    assert history["skipped"] == [1]
    assert own.steps == 3
    with pytest.raises(NonFiniteLossError, match=r"the loss is nan in epoch 1, batch 2.*training_step\(\) returned it"):
        trainer(Broken).fit(DataLoader(DATA, 6))

    class Infinite(Manual):
        def training_step(self, batch):
            return self.done(2.0, other=math.inf)

    with pytest.raises(NonFiniteLossError, match=r"other is inf .*training_step\(\) has made the step itself"):
        trainer(Infinite).fit(DataLoader(DATA, 6))


def returning(value):
    class Returning(Trainer):
        def training_step(self, batch):
            return value(self, *batch) if callable(value) else value

    return Returning


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: trainer(returning(1.5)),
            TypeError,
            "returned a float as the loss; return the loss that a loss function",
        ),
        (lambda: trainer(returning({"right": 1})), TypeError, r"returned a dict without a loss; .*self.done\(...\)"),
        (
            lambda: trainer(returning(lambda t, x, y: {"loss": t.loss(t.model(x), y), "out": x})),
            TypeError,
            "'out' must be a number",
        ),
        (
            lambda: trainer(Manual, clip_grad_norm=1.0),
            ValueError,
            "this training_step makes them itself, and calls optim.clip",
        ),
        (lambda: trainer(Manual, accumulate=2), ValueError, "accumulate is for steps that the Trainer makes"),
        (
            lambda: trainer(Manual, callbacks=[EarlyStopping("val_second")]),
            ValueError,
            "name 'val_second' does not tell",
        ),
        (lambda: trainer(Manual, callbacks=[EarlyStopping("val_loss")]), ValueError, "there is no column 'val_loss'"),
        (lambda: Trainer(pair(), nn.MSELoss(), []), ValueError, "at least one optimizer"),
        (lambda: Trainer(pair(), nn.MSELoss(), [1]), TypeError, r"optimizer\[0\] must be an Optimizer, got 1"),
        (
            lambda: Trainer(pair(), nn.MSELoss(), {1: optim.SGD(pair().params(), lr=1)}),
            TypeError,
            "names must be text, got 1",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make().fit(DataLoader(DATA, 6))


def test_parameters_and_schedules_belong_to_one_optimizer():
    model = pair()
    g, d = optimizers(model).values()
    with pytest.raises(ValueError, match=r"optimizer\[0\] and optimizer\[1\] both have a parameter of shape \(4, 3\)"):
        Trainer(model, nn.CrossEntropyLoss(), [g, optim.SGD(model.params(), lr=0.1)])
    with pytest.raises(TypeError, match="several at once are a ChainedScheduler"):
        Trainer(model, nn.CrossEntropyLoss(), g, scheduler=[StepLR(g, 1)])
    other = StepLR(optim.SGD(model.d.params(), lr=0.1), 1)
    with pytest.raises(ValueError, match="StepLR: it was made for another optimizer than the Trainer's"):
        Trainer(model, nn.CrossEntropyLoss(), [g, d], scheduler=[other], progress="none").fit(DataLoader(DATA, 6))


def test_columns_of_ones_own_can_be_watched_and_best_weights_kept(tmp_path):
    stopping = EarlyStopping("train_second", mode="min", patience=0, min_delta=100)
    own = trainer(Manual, callbacks=[stopping, ModelCheckpoint(tmp_path)])
    assert len(own.fit(DataLoader(DATA, 6), epochs=5)) == 2
    assert (tmp_path / "best.npz").exists()
    silent = trainer(returning(None), callbacks=[ModelCheckpoint(tmp_path / "b")])
    assert silent.fit(DataLoader(DATA, 6), epochs=2).columns() == ["epoch", "lr", "seconds"]
    assert (tmp_path / "b" / "last.ckpt").exists()


def test_a_failure_in_a_step_leaves_the_model_as_it_was():
    class Failing(Own):
        def training_step(self, batch):
            self.model(batch[0])
            raise KeyError("mine")

    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).astype(np.float64)
    own = Failing(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), progress="none")
    before = own.model.state_dict()
    with pytest.raises(KeyError):
        own.fit(DataLoader(DATA, 6))
    for name, value in own.model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
