"""What is known to go wrong is said before the first step: columns, directions, lengths of schedules, parameters."""

import numpy as np
import pytest
from fits import problem

from minidl import nn, optim
from minidl.data import DataLoader
from minidl.optim import lr_scheduler
from minidl.training import Callback, ModelCheckpoint, Trainer
from minidl.training.callbacks import EarlyStopping
from minidl.training.metrics import ROCAUC, ConfusionMatrix, F1Score, MeanLoss, Precision, Recall, TopK


class Watch(Callback):
    """Counts the steps."""

    steps = 0

    def on_batch_end(self, trainer):
        self.steps += 1


def plain(schedule=None, callbacks=(), loss=None, outputs=3, **options):
    model, watch = nn.Linear(4, outputs), Watch()
    optimizer = optim.SGD(model.params(), lr=0.1, momentum=0.9)
    scheduler = None if schedule is None else schedule(optimizer)
    trainer = Trainer(
        model,
        loss or nn.CrossEntropyLoss(),
        optimizer,
        scheduler=scheduler,
        callbacks=[*callbacks, watch],
        progress="none",
        **options,
    )
    return trainer, watch


def refused(trainer, message, val=None, epochs=2, train=None, error=ValueError):
    trainer, watch = trainer
    with pytest.raises(error, match=message):
        trainer.fit(DataLoader(problem(), 10) if train is None else train, val, epochs)
    assert watch.steps == 0
    assert (trainer.epoch, len(trainer.history)) == (0, 0)


def val():
    return DataLoader(problem(), 50)


# What a schedule or a callback watches


def test_a_plateau_watches_its_column():
    trainer, _ = plain(lambda o: lr_scheduler.ReduceLROnPlateau(o, monitor="val_accuracy", patience=0, factor=0.5))
    history = trainer.fit(DataLoader(problem(), 10), val(), epochs=5)
    assert trainer.scheduler.mode == "max"
    assert trainer.scheduler.best == max(history["val_accuracy"])
    improved = np.diff(np.maximum.accumulate(history["val_accuracy"])) > 0
    expected = 0.1 * 0.5 ** np.concatenate([[0], np.cumsum(~improved)])
    assert history["lr"] == pytest.approx(expected)
    assert len(set(history["lr"])) < 5


def test_a_plateau_that_improves_keeps_its_rate():
    class Better(Callback):
        def on_epoch_end(self, trainer):
            trainer.model.bias.data[:] = 0

    trainer, _ = plain(
        lambda o: lr_scheduler.ReduceLROnPlateau(o, "max", patience=0, monitor="train_accuracy"), [Better()]
    )
    assert trainer.scheduler.mode == "max"
    trainer.fit(DataLoader(problem(), 10), epochs=2)
    assert trainer.scheduler.best == max(trainer.history["train_accuracy"])


@pytest.mark.parametrize("validated", [True, False])
def test_a_plateau_of_the_loss_must_look_for_the_smallest(validated):
    column = "val_loss" if validated else "train_loss"
    refused(
        plain(lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="max")),
        f"ReduceLROnPlateau: mode='max' does not fit '{column}', use mode='min', or .* monitor='val_accuracy'",
        val() if validated else None,
    )


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        ("val_loss", "max"),
        ("train_loss", "max"),
        ("val_mae", "max"),
        ("val_mean_loss", "max"),
        ("train_accuracy", "min"),
        ("val_top5", "min"),
        ("val_f1", "min"),
        ("val_roc_auc", "min"),
    ],
)
def test_a_mode_that_contradicts_the_name_is_refused(monitor, mode, tmp_path):
    sgd = optim.SGD([nn.Parameter(np.ones(1))], lr=0.1)
    for make in (
        lambda: EarlyStopping(monitor, mode=mode),
        lambda: ModelCheckpoint(tmp_path, monitor=monitor, mode=mode),
        lambda: lr_scheduler.ReduceLROnPlateau(sgd, mode, monitor=monitor),
    ):
        with pytest.raises(ValueError, match=f"mode='{mode}' does not fit '{monitor}', use mode="):
            make()


@pytest.mark.parametrize(
    "monitor", ["val_error", "val_score", "val_gloss", "lr", "val_topology", "val_brier", "seconds"]
)
def test_where_the_name_does_not_decide_the_mode_is_asked_for(monitor, tmp_path):
    sgd = optim.SGD([nn.Parameter(np.ones(1))], lr=0.1)
    for make in (
        lambda **mode: EarlyStopping(monitor, **mode),
        lambda **mode: ModelCheckpoint(tmp_path, monitor=monitor, **mode),
        lambda **mode: lr_scheduler.ReduceLROnPlateau(sgd, monitor=monitor, **mode),
    ):
        with pytest.raises(ValueError, match=f"the name '{monitor}' does not tell .*; give mode='min' or mode='max'"):
            make()
        for mode in ("min", "max"):
            make(mode=mode)


