"""All generators of a tree of modules are found, by gradcheck and by a fit that is resumed."""

import copy
import pickle

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.data import DataLoader
from minidl.nn.generators import generators
from minidl.training import ModelCheckpoint, Trainer
from minidl.training.checkpoint import read_checkpoint, write_checkpoint

from ..fits import problem

RNG = np.random.default_rng


class Helper:
    """A plain object that draws."""

    def __init__(self, seed):
        self.rng = RNG(seed)

    def __call__(self, shape):
        return self.rng.standard_normal(shape)


class Noise(nn.Identity):
    """Adds noise from a generator that is held in one of several ways."""

    def __init__(self, held):
        super().__init__()
        self.held = held

    def _draw(self, shape, held):
        if isinstance(held, Helper):
            return held(shape)
        if isinstance(held, np.random.Generator):
            return held.standard_normal(shape)
        return self._draw(shape, next(iter(held.values())) if isinstance(held, dict) else held[0])

    def forward(self, x):
        return super().forward(x) + self._draw(x.shape, self.held).astype(x.dtype)


HELD = {
    "attribute": RNG,
    "list": lambda seed: [RNG(seed)],
    "tuple": lambda seed: (RNG(seed), 1),
    "dict": lambda seed: {"noise": RNG(seed)},
    "nested": lambda seed: [{"noise": (RNG(seed),)}],
    "object": Helper,
    "objects": lambda seed: {"a": [Helper(seed)]},
}


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
def test_they_are_found_and_gradcheck_holds_them(held):
    layer = nn.Sequential(nn.Linear(3, 3), nn.Sequential(Noise(held(0))))
    direct, inside = generators(layer)
    assert len(direct + inside) == 1
    assert minidl.gradcheck(layer, RNG(1).standard_normal((2, 3)))


def test_their_order_and_that_each_hidden_one_is_named_once():
    a, b, c = RNG(0), RNG(1), RNG(2)
    first, second = Noise([a, b, [a]]), nn.Dropout(0.5, rng=c)
    second.more = {"c": c, "b": b}
    direct, inside = generators(nn.Sequential(first, second))
    assert [id(g) for g in direct] == [id(c)]
    assert [id(g) for g in inside] == [id(a), id(b)]


def build(held, seed=0, callbacks=()):
    model = nn.Sequential(nn.Linear(4, 8, rng=RNG(0)), Noise(held(seed)), nn.ReLU(), nn.Linear(8, 3, rng=RNG(1)))
    return Trainer(
        model, nn.CrossEntropyLoss(), optim.SGD(model.params(), 0.1), callbacks=callbacks, progress="none"
    ), DataLoader(problem(), 10, shuffle=True)


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
def test_a_fit_resumes_bit_for_bit(held, tmp_path):
    def run(folder, epochs, seed):
        minidl.manual_seed(0)
        trainer, loader = build(held, seed, [ModelCheckpoint(folder, every=2)])
        trainer.fit(loader, epochs=epochs, resume=folder)
        return trainer.model.state_dict()

    whole = run(tmp_path / "whole", 3, 0)
    run(tmp_path / "parts", 1, 0)
    parts = run(tmp_path / "parts", 3, 99)  # another seed, which the checkpoint replaces
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name])


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
def test_a_checkpoint_that_counted_fewer_generators_resumes(held, tmp_path):
    trainer, loader = build(held)
    trainer.fit(loader, epochs=1)
    state = trainer.state_dict()
    count = 1 + len(generators(trainer.model)[0])  # minidl's own, and attributes
    state["rngs"] = state["rngs"][:count]
    state["made_of"]["random generators"] = count
    write_checkpoint(tmp_path / "old.ckpt", state)
    trainer, loader = build(held)
    assert len(trainer.fit(loader, epochs=2, resume=tmp_path / "old.ckpt")) == 2
    state["made_of"]["random generators"] = 5
    write_checkpoint(tmp_path / "other.ckpt", state)
    assert read_checkpoint(tmp_path / "other.ckpt")["made_of"]["random generators"] == 5
    trainer, loader = build(held)
    with pytest.raises(ValueError, match="random generators of the checkpoint: 5"):
        trainer.fit(loader, epochs=2, resume=tmp_path / "other.ckpt")


@pytest.mark.parametrize("how", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_of_a_layer_repeats_its_stream_as_documented(how):
    x = np.ones((4, 8), np.float32)
    layer = nn.Dropout(0.5, rng=RNG(0))
    layer(x)
    twin = how(layer)
    assert twin.rng is not layer.rng
    first = layer(x)
    np.testing.assert_array_equal(twin(x), first)
    shared = nn.Dropout(0.5)  # minidl's own generator: one stream, whose draws they take in turn
    twin = how(shared)
    assert not np.array_equal(twin(x), shared(x))
