"""Training problems drawn at random, without dropout, batch normalisation or augmentation: exact on any ranks."""

import warnings

import numpy as np

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader, Dataset, WeightedSampler
from minidl.training import Trainer
from minidl.training.callbacks import EMAWeights

CLASSES = 5


class Gated(nn.Module):
    """Only some samples go through one of the layers: a share, or a batch, may have none of them."""

    def __init__(self, features):
        super().__init__()
        self.always, self.rare, self.head = nn.Linear(features, 8), nn.Linear(features, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        hidden = self.always(x)
        chosen = x[:, :1] > 1.4
        if chosen.any():
            hidden = hidden + self.rare(x) * chosen
        return self.head(np.tanh(hidden))


class Shared(nn.Module):
    """One layer twice."""

    def __init__(self, features):
        super().__init__()
        self.first, self.twice, self.head = nn.Linear(features, 7), nn.Linear(7, 7), nn.Linear(7, CLASSES)

    def forward(self, x):
        return self.head(np.tanh(self.twice(np.tanh(self.twice(self.first(x))))))


class Heads(nn.Module):
    """Two outputs."""

    def __init__(self, features):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 8), nn.Tanh())
        self.label, self.size = nn.Linear(8, CLASSES), nn.Linear(8, 2)

    def forward(self, x):
        hidden = self.body(x)
        return {"label": self.label(hidden), "size": self.size(hidden)}


def conv_net(rng):
    """A small network of images (N, 2, 7, 6)."""
    layers, channels = [], 2
    for _ in range(rng.integers(1, 3)):
        after = int(rng.integers(2, 6))
        layers += [nn.Conv2d(channels, after, int(rng.integers(1, 4)), padding=1, stride=int(rng.integers(1, 3)))]
        norm = rng.choice(["none", "group", "instance"])
        if norm != "none":
            layers.append(nn.GroupNorm(1, after) if norm == "group" else nn.InstanceNorm2d(after))
        layers.append([nn.ReLU(), nn.SiLU(), nn.Tanh(), nn.GELU()][rng.integers(0, 4)])
        channels = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, CLASSES))


def linear_net(rng, features):
    """A small network of rows."""
    width = int(rng.integers(4, 12))
    between = [nn.ReLU(), nn.LayerNorm(width), nn.Sigmoid(), nn.ELU()][rng.integers(0, 4)]
    return nn.Sequential(nn.Linear(features, width), nn.Tanh(), between, nn.Linear(width, CLASSES))


class Images(Dataset):
    """A user's dataset."""

    def __init__(self, *arrays):
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, index):
        return tuple(array[index] for array in self.arrays)


class Fresh:
    """Batches of a user's own, made anew in each epoch; how many there are is not known."""

    def __init__(self, batches):
        self._batches = batches

    def __iter__(self):
        yield from self._batches


class Stepping(Trainer):
    """A Trainer with a training step of its own."""

    def training_step(self, batch):
        x, target = batch
        output = self.model(x)
        loss = self.loss(output, target)
        return {"loss": loss + 0.5 * nn.functional.cross_entropy(output, target), "size": float(abs(output).mean())}


def function_loss(output, target):
    """A loss that is a function."""
    return nn.functional.cross_entropy(output, target) + 0.1 * (output * output).mean()