def test_every_metric_of_minidl_has_a_known_direction():
    metrics = [ROCAUC(), F1Score(average="macro"), Precision(average="micro"), Recall(average="weighted"), TopK(2)]
    for metric in metrics:
        assert EarlyStopping(f"val_{metric.name}")._best.smaller is False
    assert EarlyStopping("val_mae")._best.smaller
    assert EarlyStopping(f"val_{MeanLoss(nn.CrossEntropyLoss()).name}")._best.smaller
    assert lr_scheduler.ReduceLROnPlateau(optim.SGD([nn.Parameter(np.ones(1))], lr=1.0)).mode == "min"


@pytest.mark.parametrize(
    ("column", "mode", "message"),
    [
        ("val_loss", "auto", "there is no column 'val_loss', only epoch, lr, train_loss.*; give fit.. validation data"),
        ("val_accuracy", "auto", "there is no column 'val_accuracy'.*; give fit.. validation data"),
        ("train_acuracy", "max", "there is no column 'train_acuracy'.*; did you mean 'train_accuracy'?"),
        ("train_acc", "max", "there is no column 'train_acc'.*; did you mean 'train_accuracy'?"),
        ("accuracy", "max", "there is no column 'accuracy'.*; did you mean 'train_accuracy'?"),
        ("train_mae", "min", "there is no column 'train_mae'"),
        ("train_f1", "max", "there is no column 'train_f1'"),
        ("train_confusion", "max", "there is no column 'train_confusion'"),
    ],
)
def test_a_column_that_cannot_exist_is_refused_before_the_first_step(column, mode, message, tmp_path):
    metrics = [F1Score(), ConfusionMatrix(), TopK(2)]
    for owner, callbacks, schedule in (
        ("EarlyStopping", [EarlyStopping(column, mode=mode)], None),
        ("ModelCheckpoint", [ModelCheckpoint(tmp_path / "run", monitor=column, mode=mode)], None),
        ("ReduceLROnPlateau", [], lambda o: lr_scheduler.ReduceLROnPlateau(o, mode, monitor=column)),
    ):
        refused(plain(schedule, callbacks, metrics=metrics), f"{owner}: {message}")
    assert not (tmp_path / "run").exists()


def test_columns_that_do_exist_are_watched(tmp_path):
    callbacks = [
        EarlyStopping("val_f1"),
        ModelCheckpoint(tmp_path, monitor="train_top2"),
        EarlyStopping("val_accuracy"),
    ]
    trainer, _ = plain(callbacks=callbacks, metrics=[F1Score(average="macro"), TopK(2)])
    assert len(trainer.fit(DataLoader(problem(), 10), val(), epochs=2)) == 2
    x = problem().arrays[0]
    regression, _ = plain(callbacks=[EarlyStopping("train_mae")], loss=nn.MSELoss(), outputs=1)
    assert len(regression.fit([(x, x[:, :1])], epochs=2)) == 2
    refused(
        plain(callbacks=[EarlyStopping("train_accuracy")], loss=nn.MSELoss()), "there is no column 'train_accuracy'"
    )


def test_a_callback_of_ones_own_may_add_a_column():
    class Score(Callback):
        def on_epoch_end(self, trainer):
            trainer.history.rows[-1]["val_score"] = trainer.epoch

    stopping = EarlyStopping("val_score", mode="max")
    trainer, _ = plain(callbacks=[Score(), stopping])
    trainer.fit(DataLoader(problem(), 10), epochs=3)
    assert stopping.best_epoch == 3


# How long a schedule is


def cycle(steps, **options):
    return lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, steps, **options)


def sequence(first, second):
    return lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.OneCycleLR(o, 0.1, first), lr_scheduler.OneCycleLR(o, 0.1, second)], [first]
    )


def chain(steps):
    def make(optimizer):
        decay = lr_scheduler.ExponentialLR(optimizer, 0.9)
        decay.interval = "step"
        return lr_scheduler.ChainedScheduler([lr_scheduler.OneCycleLR(optimizer, 0.1, steps), decay])

    return make


