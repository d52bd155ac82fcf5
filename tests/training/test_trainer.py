"""Trainer: numbers, modes, callbacks, what stops it, what it refuses."""

import numpy as np
import pytest
from fits import make, problem

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader, load_digits
from minidl.models import digits_cnn
from minidl.training import Callback, History, ModelCheckpoint, StopTraining, Trainer
from minidl.training.metrics import Accuracy


def test_it_learns_and_the_history_is_plain_data():
    trainer, data = make(), problem(200)
    history = trainer.fit(DataLoader(data, 20, shuffle=True), DataLoader(data, 64), epochs=15)
    assert isinstance(history, History)
    assert len(history) == 15
    assert history["epoch"] == list(range(1, 16))
    assert history["val_accuracy"][-1] > 0.95
    assert history["train_loss"][-1] < history["train_loss"][0] / 3
    columns = ["epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"]
    assert list(history.to_dict()) == columns
    assert all(type(value) in (int, float) for row in history for value in row.values())
    assert "History(15 epochs; last: epoch=15" in repr(history)
    with pytest.raises(KeyError, match="no column 'loss'; it has epoch, lr, train_loss"):
        history["loss"]


def test_the_same_as_the_loop_spelled_out():
    data = problem()
    minidl.manual_seed(5)
    trainer = make()
    trainer.fit(DataLoader(data, 16, shuffle=True), epochs=2)
    minidl.manual_seed(5)
    other = make()
    model, loss_fn, optimizer = other.model, other.loss, other.optimizer
    for _ in range(2):
        for x, y in DataLoader(data, 16, shuffle=True):
            optimizer.zero_grad()
            loss_fn(model(x), y)
            model.backward(loss_fn.backward())
            optimizer.step()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(trainer.model.state_dict()[name], value)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("batch_size", [50, 16, 7])
def test_loss_and_accuracy_are_means_over_samples_not_batches(batch_size, reduction):
    trainer, data = make(reduction=reduction), problem(50)
    result = trainer.evaluate(DataLoader(data, batch_size))
    trainer.model.eval()
    logits, labels = trainer.model(data.arrays[0]), data.arrays[1]
    assert np.isclose(result["loss"], nn.CrossEntropyLoss()(logits, labels), rtol=1e-6)
    assert result["accuracy"] == (logits.argmax(1) == labels).mean()


def test_accuracy_leaves_ignored_labels_out_and_knows_probabilities():
    trainer = make(ignore_index=2)
    x = problem(20).arrays[0]
    predicted = trainer.predict(x).argmax(1)
    labels = np.where(np.arange(20) < 10, predicted % 2, 2)
    counted = labels != 2
    expected = (predicted == labels)[counted].mean()
    assert trainer.evaluate([(x, labels)])["accuracy"] == expected
    assert make().evaluate([(x, np.eye(3)[labels])]).keys() == {"loss", "accuracy"}


def test_regression_has_no_accuracy():
    model = nn.Linear(4, 2)
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.params(), lr=0.01), progress="none")
    x = problem().arrays[0]
    history = trainer.fit(DataLoader(ArrayDataset(x, x[:, :2]), 10), epochs=2)
    assert history.columns() == ["epoch", "lr", "train_loss", "train_mae", "seconds"]


def test_evaluate_and_predict_restore_every_modules_mode_even_on_errors():
    trainer, data = make(), problem()
    trainer.model[2].eval()
    before = [m.training for m in trainer.model.modules()]
    trainer.evaluate(DataLoader(data, 10))
    trainer.predict(data)
    assert [m.training for m in trainer.model.modules()] == before
    for wrong in (
        lambda: trainer.predict(np.zeros((2, 9), np.float32)),
        lambda: trainer.evaluate([(data, 1, 2, 3)]),
    ):
        with pytest.raises(ValueError, match=r"expected (4 input features|batches \(input, target\))"):
            wrong()
        assert [m.training for m in trainer.model.modules()] == before
        assert nn.is_grad_enabled()


