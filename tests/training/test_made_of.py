"""A fit that is resumed must be made as it was: every option is compared, and every difference is listed."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader, StratifiedSampler, Subset, transforms
from minidl.optim import lr_scheduler
from minidl.training import Callback, ModelCheckpoint, Trainer
from minidl.training.callbacks import EarlyStopping, TimeLimit
from minidl.training.made_of import describe, differences
from minidl.training.metrics import TopK


def dataset(change=0.0, count=40):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((count, 1, 4, 4)).astype(np.float32)
    images[7] += np.float32(change)
    return ArrayDataset(images, np.arange(count) % 3)


class Own(Callback):
    def __init__(self, strength=1, note="x"):
        self.strength, self.note, self.seen = strength, note, []

    compared = ("strength",)

    def on_batch_end(self, trainer):
        self.seen.append(trainer.steps)


def fit(folder, epochs=2, resume=True, progress="none", **changed):
    option = {
        "p": 0.25, "channels": 2, "lr": 0.1, "momentum": 0.5, "decay": 0.0, "nesterov": False, "smoothing": 0.0,
        "gamma": 0.5, "patience": 9, "k": 2, "data": dataset(), "val": dataset(count=9), "batch_size": 8,
        "transform": transforms.RandomCrop(4, padding=1), "clip": 1.0, "nonfinite": "raise", "frozen": False,
        "strength": 1, "note": "x", "seconds": 100, "every": 2, "sampler": None, "schedule": None, "bias": True,
        "monitor": "val_loss", **changed,
    }  # fmt: skip
    minidl.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, option["channels"], 3, padding=1, bias=option["bias"]), nn.ReLU(), nn.Flatten(),
        nn.Dropout(option["p"]), nn.Linear(16 * option["channels"], 3),
    )  # fmt: skip
    if option["frozen"]:
        model[0].requires_grad_(False)
    optimizer = optim.SGD(
        [p for p in model.params() if p.requires_grad], lr=option["lr"], momentum=option["momentum"],
        weight_decay=option["decay"], nesterov=option["nesterov"],
    )  # fmt: skip
    scheduler = (option["schedule"] or (lambda o: lr_scheduler.StepLR(o, 2, option["gamma"])))(optimizer)
    trainer = Trainer(
        model, nn.CrossEntropyLoss(label_smoothing=option["smoothing"]), optimizer, scheduler=scheduler,
        metrics=[TopK(option["k"])], clip_grad_norm=option["clip"], on_nonfinite=option["nonfinite"],
        callbacks=[
            EarlyStopping(option["monitor"], patience=option["patience"]), Own(option["strength"], option["note"]),
            TimeLimit(option["seconds"]), ModelCheckpoint(folder, every=option["every"]),
        ],
        progress=progress,
    )  # fmt: skip
    loader = DataLoader(
        option["data"], option["batch_size"], shuffle=option["sampler"] is None, sampler=option["sampler"],
        transform=option["transform"],
    )  # fmt: skip
    val = None if option["val"] is None else DataLoader(option["val"], 16)
    trainer.fit(loader, val, epochs=epochs, resume=folder if resume else None)
    return trainer


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A folder with the checkpoint of a finished fit, as bytes to be put anywhere."""
    folder = tmp_path_factory.mktemp("made of")
    fit(folder, resume=False)
    return (folder / "last.ckpt").read_bytes()


def resume(stopped, tmp_path, **changed):
    (tmp_path / "last.ckpt").write_bytes(stopped)
    return fit(tmp_path, **changed)


@pytest.mark.parametrize(
    ("changed", "listed"),
    [
        ({"p": 0.5}, "model.3.p of the checkpoint: 0.25, of this Trainer: 0.5"),
        ({"lr": 0.2}, "optimizer.0.lr of the checkpoint: 0.1, of this Trainer: 0.2"),
        ({"momentum": 0.9}, "optimizer.0.momentum of the checkpoint: 0.5, of this Trainer: 0.9"),
        ({"decay": 0.01}, "optimizer.0.weight_decay of the checkpoint: 0.0, of this Trainer: 0.01"),
        ({"nesterov": True}, "optimizer.0.nesterov of the checkpoint: False, of this Trainer: True"),
        ({"smoothing": 0.1}, "loss.self.label_smoothing of the checkpoint: 0.0, of this Trainer: 0.1"),
        ({"gamma": 0.1}, "scheduler.gamma of the checkpoint: 0.5, of this Trainer: 0.1"),
        ({"schedule": lambda o: lr_scheduler.StepLR(o, 1, 0.5)}, "scheduler.step_size of the checkpoint: 2"),
        ({"patience": 3}, "callbacks.EarlyStopping.patience of the checkpoint: 9, of this Trainer: 3"),
        ({"strength": 2}, "callbacks.Own.strength of the checkpoint: 1, of this Trainer: 2"),
        ({"clip": None}, "clip_grad_norm of the checkpoint: 1.0, of this Trainer: None"),
        ({"nonfinite": "skip"}, "on_nonfinite of the checkpoint: raise, of this Trainer: skip"),
        ({"data": dataset(0.01)}, "data.dataset.arrays.0 of the checkpoint: float32 "),
        ({"data": Subset(dataset(count=50), range(40))}, "data.dataset.kind of the checkpoint: ArrayDataset"),
        ({"val": dataset(1.0, count=9)}, "validation.dataset.arrays.0 of the checkpoint: "),
        ({"transform": None}, "data.transform of the checkpoint: "),
        (
            {"transform": transforms.RandomCrop(4, padding=2)},
            "data.transform.padding of the checkpoint: [1, 1], of",
        ),
        ({"sampler": StratifiedSampler(np.arange(40) % 3)}, "data.sampler of the checkpoint: None"),
        ({"frozen": True}, "model.without gradient of the checkpoint: None"),
        ({"bias": False}, "model.0.bias of the checkpoint: "),
    ],
    ids=lambda value: str(value)[:25],
)
def test_a_difference_is_an_error_that_lists_it(stopped, tmp_path, changed, listed):
    with pytest.raises(ValueError, match="Trainer: cannot resume: ") as caught:
        resume(stopped, tmp_path, **changed)
    assert listed in str(caught.value)


