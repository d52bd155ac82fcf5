"""Several inputs, outputs, targets and losses: against PyTorch for random combinations, and what is refused."""

import math

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.nn.structure import leaves, rebuild
from minidl.training import Callback, NonFiniteLossError, Trainer
from minidl.training.callbacks import EarlyStopping
from minidl.training.metrics import MeanAbsoluteError, TopK
from minidl.training.model_checkpoint import ModelCheckpoint

NAMES = ("first", "second", "third")
CLASS_WEIGHTS = np.array([0.5, 1.0, 2.0])


class Losses(Callback):
    def __init__(self):
        self.values = []

    def on_batch_end(self, trainer):
        self.values.append(trainer.batch_loss)


def net_of(nn, cat, ins, outs, form):
    """One class for both libraries."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.towers = nn.ModuleList([nn.Linear(3 + i, 4) for i in range(ins)])
            self.trunk = nn.Linear(4 * ins, 6)
            self.heads = nn.ModuleList([nn.Linear(6, 3) for _ in range(outs)])

        def forward(self, *xs, **named):
            xs = xs or [named[name] for name in NAMES[:ins]]
            parts = [tower(x) for tower, x in zip(self.towers, xs, strict=True)]
            h = self.trunk(cat(parts) if ins > 1 else parts[0])
            h = h * h * 0.1 + h
            return formed([head(h) for head in self.heads], form)

    return Net()


def joined(parts):
    return np.concatenate(parts, axis=1)


def formed(items, form):
    return items[0] if form == "one" else tuple(items) if form == "tuple" else dict(zip(NAMES, items, strict=False))


class Case:
    """A random combination of structures and losses."""

    steps = 10

    def __init__(self, seed):
        self.rng = rng = np.random.default_rng(seed)
        self.ins, self.outs = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        self.in_form = "one" if self.ins == 1 else rng.choice(["tuple", "dict"])
        self.out_form = "one" if self.outs == 1 else rng.choice(["tuple", "dict"])
        self.accumulate, self.size = int(rng.integers(1, 4)), int(rng.integers(1, 6))
        self.clip, self.dicts = rng.choice([None, 0.5]), bool(rng.integers(2)) and self.in_form != "tuple"
        self.factors = list(map(float, rng.uniform(0.1, 2, self.outs))) if self.outs > 1 else [1.0]
        self.kinds = [rng.choice(["class", "ignore", "number", "shared"]) for _ in range(self.outs)]
        samples = self.steps * self.accumulate * self.size
        self.xs = [rng.standard_normal((samples, 3 + i)) for i in range(self.ins)]
        self.ys = [self._target(kind, samples) for kind in self.kinds]
        self.weights = rng.choice([0.0, 0.5, 1.0, 3.0], samples) if rng.integers(2) else None

    def _target(self, kind, samples):
        if kind in ("number", "shared"):
            return self.rng.standard_normal((samples, 3))
        labels = self.rng.integers(0, 3, samples)
        if kind == "ignore":
            labels[self.rng.random(samples) < 0.4] = -100
        return labels

    def losses(self):
        shared = nn.MSELoss()
        made = {"class": lambda: nn.CrossEntropyLoss(CLASS_WEIGHTS), "ignore": nn.CrossEntropyLoss}
        return [shared if kind == "shared" else made.get(kind, nn.MSELoss)() for kind in self.kinds]

    def batches(self):
        """Tuples as a list of batches, or dicts in a DataLoader; and the Trainer's options for them."""
        x, y = formed(self.xs, self.in_form), formed(self.ys, self.out_form)
        if self.dicts and self.out_form != "tuple":
            entries = {**(x if isinstance(x, dict) else {"x": x}), **self.targets(y)}
            options = {"targets": tuple(self.targets(y))}
            if self.weights is not None:
                entries["w"], options["sample_weights"] = self.weights, "w"
            return DataLoader(ArrayDataset(entries), self.size), options
        parts = (x, y) if self.weights is None else (x, y, self.weights)
        cuts = [slice(i, i + self.size) for i in range(0, len(self.xs[0]), self.size)]
        batches = [tuple(rebuild(part, lambda a, cut=cut: a[cut]) for part in parts) for cut in cuts]
        return batches, {"sample_weights": self.weights is not None}

    def targets(self, y):
        return {f"y_{name}": value for name, value in y.items()} if isinstance(y, dict) else {"y": y}

    def trainer(self, model, **options):
        data, more = self.batches()
        loss = formed(self.losses(), self.out_form)
        factors = formed(self.factors, self.out_form) if self.outs > 1 else None
        if "targets" in more and self.outs > 1:
            loss, factors = self.targets(loss), self.targets(factors)
            model.register_forward_hook(lambda module, inputs, output: self.targets(output))
        optimizer = optim.SGD(model.params(), lr=0.05, momentum=0.9)
        options.update(more, accumulate=self.accumulate, clip_grad_norm=self.clip, progress="none")
        return Trainer(model, loss, optimizer, loss_weights=factors, **options), data

    def torch_losses(self, torch, model):
        """Ten steps, each of one batch that joins what is accumulated; their losses, without those of nothing."""
        optimizer, found = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), []
        count = self.accumulate * self.size
        for first in range(0, len(self.xs[0]), count):
            part = slice(first, first + count)
            inputs = [torch.from_numpy(x[part]) for x in self.xs]
            out = model(**formed(inputs, "dict")) if self.in_form == "dict" else model(*inputs)
            total = self.torch_loss(torch, list(leaves(out)), part)
            if total is None:
                continue
            optimizer.zero_grad()
            total.backward()
            if self.clip is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), self.clip)
            optimizer.step()
            found.append(total.item())
        return found

    def torch_loss(self, torch, outputs, part):
        total = None
        for kind, factor, output, y in zip(self.kinds, self.factors, outputs, self.ys, strict=True):
            target = torch.from_numpy(y[part])
            share = torch.ones(len(target)).double() if self.weights is None else torch.from_numpy(self.weights[part])
            if kind in ("number", "shared"):
                each, divisor = ((output - target) ** 2).mean(1), share
            else:
                weight = torch.from_numpy(CLASS_WEIGHTS if kind == "class" else np.ones(3))
                each = torch.nn.functional.cross_entropy(output, target, weight=weight, reduction="none")
                divisor = share * torch.where(target < 0, 0.0, weight[target.clamp(min=0)])
            if float(divisor.sum()):
                own = factor * (share * each).sum() / divisor.sum()
                total = own if total is None else total + own
        return total