def test_evaluation_is_deterministic_and_keeps_nothing():
    trainer, data = make(), problem()
    assert trainer.evaluate(DataLoader(data, 10)) == trainer.evaluate(DataLoader(data, 10))
    with pytest.raises(RuntimeError, match="no forward pass"):
        trainer.model.backward(np.zeros((10, 3), np.float32))


def test_predict_takes_arrays_datasets_loaders_and_iterables():
    trainer, data = make(), problem(50)
    x = data.arrays[0]
    expected = trainer.model.eval()(x)
    for given in (x, data, DataLoader(data, 7), [x[:20], x[20:]], iter([(x[:20], 0), (x[20:], 0)])):
        np.testing.assert_allclose(trainer.predict(given), expected, rtol=1e-5, atol=1e-6)
    assert trainer.predict(x, batch_size=1).shape == (50, 3)
    with pytest.raises(ValueError, match=r"the dataset is empty"):
        trainer.predict(x[:0])
    with pytest.raises(ValueError, match="there are no samples"):
        trainer.predict([])


class Recorder(Callback):
    def __init__(self, name, log):
        self.name, self.log = name, log

    def _note(self, hook):
        self.log.append((self.name, hook))

    def on_fit_start(self, trainer):
        self._note("fit_start")

    def on_epoch_start(self, trainer):
        assert trainer.model.training
        self._note(f"epoch_start {trainer.epoch}")

    def on_batch_end(self, trainer):
        assert np.isfinite(trainer.batch_loss)
        self._note(f"batch_end {trainer.batch}")

    def on_epoch_end(self, trainer):
        assert len(trainer.history) == trainer.epoch
        self._note(f"epoch_end {trainer.epoch}")

    def on_fit_end(self, trainer):
        self._note("fit_end")


def test_callbacks_are_called_in_order():
    log = []
    trainer = make(callbacks=[Recorder("a", log), Recorder("b", log)])
    trainer.fit(DataLoader(problem(20), 10), epochs=2)
    hooks = ["fit_start"]
    for epoch in (1, 2):
        hooks += [f"epoch_start {epoch}", "batch_end 1", "batch_end 2", f"epoch_end {epoch}"]
    assert log == [(name, hook) for hook in [*hooks, "fit_end"] for name in "ab"]


def test_a_callback_can_stop_the_fit():
    class Stop(Callback):
        def on_epoch_end(self, trainer):
            trainer.stop = trainer.epoch == 2

    trainer = make(callbacks=[Stop()])
    assert len(trainer.fit(DataLoader(problem(), 10), epochs=9)) == 2
    assert len(trainer.fit(DataLoader(problem(), 10), epochs=1)) == 1


def test_ctrl_c_returns_the_history_and_leaves_the_model_usable(capsys):
    class Interrupt(Callback):
        def on_batch_end(self, trainer):
            if (trainer.epoch, trainer.batch) == (3, 2):
                raise KeyboardInterrupt

    log = []
    trainer, data = make("lines", callbacks=[Interrupt(), Recorder("r", log)]), problem()
    history = trainer.fit(DataLoader(data, 10), epochs=9)
    assert len(history) == 2
    assert history.interrupted
    assert log[-1] == ("r", "fit_end")
    assert "interrupted in epoch 3; 2 epochs are finished" in capsys.readouterr().out
    assert "interrupted" in repr(history)
    assert trainer.model[0].needs_input_grad
    assert trainer.evaluate(DataLoader(data, 10))["loss"] > 0
    trainer.callbacks.clear()
    assert len(trainer.fit(DataLoader(data, 10), epochs=1)) == 1


def test_ctrl_c_while_an_epoch_is_being_saved_tells_of_those_that_are(tmp_path, capsys):
    """The line of an epoch comes once its checkpoint is written: what is told, a resume has."""

    class Interrupt(Callback):
        def on_save(self, trainer):
            if trainer.state.finished and trainer.epoch == 2 and not trainer.resumed:
                raise KeyboardInterrupt

    trainer = make("lines", callbacks=[Interrupt(), ModelCheckpoint(tmp_path)])
    trainer.fit(DataLoader(problem(), 10), epochs=9)
    out = capsys.readouterr().out
    assert "epoch 1/9" in out
    assert "epoch 2/9" not in out
    assert "interrupted in epoch 2; 1 epoch is finished" in out
    trainer = make("lines", callbacks=[Interrupt(), ModelCheckpoint(tmp_path)])
    trainer.fit(DataLoader(problem(), 10), epochs=2, resume=tmp_path)
    out = capsys.readouterr().out
    assert "epoch 1/2" not in out
    assert "epoch 2/2" in out