def test_all_differences_are_listed_together(stopped, tmp_path):
    with pytest.raises(ValueError) as caught:
        resume(stopped, tmp_path, lr=0.3, p=0.1, clip=2.0)
    for name in ("optimizer.0.lr", "model.3.p", "clip_grad_norm"):
        assert name in str(caught.value)


def test_what_may_differ(stopped, tmp_path, capsys):
    resume(stopped, tmp_path, seconds=5000, every=3, note="other")
    assert len(resume(stopped, tmp_path, epochs=3, progress="lines").history) == 3
    assert "resumed with epochs 3; it was 2\n" in capsys.readouterr().out


def test_another_engine_may_go_on_and_is_told(stopped, tmp_path, capsys):
    minidl.set_engine("im2col")
    try:
        resume(stopped, tmp_path, epochs=3, progress="lines")
    finally:
        minidl.set_engine("numpy")
    assert "resumed with engine im2col; it was numpy\n" in capsys.readouterr().out


def one_cycle(epochs):
    return lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, epochs * 5, cycle_momentum=False)


def test_a_validation_set_that_was_added_or_left_out(tmp_path):
    """Otherwise the best epoch would be chosen among losses of different data."""
    for first, second in ((None, dataset(count=9)), (dataset(count=9), None)):
        folder = tmp_path / str(first is None)
        fit(folder, resume=False, val=first, monitor="train_loss")
        with pytest.raises(ValueError, match="validation of the checkpoint: "):
            fit(folder, epochs=3, val=second, monitor="train_loss")


def test_a_schedule_made_for_more_epochs_says_that_the_rate_jumps(tmp_path, capsys):
    fit(tmp_path, epochs=3, resume=False, schedule=one_cycle(3))
    with pytest.warns(RuntimeWarning, match="schedule is another one than before: the learning rate goes on at 0.0"):
        after = fit(tmp_path, epochs=6, schedule=one_cycle(6))
    assert len(after.history) == 6
    assert after.history["lr"][3] > 0.05
    with pytest.raises(ValueError, match=r"scheduler\.total_steps of the checkpoint: 30, of this Trainer: 40"):
        fit(tmp_path, epochs=6, schedule=one_cycle(8))


def test_one_cycles_options_are_compared(tmp_path):
    def made(**options):
        return lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, 10, **{"max_momentum": 0.9, **options})

    fit(tmp_path, resume=False, schedule=made())
    for name, value in (("pct_start", 0.5), ("max_momentum", 0.8), ("div_factor", 5.0), ("anneal_strategy", "linear"),
                        ("final_div_factor", 10.0), ("base_momentum", 0.7), ("three_phase", True)):  # fmt: skip
        with pytest.raises(ValueError, match=rf"scheduler\.{name} of the checkpoint: "):
            fit(tmp_path, schedule=made(**{name: value}))


def halving(epoch):
    return 0.5**epoch


def constant(epoch):
    return 1.0


@pytest.mark.parametrize("listed", [False, True])
def test_the_function_of_a_schedule_is_compared(tmp_path, listed):
    def schedule(function):
        return lambda o: lr_scheduler.LambdaLR(o, [function] if listed else function)

    fit(tmp_path, resume=False, schedule=schedule(halving))
    fit(tmp_path, schedule=schedule(halving))
    with pytest.raises(
        ValueError, match=r"scheduler\.lr_lambda(\.0)? of the checkpoint: halving, of this Trainer: constant"
    ):
        fit(tmp_path, schedule=schedule(constant))


def test_a_second_fit_of_the_same_objects_may_be_resumed(tmp_path):
    """What callbacks, layers and schedules have seen since they were made is not an option."""
    trainer = fit(tmp_path / "first", resume=False)
    loader = DataLoader(dataset(), 8, shuffle=True, transform=transforms.RandomCrop(4, padding=1))
    trainer.callbacks[-1].folder = tmp_path / "second"
    trainer.fit(loader, DataLoader(dataset(count=9), 16), epochs=1)
    trainer.fit(loader, DataLoader(dataset(count=9), 16), epochs=2, resume=tmp_path / "second")