@pytest.mark.parametrize("seed", range(40))
def test_ten_steps_are_those_of_pytorch(seed):
    torch = pytest.importorskip("torch")
    print("seed", seed)
    case, values = Case(seed), Losses()
    minidl.manual_seed(seed)
    model = net_of(nn, joined, case.ins, case.outs, case.out_form).astype(np.float64)
    other = net_of(torch.nn, lambda parts: torch.cat(parts, 1), case.ins, case.outs, case.out_form).double()
    other.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    trainer, data = case.trainer(model, callbacks=[values])
    history = trainer.fit(data)
    np.testing.assert_allclose(values.values, case.torch_losses(torch, other), rtol=1e-10, atol=1e-10)
    for name, value in other.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], value.numpy(), rtol=1e-9, atol=1e-9)
    if case.outs > 1:
        parts = [name for name in history.columns() if name.endswith("_loss") and name != "train_loss"]
        total = sum(factor * history[name][0] for factor, name in zip(case.factors, parts, strict=True))
        assert math.isclose(history["train_loss"][0], total, rel_tol=1e-12)


# The parts around it: columns, metrics, prediction, checkpoints

X = np.random.default_rng(0).standard_normal((24, 3)).astype(np.float32)
LABELS, NUMBERS = np.arange(24) % 3, X[:, :1] * 2 + np.ones((1, 3), np.float32)
DATA = ArrayDataset({"x": X, "kind": LABELS, "size": NUMBERS})


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk, self.kind, self.size = nn.Linear(3, 8), nn.Linear(8, 3), nn.Linear(8, 3)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x):
        h = self.dropout(np.tanh(self.trunk(x)))
        return {"kind": self.kind(h), "size": self.size(h)}