def test_what_callbacks_tell_of_an_epoch_follows_its_line(capsys):
    class Tell(Callback):
        def on_epoch_end(self, trainer):
            trainer.progress.line(f"told of {trainer.epoch}")
            if trainer.epoch == 2:
                raise StopTraining("enough")

    make("lines", callbacks=[Tell()]).fit(DataLoader(problem(), 10), epochs=3)
    starts = [line[:9] for line in capsys.readouterr().out.splitlines()]
    assert starts == ["epoch 1/3", "told of 1", "epoch 2/3", "told of 2", "stopped i"]


def test_an_exception_passes_and_everything_is_put_back():
    class Fail(Callback):
        def on_batch_end(self, trainer):
            raise KeyError("mine")

    log = []
    trainer = make(callbacks=[Fail(), Recorder("r", log)])
    trainer.model[2].eval()
    with pytest.raises(KeyError, match="mine"):
        trainer.fit(DataLoader(problem(), 10))
    assert log[-1] == ("r", "fit_end")
    assert trainer.model[0].needs_input_grad
    assert not trainer.model[2].training


def test_parameters_outside_the_optimizer_are_zeroed_too():
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model[1].params(), lr=0.0), progress="none")
    x, y = problem(10).arrays
    with pytest.warns(UserWarning, match="the optimizer does not have '0.weight', '0.bias', which will not be trained"):
        trainer.fit([(x, y)])
    once = model[0].weight.grad.copy()
    trainer.fit([(x, y)], epochs=5)
    np.testing.assert_array_equal(model[0].weight.grad, once)


def test_the_first_layers_input_gradient_is_not_computed_in_a_step():
    wanted = []
    trainer = make()
    trainer.model[0].register_forward_hook(lambda layer, _inputs, _output: wanted.append(layer.needs_input_grad))
    trainer.fit(DataLoader(problem(), 10))
    assert wanted
    assert not any(wanted)
    assert trainer.model[0].needs_input_grad


@pytest.mark.parametrize("options", [{"weight": [1, 10, 0.1]}, {"ignore_index": 2}])
def test_the_mean_does_not_depend_on_the_batch_size(options):
    trainer, data = make(**options), problem(50)
    expected = trainer.evaluate(DataLoader(data, 50))
    for batch_size in (1, 7, 16):
        result = trainer.evaluate(DataLoader(data, batch_size))
        assert np.isclose(result["loss"], expected["loss"], rtol=1e-5)
        assert result["accuracy"] == expected["accuracy"]


def test_ctrl_c_during_validation_keeps_the_epoch():
    def interrupted():
        yield problem(10).arrays
        raise KeyboardInterrupt

    class Data:
        def __iter__(self):
            return interrupted()

    history = make().fit(DataLoader(problem(), 10), Data(), epochs=3)
    assert history.interrupted
    assert history["epoch"] == [1]
    assert "val_loss" not in history.columns()


def test_lines_elsewhere_a_bar_on_a_terminal(capsys, monkeypatch):
    trainer, loader = make("auto"), DataLoader(problem(), 10)
    trainer.fit(loader, loader, epochs=2)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/2  train_loss ")
    assert "val_accuracy" in lines[1]
    assert err == ""

    make("bar").fit(loader, epochs=1)
    out, err = capsys.readouterr()
    assert out.startswith("epoch 1/1  train_loss")
    assert "epoch 1/1:" in err
    assert "0/5" in err
    make("none").fit(loader, epochs=1)
    assert capsys.readouterr() == ("", "")

    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert make("auto").progress.shows_bar