class Problem:
    """A training problem that follows from a seed: ``make(comm)`` is its Trainer, ``fit(trainer)`` trains it.

    Args:
        seed: any number.
        dtype: of all arrays.
        steps: about how many steps the fit is to have.
    """

    def __init__(self, seed, dtype, steps=100):
        self.seed, self.dtype, self.rng = seed, np.dtype(dtype), np.random.default_rng(seed)
        self.told = {}
        self._batch_size = self._say("batch_size", int(self.rng.integers(4, 15)))
        batches = int(self.rng.integers(7, 15))
        rest = self._say("rest", int(self.rng.choice([0, 1, 2, self._batch_size - 1])))  # of the last, uneven batch
        self._samples = batches * self._batch_size + rest
        self._accumulate = self._say("accumulate", int(self.rng.choice([1, 1, 1, 2, 3])))
        self._kind = self._say("model", str(self.rng.choice(["conv", "linear", "gated", "shared", "heads", "step"])))
        self._loss = self._say("loss", self._draw_loss())
        self._draw_data()
        self._form = self._say("data", str(self.rng.choice(["arrays", "dict", "loader", "list", "fresh", "dataset"])))
        if self._form == "dict" and isinstance(self._y, dict):
            self._form = self.told["data"] = "arrays"
        self._each = -(-self._number() // self._accumulate)
        self.epochs = -(-steps // self._each)
        self._optimizer = self._say("optimizer", str(self.rng.choice(["sgd", "adam", "adamw", "rmsprop", "several"])))
        self._schedule = self._say("schedule", str(self.rng.choice(["none", "one cycle", "plateau", "cosine"])))
        self._clip = self._say("clip", [None, 0.3][self.rng.integers(0, 2)])
        self._ema = self._say("ema", bool(self.rng.random() < 0.3))
        self._frozen = self._say("frozen", bool(self.rng.random() < 0.2))
        self._options = np.random.default_rng([seed, 1]).random(8)

    def __str__(self):
        return f"seed {self.seed}, {self.dtype}: " + ", ".join(f"{name} {value}" for name, value in self.told.items())

    def _say(self, name, value):
        self.told[name] = value
        return value

    def _draw_loss(self):
        if self._kind == "heads":
            return "two"
        if self._kind == "step":
            return str(self.rng.choice(["plain", "smoothing"]))
        kinds = ["plain", "weight", "ignore", "smoothing", "sum", "bce", "mse", "sample weights", "function", "both"]
        return str(self.rng.choice(kinds))

    def _draw_data(self):
        rng, count = self.rng, self._samples
        shape = (count, 2, 7, 6) if self._kind == "conv" else (count, 6)
        self._x = rng.standard_normal(shape).astype(self.dtype)
        labels = rng.integers(0, CLASSES, count)
        if self._loss in ("ignore", "both", "two"):
            labels[: 2 * count // 3] = 3  # in order, whole shares have nothing that counts
            labels[2 * count // 3 :][rng.random(count - 2 * count // 3) < 0.5] = 3
        self._y = labels
        if self._loss in ("bce", "mse"):
            target = (
                rng.random((count, CLASSES)) < 0.3 if self._loss == "bce" else rng.standard_normal((count, CLASSES))
            )
            self._y = target.astype(self.dtype)
        elif self._loss == "two":
            self._y = {"label": labels, "size": rng.standard_normal((count, 2)).astype(self.dtype)}
        self._weights = None
        if self._loss == "sample weights":
            self._weights = (rng.random(count) * (rng.random(count) < 0.5)).astype(self.dtype)

    def _number(self):
        whole = self._samples // self._batch_size
        drops = self._form == "loader" and self.rng.random() < 0.3
        self._drop_last = self._say("drop_last", bool(drops))
        return whole if drops else -(-self._samples // self._batch_size)

    def _make_loss(self):
        weight = np.linspace(0.2, 2, CLASSES).astype(self.dtype)
        kinds = {
            "plain": nn.CrossEntropyLoss,
            "sample weights": nn.CrossEntropyLoss,
            "weight": lambda: nn.CrossEntropyLoss(weight),
            "ignore": lambda: nn.CrossEntropyLoss(ignore_index=3),
            "both": lambda: nn.CrossEntropyLoss(weight, ignore_index=3, label_smoothing=0.1),
            "smoothing": lambda: nn.CrossEntropyLoss(label_smoothing=0.2),
            "sum": lambda: nn.CrossEntropyLoss(reduction="sum"),
            "bce": lambda: nn.BCEWithLogitsLoss(pos_weight=weight),
            "mse": nn.MSELoss,
            "function": lambda: function_loss,
            "two": lambda: {"label": nn.CrossEntropyLoss(ignore_index=3), "size": nn.MSELoss()},
        }
        return kinds[self._loss]()

    def _make_model(self):
        minidl.manual_seed(self.seed)
        rng = np.random.default_rng([self.seed, 2])
        if self._kind in ("conv", "linear", "step"):
            return conv_net(rng) if self._kind == "conv" else linear_net(rng, 6)
        return {"gated": Gated, "shared": Shared, "heads": Heads}[self._kind](6)

    def _make_optimizer(self, params):
        decay = float(self._options[0] < 0.5) * 0.01
        rate = 0.002 if self._loss == "sum" else 0.02
        if self._optimizer == "several":
            half = len(params) // 2
            return [optim.SGD(params[:half], lr=rate, momentum=0.9), optim.AdamW(params[half:], lr=rate / 5)]
        if self._optimizer == "sgd":
            nesterov = bool(self._options[1] < 0.5)
            return optim.SGD(params, lr=rate, momentum=0.9, weight_decay=decay, nesterov=nesterov)
        made = {"adam": optim.Adam, "adamw": optim.AdamW, "rmsprop": optim.RMSprop}[self._optimizer]
        # with usual ones, one process ends 1e-9 apart from itself if the last bits of the first weights are others
        return made(params, lr=rate / 20, weight_decay=decay, eps=1e-3)

    def make(self, comm, callbacks=()):
        """Return a new Trainer."""
        model = self._make_model().astype(self.dtype)
        if self._frozen:
            next(model.params()).requires_grad = False
        optimizer = self._make_optimizer([p for p in model.params() if p.requires_grad])
        first = optimizer[0] if isinstance(optimizer, list) else optimizer
        schedule = {
            "none": lambda: None,
            "one cycle": lambda: optim.lr_scheduler.OneCycleLR(
                first, max_lr=0.01, total_steps=self.epochs * self._each
            ),
            "plateau": lambda: optim.lr_scheduler.ReduceLROnPlateau(first, patience=1, factor=0.7),
            "cosine": lambda: optim.lr_scheduler.CosineAnnealingLR(first, T_max=self.epochs),
        }[self._schedule]()
        options = {"targets": ("target",)} if self._form == "dict" else {}
        if self._weights is not None:
            options["sample_weights"] = "weights" if self._form == "dict" else True
        if self._loss == "two":
            options["loss_weights"] = {"label": 0.7, "size": 1.3}
        kind = Stepping if self._kind == "step" and self._form != "dict" else Trainer
        return kind(
            model,
            self._make_loss(),
            optimizer,
            scheduler=[schedule] if isinstance(optimizer, list) and schedule is not None else schedule,
            clip_grad_norm=self._clip,
            accumulate=self._accumulate,
            callbacks=[*([EMAWeights(0.9)] if self._ema else []), *callbacks],
            progress="none",
            comm=comm,
            **options,
        )

    def arrays(self):
        """Return the samples, as the Trainer takes them."""
        named = {"x": self._x, "target": self._y}
        if self._weights is not None:
            named["weights"] = self._weights
        return named if self._form == "dict" else tuple(named.values())

    def inputs(self):
        """Return the inputs alone."""
        return {"x": self._x} if self._form == "dict" else self._x

    def _cut(self):
        parts = range(0, self._samples, self._batch_size)
        return [self._part(slice(first, first + self._batch_size)) for first in parts]

    def _part(self, part):
        return tuple(
            {key: array[part] for key, array in one.items()} if isinstance(one, dict) else one[part]
            for one in self.arrays()
        )

    def fit(self, trainer, epochs=None, **options):
        """Train; return the history."""
        data, val = self.arrays(), self.arrays()
        warnings.filterwarnings("ignore", ".*no gradient came to 'rare", UserWarning)  # if the first batch is without
        if self._form in ("arrays", "dict"):
            options |= {"batch_size": self._batch_size, "rng": np.random.default_rng(self.seed)}
        elif self._form == "loader":
            dataset = ArrayDataset(*data)
            sampler = None
            if self._options[2] < 0.5:
                sampler = WeightedSampler(np.linspace(0.1, 1, self._samples), self._samples)
            data = DataLoader(
                dataset,
                self._batch_size,
                shuffle=sampler is None and self._options[3] < 0.7,
                sampler=sampler,
                drop_last=self._drop_last,
                prefetch=int(2 * self._options[4]),
            )
        elif self._form == "list":
            data = self._cut()
        elif self._form == "fresh":
            data = Fresh(self._cut())
        elif self._form == "dataset" and not isinstance(self._y, dict):
            data, options["batch_size"] = Images(*data), self._batch_size
        else:
            options["batch_size"] = self._batch_size
        return trainer.fit(data, val, epochs=self.epochs if epochs is None else epochs, **options)