def two(loss=None, optimizer=optim.SGD, **options):
    minidl.manual_seed(0)
    model = Two()
    loss = loss or {"kind": nn.CrossEntropyLoss(), "size": nn.MSELoss()}
    options = {"targets": ("kind", "size"), "progress": "none", **options}
    return Trainer(model, loss, optimizer(model.params(), lr=0.05), **options)


def test_each_loss_has_its_columns_and_metrics():
    metrics = {"kind": [TopK(2)], "size": MeanAbsoluteError()}
    trainer = two(
        metrics=metrics, loss_weights={"size": 0.5, "kind": 2}, callbacks=[EarlyStopping("val_kind_accuracy")]
    )
    history = trainer.fit(DataLoader(DATA, 5, shuffle=True), DataLoader(DATA, 7), epochs=3)
    names = ["loss", "kind_loss", "kind_accuracy", "kind_top2", "size_loss", "size_mae"]
    assert history.columns() == ["epoch", "lr", *(f"train_{n}" for n in names), *(f"val_{n}" for n in names), "seconds"]
    assert history["val_loss"][0] == pytest.approx(2 * history["val_kind_loss"][0] + history["val_size_loss"][0] / 2)
    found, output = trainer.evaluate(DataLoader(DATA, 24)), trainer.predict(DATA, batch_size=5)
    assert list(found) == names
    assert list(output) == ["kind", "size"]
    assert found["kind_accuracy"] == np.mean(output["kind"].argmax(1) == LABELS)
    assert found["size_mae"] == pytest.approx(np.abs(output["size"] - NUMBERS).mean(), rel=1e-6)
    assert found["size_loss"] == pytest.approx(nn.MSELoss()(output["size"], NUMBERS), rel=1e-5)
    for inputs in (X, {"x": X}, DataLoader(DATA, 24), ArrayDataset(X), [DATA.arrays], DATA.arrays):
        np.testing.assert_allclose(trainer.predict(inputs)["size"], output["size"], rtol=1e-5, atol=1e-6)