def test_in_a_notebook_there_is_a_bar(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ipykernel", object())
    assert make("auto").progress.shows_bar
    assert not make("lines").progress.shows_bar


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda t, d: t.fit(DataLoader(d, 10), epochs=0),
            ValueError,
            "Trainer.fit: epochs must be at least 1, got 0",
        ),
        (
            lambda t, d: t.fit(DataLoader(d, 99, drop_last=True)),
            ValueError,
            "fit, epoch 1: there are no batches",
        ),
        (
            lambda t, d: t.fit(iter(DataLoader(d, 10)), epochs=2),
            ValueError,
            "fit, epoch 2: there are no batches",
        ),
        (lambda t, d: t.evaluate([]), ValueError, "Trainer.evaluate: there are no batches"),
        (
            lambda t, d: t.evaluate(d.arrays[0]),
            TypeError,
            r"Trainer.evaluate: expected arrays in a tuple, .*; got ndarray \(50",
        ),
        (
            lambda t, d: t.evaluate([d.arrays[0]]),
            ValueError,
            r"expected batches \(input, target\), got ndarray",
        ),
    ],
)
def test_what_is_not_batches_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(make(), problem())


def test_wrong_arguments_are_refused():
    model, loss = nn.Linear(4, 3), nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.params(), lr=0.1)
    loader = DataLoader(problem(), 10)
    with pytest.raises(
        TypeError,
        match=r"Trainer: loss must be a Module or a function of .*, got .*CrossEntropyLoss'>; did you mean Cross",
    ):
        Trainer(model, nn.CrossEntropyLoss, optimizer)
    with pytest.raises(TypeError, match="Trainer: model must be a Module"):
        Trainer(None, loss, optimizer)
    with pytest.raises(TypeError, match="Trainer: optimizer must be a Optimizer|Trainer: optimizer must be"):
        Trainer(model, loss, 0.1)
    with pytest.raises(TypeError, match="Trainer: each callback must be a Callback"):
        Trainer(model, loss, optimizer, callbacks=["print"])
    with pytest.raises(ValueError, match="Trainer: progress must be one of"):
        Trainer(model, loss, optimizer, progress="loud")
    with pytest.raises(ValueError, match="there is no optimizer"):
        Trainer(model, loss).fit(loader)
    with pytest.raises(ValueError, match="the optimizer has none of the model's parameters"):
        Trainer(nn.Linear(4, 3), loss, optimizer, progress="none").fit(loader)
    with pytest.raises(ValueError, match="the loss must be a number, CrossEntropyLoss gave an array"):
        Trainer(model, nn.CrossEntropyLoss(reduction="none"), optimizer, progress="none").fit(loader)
    assert Trainer(model, loss).evaluate(loader).keys() == {"loss", "accuracy"}


def test_same_seed_same_bits():
    results = []
    for _ in range(2):
        minidl.manual_seed(11)
        model = digits_cnn()
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.05), progress="none")
        train, _ = load_digits()
        trainer.fit(DataLoader(train, 64, shuffle=True), epochs=1)
        results.append(model.state_dict())
    for name, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][name])


@pytest.mark.parametrize("option", ["metrics", "callbacks"])
@pytest.mark.parametrize("one", [Callback(), Accuracy(), lambda *_: 0.0])
def test_metrics_and_callbacks_are_lists(option, one):
    trainer = make()
    with pytest.raises(TypeError, match=rf"Trainer: {option} must be a list, {option}=\[...\], got "):
        Trainer(trainer.model, trainer.loss, trainer.optimizer, **{option: one})


def test_arrays_that_are_not_in_a_tuple():
    x, y = problem(20).arrays
    trainer = make()
    with pytest.raises(TypeError, match=r"one argument, a tuple: fit\(\(x, y\)\), got ndarray \(20, 4\) and ndarray"):
        trainer.fit(x, y)
    for call in (lambda: trainer.fit([x, y]), lambda: trainer.fit((x, y), [x, y]), lambda: trainer.evaluate([x, y])):
        with pytest.raises(ValueError, match=r"got ndarray \(20, 4\): a list .* in a tuple, \(x, y\)"):
            call()
    assert len(trainer.fit([(x, y), (x, y)])) == 1