@pytest.mark.parametrize("make", [cycle, lambda n: sequence(n - 3, 3), chain])
def test_a_schedule_that_ends_before_the_fit_is_refused(make):
    refused(plain(make(9)), r"it has 9 steps, and ends before the fit does: 2 epochs of 5 steps; make it for 10")
    refused(plain(make(5), accumulate=2), r"has 5 steps.*2 epochs of 3 steps \(accumulate=2\); make it for 6")
    trainer, watch = plain(make(10))
    trainer.fit(DataLoader(problem(), 10), epochs=2)
    assert watch.steps == 10
    refused_again = pytest.raises(ValueError, match="it has 10 steps, of which 10 are used up, and ends before")
    with refused_again:
        trainer.fit(DataLoader(problem(), 10), epochs=1)
    assert len(trainer.history) == 2  # that of the first fit is not lost


def test_a_schedule_that_ends_long_after_the_fit_is_named_and_may_go_on_later():
    trainer, _ = plain(cycle(40), accumulate=4)
    message = (
        r"OneCycleLR: it has 40 steps, but the fit ends after 16, before the learning rate has come to its end: 8 "
        r"epochs of 2 steps \(accumulate=4\); make it for 16, as in OneCycleLR\(..., total_steps=16\), unless another"
    )
    with pytest.warns(UserWarning, match=message) as told:
        trainer.fit(DataLoader(problem(), 10), epochs=8)
    assert len(told) == 1
    assert told[0].filename == __file__
    trainer.fit(DataLoader(problem(), 10), epochs=12)  # the other 24 of 40
    assert trainer.scheduler.last_epoch == 40


def test_what_cannot_be_compared_is_left_alone():
    x, y = problem(10).arrays

    class Endless:
        def __iter__(self):
            return iter([(x, y)] * 3)

    trainer, watch = plain(cycle(50))
    trainer.fit(Endless(), epochs=2)
    assert watch.steps == 6
    for schedule in (lambda o: lr_scheduler.CosineAnnealingLR(o, 2), lambda o: lr_scheduler.LinearLR(o, total_iters=9)):
        plain(schedule)[0].fit(DataLoader(problem(), 10), epochs=4)  # it goes on beyond its length


def _by_step(make):
    def schedule(optimizer):
        made = make(optimizer)
        made.interval = "step"
        return made

    return schedule


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            _by_step(lambda o: lr_scheduler.CosineAnnealingLR(o, 40)),
            r"CosineAnnealingLR: it has 40 .*\(..., T_max=10\)",
        ),
        (_by_step(lambda o: lr_scheduler.LinearLR(o, total_iters=40)), r"LinearLR: it has 40 .*, total_iters=10\)"),
        (
            _by_step(
                lambda o: lr_scheduler.SequentialLR(
                    o, [lr_scheduler.LinearLR(o), lr_scheduler.CosineAnnealingLR(o, 35)], [5]
                )
            ),
            "SequentialLR: it has 40 steps, but the fit ends after 10, .*; make it for 10, unless",
        ),
        (sequence(10, 30), "SequentialLR: it has 40 steps, but the fit ends after 10"),
        (chain(40), "ChainedScheduler: it has 40 steps, but the fit ends after 10"),
    ],
)
def test_other_schedules_in_steps_that_end_long_after_the_fit_are_named_too(make, message):
    trainer, _ = plain(make)
    with pytest.warns(UserWarning, match=message):
        trainer.fit(DataLoader(problem(), 10), epochs=2)
    trainer.fit(DataLoader(problem(), 10), epochs=6)


def test_a_cycle_of_epochs_is_compared_with_epochs():
    def by_epoch(steps):
        def make(optimizer):
            schedule = lr_scheduler.OneCycleLR(optimizer, 0.1, steps)
            schedule.interval = "epoch"
            return schedule

        return make

    refused(plain(by_epoch(3)), "it has 3 steps, and ends before the fit does: 4 epochs; make it for 4", epochs=4)
    trainer, _ = plain(by_epoch(4), accumulate=2)
    trainer.fit(DataLoader(problem(), 10), epochs=4)
    assert trainer.scheduler.last_epoch == 4


@pytest.mark.parametrize("every", [None, 1])
def test_a_resumed_fit_is_compared_by_what_is_left(every, tmp_path):
    class Stop(Callback):
        def on_batch_end(self, trainer):
            if trainer.steps == 7:
                raise KeyboardInterrupt

    trainer, _ = plain(cycle(20), [Stop(), ModelCheckpoint(tmp_path, every=every)])
    trainer.fit(DataLoader(problem(), 10), epochs=4, resume=tmp_path)

    def again(epochs, steps):
        trainer, _ = plain(cycle(steps), [Stop(), ModelCheckpoint(tmp_path, every=every)])
        trainer.callbacks[0].on_batch_end = lambda trainer: None
        trainer.fit(DataLoader(problem(), 10), epochs=epochs, resume=tmp_path)
        return trainer

    with pytest.raises(
        ValueError, match="OneCycleLR: it has 20 steps, of which . are used up, and ends before the fit"
    ):
        again(5, 20)
    assert again(4, 20).scheduler.last_epoch == 20
    with pytest.warns(RuntimeWarning, match="the schedule is another one than before"):
        assert again(6, 30).scheduler.last_epoch == 30  # a longer one, and more epochs