def test_predict_takes_several_inputs_and_keeps_tuples():
    model = net_of(nn, joined, 2, 2, "tuple")
    trainer, inputs = Trainer(model, (nn.MSELoss(), nn.MSELoss())), (X, np.ones((24, 4), np.float32))
    output = trainer.predict(inputs, batch_size=7)
    assert type(output) is tuple
    named = trainer.predict(dict(zip(NAMES, inputs, strict=False)))
    of_data = trainer.predict(ArrayDataset({"first": X, "second": inputs[1]}, NUMBERS))
    for one, other, third in zip(output, named, of_data, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(one, third, rtol=1e-5, atol=1e-6)
    with pytest.raises(
        ValueError, match=r"several inputs must be arrays of the same length, got shapes \(24, 3\), \(4,\)"
    ):
        trainer.predict((X, np.ones(4)))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_fit_is_the_same_bit_for_bit(tmp_path, accumulate):
    class Stop(Callback):
        at = None

        def on_batch_end(self, trainer):
            if trainer.steps == self.at:
                raise KeyboardInterrupt

    def make(folder, **options):
        callbacks = [ModelCheckpoint(tmp_path / folder, every=1, monitor="val_kind_loss"), Stop()]
        metrics = {"kind": [TopK(2)]}
        return two(callbacks=callbacks, optimizer=optim.Adam, accumulate=accumulate, metrics=metrics, **options)

    loaders = [DataLoader(DATA, 5, shuffle=True), DataLoader(DATA, 7)]
    whole = make("a")
    whole.fit(*loaders, epochs=3)
    part = make("b")
    part.callbacks[1].at = 4
    part.fit(*loaders, epochs=3)
    rest = make("b")
    rest.fit(*loaders, epochs=3, resume=tmp_path / "b")
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(rest.model.state_dict()[name], value)
    times = "seconds"
    assert [{k: v for k, v in row.items() if k != times} for row in rest.history] == [
        {k: v for k, v in row.items() if k != times} for row in whole.history
    ]
    with pytest.raises(ValueError, match=r"cannot resume: loss.self.weights.size of the checkpoint: 1.0, .*: 2.0"):
        make("b", loss_weights={"kind": 1, "size": 2}).fit(*loaders, epochs=3, resume=tmp_path / "b")


def test_functions_and_derived_losses_are_losses():
    def both(output, target):
        return (
            nn.CrossEntropyLoss()(output["kind"], target["kind"])
            + 0.5 * ((output["size"] - target["size"]) ** 2).mean()
        )

    class Both(nn.Module):
        def forward(self, output, target):
            return both(output, target)

    pair = {"kind": nn.CrossEntropyLoss(), "size": lambda o, t: ((o - t) ** 2).mean()}
    weights, trainers, histories = {"kind": 1, "size": 0.5}, [], []
    for loss in (None, both, Both(), pair):
        trainers.append(two(loss, loss_weights=weights if loss in (None, pair) else None))
        histories.append(trainers[-1].fit(DataLoader(DATA, 6), DataLoader(DATA, 24), epochs=2))
    for trainer, history in zip(trainers[1:], histories[1:], strict=True):
        np.testing.assert_allclose(history["train_loss"], histories[0]["train_loss"], rtol=1e-5)
        np.testing.assert_allclose(history["val_loss"], histories[0]["val_loss"], rtol=1e-5)
        for name, value in trainers[0].model.state_dict().items():
            np.testing.assert_allclose(trainer.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_function_may_penalise_parameters(accumulate):
    models = [nn.Linear(3, 3, dtype=np.float64) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())

    def penalised(output, target):
        model = models[0]
        return nn.CrossEntropyLoss()(output, target) + 0.05 * ((model.weight**2).sum() + (model.bias**2).sum())

    for model, loss, decay in zip(models, (penalised, nn.CrossEntropyLoss()), (0.0, 0.1), strict=True):
        optimizer = optim.SGD(model.params(), lr=0.1, weight_decay=decay)
        trainer = Trainer(model, loss, optimizer, accumulate=accumulate, progress="none")
        trainer.fit(DataLoader(ArrayDataset(X.astype(np.float64), LABELS), 5), epochs=3)
    for one, other in zip(*(model.params() for model in models), strict=True):
        np.testing.assert_allclose(one.data, other.data, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Trainer.fit. no gradient came to 'kind.weight':UserWarning")
def test_accumulated_derived_losses_are_those_of_one_large_batch():
    one, other = (two(lambda o, t: ((o["size"] - t["size"]) ** 2).mean(), accumulate=n) for n in (1, 4))
    for trainer in (one, other):
        trainer.model.dropout.p = 0.0
    one.fit(DataLoader(DATA, 24), epochs=3)
    other.fit(DataLoader(DATA, 6), epochs=3)
    for name, value in one.model.state_dict().items():
        np.testing.assert_allclose(other.model.state_dict()[name], value, rtol=1e-5, atol=1e-6)


def test_a_loss_that_is_not_finite_is_named_and_nothing_changes():
    trainer = two({"kind": nn.CrossEntropyLoss(), "size": lambda o, t: (o * np.inf).sum()})
    before = trainer.model.state_dict()
    with pytest.raises(NonFiniteLossError, match="the loss of 'size' is (inf|-inf|nan) in epoch 1, batch 1"):
        trainer.fit(DataLoader(DATA, 6))
    for name, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    broken = {**DATA.arrays, "x": np.where(np.arange(24)[:, None] == 3, np.nan, X).astype(np.float32)}
    with pytest.raises(NonFiniteLossError, match=r"the input batch is not finite itself: nan at index \(3, 0\)"):
        two().fit(DataLoader(ArrayDataset(broken), 6))


def test_a_part_in_which_nothing_counts_is_left_out():
    data = ArrayDataset({**DATA.arrays, "kind": np.full(24, -100)})
    trainer = two()
    history = trainer.fit(DataLoader(data, 6), epochs=2)
    assert np.isnan(history["train_kind_loss"]).all()
    assert history["train_loss"] == history["train_size_loss"]
    assert trainer.steps == 8


PAIR = {"kind": nn.CrossEntropyLoss(), "size": nn.MSELoss()}
MODEL = nn.Linear(3, 3)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Trainer(MODEL, {}), ValueError, "at least one loss"),
        (
            lambda: Trainer(MODEL, {"a": nn.MSELoss}),
            TypeError,
            r"the loss of 'a' must be a Module .*did you mean MSELoss\(\)",
        ),
        (lambda: Trainer(MODEL, {"a.b": nn.MSELoss()}), TypeError, "names must be text without a dot, got 'a.b'"),
        (lambda: Trainer(MODEL, [nn.MSELoss(), 3]), TypeError, "loss 1 must be a Module or a function"),
        (lambda: Trainer(MODEL, nn.MSELoss(), loss_weights=[1]), ValueError, "loss_weights are for several losses"),
        (
            lambda: Trainer(MODEL, PAIR, loss_weights=[1, 2]),
            ValueError,
            "loss_weights must be a dict with 'kind', 'size'",
        ),
        (lambda: Trainer(MODEL, [nn.MSELoss()], loss_weights=[1, 2]), ValueError, "loss_weights must be 1 numbers"),
        (lambda: Trainer(MODEL, PAIR, loss_weights={"kind": 1, "size": "2"}), TypeError, r"loss_weights\['size'\]"),
        (lambda: Trainer(MODEL, PAIR, metrics=[TopK(2)]), TypeError, r"metrics by loss: \{'kind': \[...\]\}"),
        (
            lambda: Trainer(MODEL, PAIR, metrics={"a": TopK(2)}),
            ValueError,
            r"given for 'a', but the losses are \['kind'",
        ),
        (lambda: Trainer(MODEL, nn.MSELoss(), metrics={"a": TopK(2)}), TypeError, "by name are for several losses"),
        (lambda: Trainer(MODEL, PAIR, targets=3), TypeError, "targets must be the names of entries"),
        (lambda: Trainer(MODEL, PAIR, targets="a", sample_weights=True), ValueError, "the name of its entry"),
        (lambda: Trainer(MODEL, PAIR, sample_weights="w"), ValueError, "give targets=... too"),
        (lambda: Trainer(MODEL, lambda o, t: 0, sample_weights=True), ValueError, "need a loss with a reduction"),
        (lambda: Trainer(MODEL, [nn.MSELoss()] * 2, targets="a"), ValueError, "there are 2 losses, but 1 targets"),
        (lambda: two(targets=None).fit(DataLoader(DATA, 4)), ValueError, r"targets=\('NAME',\)"),
        (
            lambda: two().predict(DataLoader(ArrayDataset({"kind": LABELS}), 4)),
            ValueError,
            "no input, only the targets",
        ),
        (
            lambda: two(targets=("kind", "sizes")).fit(DataLoader(DATA, 4)),
            ValueError,
            "a batch has no 'sizes', only 'x'",
        ),
        (
            lambda: two(targets=("kind",)).fit(DataLoader(DATA, 4)),
            ValueError,
            "the target must be a dict with 'kind', 'size', g",
        ),
        (
            lambda: two(targets=None).fit(DataLoader(ArrayDataset(X, LABELS), 4)),
            ValueError,
            "the target must be a dict",
        ),
        (lambda: two().fit([(X, LABELS)]), ValueError, "expected batches that are dicts, since targets="),
        (
            lambda: two([nn.MSELoss()] * 2).fit(DataLoader(DATA, 4)),
            ValueError,
            "the model's output must be a tuple of 2, got a dict",
        ),
        (
            lambda: two(nn.MSELoss()).fit(DataLoader(DATA, 4)),
            TypeError,
            "MSELoss: .*returns 2 outputs, and a single loss",
        ),
        (
            lambda: two(lambda o, t: None).fit(DataLoader(DATA, 4)),
            TypeError,
            "must be a number, <lambda>.. returned None",
        ),
        (lambda: two(lambda o, t: o["size"] ** 2).fit(DataLoader(DATA, 4)), TypeError, "shape .4, 3.; return its mean"),
        (
            lambda: two(targets=("kind",)).predict(DataLoader(DATA, 4)),
            TypeError,
            "the inputs of a batch are 'x', 'size'",
        ),
        (
            lambda: two(callbacks=[EarlyStopping("val_kinds_loss")]).fit(*[DataLoader(DATA, 4)] * 2),
            ValueError,
            "did you mean",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