def test_a_state_without_a_description_is_taken(stopped, tmp_path):
    """Earlier versions wrote none."""
    trainer = resume(stopped, tmp_path)
    state = trainer.state_dict()
    del state["made_of"]["options"]
    trainer.load_state_dict(state)


def test_descriptions_are_plain_data_and_stable():
    value = {
        "numbers": [1, 2.5, np.float32(0.5), float("inf"), None, True],
        "array": np.arange(3),
        "path": Path("x"),
        "function": describe,
        "rng": np.random.default_rng(0),
        "layer": nn.Conv2d(1, 2, (3, 1)),
        "nested": [Own(), (1, 2)],
    }
    plain = describe(value)
    assert json.loads(json.dumps(plain)) == plain
    assert not list(differences(plain, describe(value)))
    assert plain["numbers"] == [1, 2.5, 0.5, "inf", None, True]
    assert plain["function"] == "describe"
    assert plain["layer"]["self"]["kernel_size"] == [3, 1]


def test_differences_of_descriptions():
    theirs = {"a": {"b": [1, {"c": 2}], "only": 1}, "gone": 1}
    ours = {"a": {"b": [1, {"c": 3}], "new": 2}, "later": 1}
    assert list(differences(theirs, ours)) == [
        ("a.b.1.c", 2, 3), ("a.only", 1, None), ("a.new", None, 2), ("gone", 1, None)
    ]  # fmt: skip
    assert list(differences([1], [1, 2], "x")) == [("x", [1], [1, 2])]


def test_large_data_are_read_in_part():
    big = np.zeros((100_000, 50), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = describe(big)
    big[99_840 // 391 * 391] = 1  # a row that is looked at
    assert describe(big) != first


@pytest.mark.parametrize("how", ["freeze", "train"])
def test_a_frozen_dropout_is_not_one_that_drops(how, tmp_path):
    """It has no parameters that would tell."""
    model = nn.Sequential(nn.Dropout())
    described = describe(model)
    model[0].freeze()
    assert list(differences(described, describe(model))) == [("0.frozen", None, True)]


def test_what_is_looked_at_is_not_run_and_has_an_end():
    class Augment:
        def __init__(self, dataset):
            self.dataset = dataset

    class Own:
        def __init__(self, transform, size, depth=0):
            self.transform, self._size = Augment(self), size

        @property
        def size(self):
            raise AssertionError("this is not to be run")

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return np.zeros(2)

    assert describe(Own(1, 2))["transform"]["kind"] == "Augment"

    class Wrap(nn.Module):
        def __init__(self, inner, others=()):
            super().__init__()
            self.inner, self.others = inner, list(others)

    model = nn.Linear(2, 2)
    for _ in range(40):
        model = Wrap(model, [nn.Dropout(0.5)])
    described = describe(model)
    assert len(described) == 81
    assert described["self"] == {"kind": "Wrap"}


def test_the_momentum_and_rate_that_a_schedule_has_set_are_not_options(tmp_path):
    """OneCycleLR's first momentum depends on its length, which depends on the epochs."""

    def cycle(epochs):
        return lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, epochs * 5)

    fit(tmp_path, epochs=1, resume=False, schedule=cycle(1))
    with pytest.warns(RuntimeWarning, match="the schedule is another one than before"):
        assert len(fit(tmp_path, epochs=2, schedule=cycle(2)).history) == 2


def test_the_same_objects_go_on_whatever_a_fit_has_changed_in_them(tmp_path):
    class Anneal(Callback):
        def on_epoch_end(self, trainer):
            trainer.model[1].p /= 2
            trainer.optimizer.param_groups[0]["lr"] /= 2

    minidl.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3))
    optimizer = optim.SGD(model.params(), lr=0.1)
    callbacks = [Anneal(), ModelCheckpoint(tmp_path)]
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks, progress="none")
    loader = DataLoader(dataset(), 8)
    trainer.fit(loader, epochs=1)
    assert len(trainer.fit(loader, epochs=3, resume=tmp_path)) == 3


def test_a_difference_in_much_is_told_in_short(tmp_path):
    """Not in as many characters as there are labels."""

    def made(labels):
        minidl.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        trainer = Trainer(
            model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), callbacks=[ModelCheckpoint(tmp_path)],
            progress="none",
        )  # fmt: skip

        class Own:
            def __init__(self, labels):
                self.labels = labels

            def __len__(self):
                return 40

            def __getitem__(self, index):
                return np.zeros((1, 4, 4), np.float32), self.labels[index]

        trainer.fit(DataLoader(Own(labels), 8), epochs=1, resume=tmp_path)

    made(list(range(3)) * 10_000)
    with pytest.raises(ValueError, match=r"data.dataset.labels of the checkpoint: .* characters\)") as caught:
        made([*range(3)] * 9_999 + [0, 0, 0])
    assert len(str(caught.value)) < 1000