def test_steps_that_were_skipped_are_not_missed(tmp_path):
    x, y = problem(50).arrays
    broken = np.where(np.arange(50)[:, None] < 20, np.nan, x)

    class Batches:
        def __init__(self, data):
            self._data = data

        def __len__(self):
            return 5

        def __iter__(self):
            return ((self._data[i : i + 10], y[i : i + 10]) for i in range(0, 50, 10))

    def fit(data, epochs):
        trainer, _ = plain(cycle(20), [ModelCheckpoint(tmp_path)], on_nonfinite="skip")
        trainer.fit(Batches(data), epochs=epochs, resume=tmp_path)
        return trainer

    with pytest.warns(UserWarning, match="it has 20 steps, but the fit ends after 10"):
        assert fit(broken, 2).scheduler.last_epoch == 6
    assert fit(x, 4).scheduler.last_epoch == 16


def test_an_interval_that_is_never_reached_is_refused():
    def make(interval):
        def schedule(optimizer):
            made = lr_scheduler.StepLR(optimizer, 1)
            made.interval = interval
            return made

        return schedule

    refused(plain(make("batch")), "StepLR: interval must be 'epoch' or 'step', got 'batch'")

    def plateau(optimizer):
        made = lr_scheduler.ReduceLROnPlateau(optimizer)
        made.interval = "step"
        return made

    refused(plain(plateau), "ReduceLROnPlateau: interval must be 'epoch', got 'step'")


def test_several_schedules_are_one_that_chains_them():
    with pytest.raises(TypeError, match="scheduler must be a learning rate schedule, .*; several .* ChainedScheduler"):
        plain(lambda o: [lr_scheduler.StepLR(o, 1), lr_scheduler.ExponentialLR(o, 0.9)])
    trainer, _ = plain(
        lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(o, 2, 0.5), lr_scheduler.ExponentialLR(o, 0.9)])
    )
    history = trainer.fit(DataLoader(problem(), 10), epochs=5)
    assert history["lr"] == pytest.approx([0.1 * 0.9**n * 0.5 ** (n // 2) for n in range(5)])


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_chain_resumes_with_the_same_bits(by_hand, tmp_path):
    class Change(Callback):
        def on_epoch_end(self, trainer):
            if by_hand and trainer.epoch == 2:
                trainer.optimizer.param_groups[0]["lr"] *= 3

    def fit(folder, epochs):
        model = nn.Linear(4, 3, rng=np.random.default_rng(0))
        optimizer = optim.SGD(model.params(), lr=0.1)
        warm = lr_scheduler.SequentialLR(
            optimizer, [lr_scheduler.LinearLR(optimizer, 0.1), lr_scheduler.CosineAnnealingLR(optimizer, 6)], [2]
        )
        chain = lr_scheduler.ChainedScheduler([warm, lr_scheduler.MultiStepLR(optimizer, [1, 4])])
        callbacks = [Change(), ModelCheckpoint(folder)]
        trainer = Trainer(
            model, nn.CrossEntropyLoss(), optimizer, scheduler=chain, callbacks=callbacks, progress="none"
        )
        return trainer.fit(DataLoader(problem(), 10), epochs=epochs, resume=folder)["lr"]

    whole = fit(tmp_path / "whole", 7)
    for epochs in (1, 2, 3, 5, 7):
        assert fit(tmp_path / "parts", epochs) == whole[:epochs]


def test_a_schedule_of_another_optimizer_is_refused():
    other = optim.SGD([nn.Parameter(np.ones(1))], lr=0.1)
    refused(plain(lambda _: lr_scheduler.StepLR(other, 1)), "StepLR: it was made for another optimizer")


# What the history keeps


def _fault(kind):
    """A trainer and a loader that fail in the third epoch, and how many rows there are then."""
    data = problem()

    class Fails(Callback):
        def on_epoch_start(self, trainer):
            if trainer.epoch == 3 and kind == "callback at the start":
                raise RuntimeError("a fault")

        def on_epoch_end(self, trainer):
            if trainer.epoch == 3 and kind == "callback at the end":
                raise RuntimeError("a fault")

    class Loader:
        passes = 0

        def __iter__(self):
            self.passes += 1
            for number, batch in enumerate(DataLoader(data, 10)):
                if self.passes == 3 and number == 2 and kind == "loader":
                    raise RuntimeError("a fault")
                yield batch

    class Measure(TopK):
        computed = 0

        def compute(self):
            Measure.computed += 1
            if Measure.computed == 5 and kind == "metric":  # two in each epoch
                raise RuntimeError("a fault")
            if Measure.computed == 6 and kind == "metric in validation":
                raise RuntimeError("a fault")
            return super().compute()

    def schedule(epoch):
        if epoch == 3 and kind == "schedule":
            raise RuntimeError("a fault")
        return 1.0

    trainer, _ = plain(lambda o: lr_scheduler.LambdaLR(o, schedule), [Fails()], metrics=[Measure(2)])
    rows = {"callback at the end": 3, "schedule": 3, "metric in validation": 3}
    return trainer, Loader(), rows.get(kind, 2)


@pytest.mark.parametrize(
    "kind",
    ["callback at the start", "callback at the end", "loader", "metric", "metric in validation", "schedule"],
)
def test_no_error_in_a_late_epoch_loses_the_history(kind):
    trainer, loader, rows = _fault(kind)
    with pytest.raises(RuntimeError, match="a fault"):
        trainer.fit(loader, val(), epochs=5)
    assert [row["epoch"] for row in trainer.history] == list(range(1, rows + 1))
    assert all({"train_loss", "val_loss", "seconds"} <= set(row) for row in trainer.history.rows[:2])


def test_a_fit_that_fails_says_where_the_history_is(capsys):
    trainer, loader, _ = _fault("loader")
    trainer.progress.style = "lines"
    with pytest.raises(RuntimeError, match="a fault"):
        trainer.fit(loader, epochs=5)
    assert "failed in epoch 3; trainer.history keeps what was measured" in capsys.readouterr().out


def test_a_second_fit_that_does_not_begin_leaves_the_history_of_the_first(tmp_path):
    trainer, _ = plain(callbacks=[ModelCheckpoint(tmp_path)])
    trainer.fit(DataLoader(problem(), 10), epochs=2)
    with pytest.raises(ValueError, match="holds the checkpoints of another fit"):
        trainer.fit(DataLoader(problem(), 10), epochs=1)
    assert (trainer.epoch, len(trainer.history)) == (2, 2)


# Parameters that one of the two does not have


def net():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def fitted(model, optimizer, loss=None, fits=2):
    trainer = Trainer(model, loss or nn.CrossEntropyLoss(), optimizer, progress="none")
    for _ in range(fits):
        trainer.fit(DataLoader(problem(), 25))


def test_a_head_that_the_optimizer_does_not_have_is_named_once():
    model = net()
    optimizer = optim.SGD(model.params(), lr=0.1)
    setattr(model, "2", nn.Linear(8, 3))
    with pytest.warns(UserWarning) as told:
        fitted(model, optimizer)
    (text,) = [str(one.message) for one in told]
    assert "Trainer.fit: the optimizer does not have '2.weight', '2.bias', which will not be trained" in text
    assert "the optimizer has parameters that the model does not have, of shape (3, 8), (3,)" in text


def test_other_differences_are_named():
    model = net()
    with pytest.warns(UserWarning, match="does not have '0.weight', '0.bias', which"):
        fitted(model, optim.SGD(model[2].params(), lr=0.1))
    with pytest.warns(UserWarning, match="the optimizer has parameters that the model does not have, of shape .7,."):
        fitted(model, optim.SGD([*model.params(), nn.Parameter(np.ones(7))], lr=0.1))
    deep = nn.Sequential(*(nn.Linear(4, 4) for _ in range(9)))
    with pytest.warns(UserWarning, match="'0.weight', .*, '2.bias' and 10 more, which will not be trained"):
        fitted(deep, optim.SGD(deep[8].params(), lr=0.1))

    class Scaled(nn.CrossEntropyLoss):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(np.ones(1))

    loss = Scaled()
    with pytest.warns(UserWarning, match="does not have 'loss.scale', which will not be trained"):
        fitted(model, optim.SGD(model.params(), lr=0.1), loss)
    fitted(model, optim.SGD([*model.params(), *loss.params()], lr=0.1), loss)


def test_what_is_frozen_on_purpose_is_not_named():
    model = net()
    model[0].requires_grad_(False)
    fitted(model, optim.SGD(model[2].params(), lr=0.1))
    fitted(model, optim.SGD(model.params(), lr=0.1))
