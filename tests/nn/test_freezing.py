"""Frozen layers stay as they are, and a backward pass ends behind those in front, with the same gradients."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import models, nn, optim
from minidl.data import DataLoader
from minidl.models.imagenet import BasicBlock, InvertedResidual
from minidl.testing import check_module
from minidl.training import Trainer

from ..fits import problem

RNG = np.random.default_rng


def body_and_head():
    body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5, rng=RNG(0)))
    return nn.Sequential(body, nn.Linear(6, 3))


def draw(*shape):
    return RNG(3).standard_normal(shape).astype(np.float32)


def equal(a, b):
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


def test_a_frozen_module_behaves_as_in_evaluation_whatever_train_says():
    net, x = body_and_head(), draw(8, 4)
    net(x)  # moves the running statistics
    body, names = net[0], list(net.state_dict())
    expected, state = body.eval()(x), body.state_dict()
    assert body.train().freeze() is body
    for _ in range(2):
        np.testing.assert_array_equal(body(x), expected)
        assert equal(body.state_dict(), state)
        net.train()
        assert (net.training, body.training, body[3].training) == (True, False, False)
        assert not any(p.requires_grad for p in body.params())
    assert list(net.state_dict()) == names
    assert body.unfreeze() is body
    assert all(module.training for module in net.modules())
    assert all(p.requires_grad for p in net.params())
    assert not np.array_equal(body(x), expected)
    assert not equal(body.state_dict(), state)


def test_requires_grad_alone_stops_the_parameters_only():
    net, x = body_and_head(), draw(8, 4)
    state = net.requires_grad_(False).state_dict()
    first, second = net(x), net(x)
    assert not np.array_equal(first, second)  # dropout
    changed = [name for name, value in net.state_dict().items() if not np.array_equal(value, state[name])]
    assert changed == ["0.1.running_mean", "0.1.running_var", "0.1.num_batches_tracked"]


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(2, momentum=None), nn.InstanceNorm2d(2, track_running_stats=True)])
def test_every_kind_of_running_statistics_stays(layer):
    layer(draw(4, 2, 3, 3))
    state = layer.freeze().train().state_dict()
    layer(draw(4, 2, 3, 3) + 5)
    assert equal(layer.state_dict(), state)


def test_the_mode_that_was_set_while_frozen_holds_afterwards():
    net = body_and_head()
    trainer = Trainer(net, nn.CrossEntropyLoss(), progress="none")
    net[0].freeze()
    trainer.evaluate(DataLoader(problem(), 10))  # restores modes
    assert net[0].unfreeze().training
    net[0].freeze()
    net.eval()
    assert not net[0].unfreeze().training


def test_a_part_that_is_not_frozen_and_repr():
    net = body_and_head()
    net.freeze()
    net[0][1].unfreeze()
    net.append(nn.Linear(3, 2))
    assert [m.training for m in (net, net[0], net[0][1], net[2])] == [False, False, True, True]
    assert [name for name, p in net.named_params() if p.requires_grad] == [
        "0.1.weight",
        "0.1.bias",
        "2.weight",
        "2.bias",
    ]
    text = repr(net).splitlines()
    assert text[0] == "Sequential(  # frozen"
    assert text[1] == "  (0): Sequential("
    assert text[3].endswith("# training mode")
    assert repr(net).count("# frozen") == 1
    assert "# frozen" not in repr(net.unfreeze())
    assert "# frozen" in repr(nn.Linear(1, 1).freeze())


@pytest.mark.parametrize("how", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_stay_frozen_and_old_pickles_load(how):
    net = body_and_head()
    net[0].freeze()
    twin = how(net).train()
    assert not twin[0].training
    assert "# frozen" in repr(twin)
    assert not any(p.requires_grad for p in twin[0].params())
    assert twin[0].unfreeze().training
    layer = nn.Dropout(0.5)
    state = {name: value for name, value in layer.__getstate__().items() if name != "_frozen"}
    old = nn.Dropout.__new__(nn.Dropout)
    old.__dict__.update(state)
    assert old.training
    assert not old.eval().training


def test_check_module_takes_frozen_layers():
    x = RNG(0).standard_normal((5, 4))
    net = body_and_head()
    net[0].freeze()
    assert check_module(net, x)
    assert check_module(nn.Linear(4, 2).freeze(), x)
    assert minidl.gradcheck(nn.BatchNorm1d(4).freeze(), x)


@pytest.mark.parametrize("stop", ["freeze", "requires_grad_"])
def test_a_fit_trains_the_head_and_nothing_else(stop):
    net = body_and_head()
    net[0].freeze() if stop == "freeze" else net[0].requires_grad_(False)
    before = net.state_dict()
    optimizer = optim.SGD(net.params(), 0.1, momentum=0.9, weight_decay=0.1)
    Trainer(net, nn.CrossEntropyLoss(), optimizer, clip_grad_norm=1.0, progress="none").fit(
        DataLoader(problem(), 10), DataLoader(problem(), 10), epochs=2
    )
    changed = {name for name, value in net.state_dict().items() if not np.array_equal(value, before[name])}
    moved = {"0.1.running_mean", "0.1.running_var", "0.1.num_batches_tracked"}
    assert changed == {"1.weight", "1.bias"} | (set() if stop == "freeze" else moved)


def test_the_layers_in_front_save_nothing_and_are_not_asked(monkeypatch):
    net, x = body_and_head(), draw(8, 4)
    net[0].freeze()
    net.needs_input_grad = False
    asked = []
    for module in net.modules():
        if not list(module.children()):
            kind, own = type(module), type(module).backward
            if not hasattr(own, "watched"):

                def backward(self, grad, own=own):
                    asked.append((self, self.needs_input_grad))
                    return own(self, grad)

                backward.watched = True
                monkeypatch.setattr(kind, "backward", backward)
    out = net(x)
    assert [module for module in net.modules() if module._saved] == [net, net[1]]
    assert net.backward(out) is None
    assert asked[-1] == (net[1], False)
    assert [module for module, _ in asked if module is not net] == [net[1]]
    assert net[1].needs_input_grad
    assert not net.needs_input_grad
    with pytest.raises(RuntimeError, match=r"Sequential: backward\(\) has no forward pass"):
        net.backward(out)


def test_layers_without_parameters_in_front_are_spared_too():
    net = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(4, 2))
    net.needs_input_grad = False
    out = net(draw(3, 2, 2))
    assert not net[0]._saved
    assert not net[1]._saved
    assert net.backward(out) is None
    assert net[2].weight.grad is not None


def test_all_frozen_nothing_frozen_and_a_forward_pass_in_no_grad():
    net, x = body_and_head(), draw(8, 4)
    net.needs_input_grad = False
    with nn.no_grad():
        out = net(x)
    with pytest.raises(RuntimeError, match="has no forward pass"):
        net.backward(out)
    net.freeze()
    assert net.backward(net(x)) is None
    with pytest.raises(RuntimeError, match="has no forward pass"):
        net.backward(out)
    net.needs_input_grad = True
    assert net.backward(net(x)).shape == x.shape


def test_what_was_frozen_at_the_forward_pass_counts():
    net, x = body_and_head(), draw(8, 4)
    net.needs_input_grad = False
    out = net(x)
    net[0].freeze()
    assert net.backward(out) is None
    out = net(x)
    net[0].unfreeze()
    assert net.backward(out) is None
    assert net[0][0].weight.grad is None
    net.backward(net(x))
    assert net[0][0].weight.grad is not None


class Branched(nn.Module):
    """A module with passes of its own; it lets a frozen body know that nobody wants its input's gradient."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"body": body_and_head()[0], "head": nn.Linear(6, 3)})

    def forward(self, x):
        return self.parts["head"](self.parts["body"](x))

    def backward(self, grad_output):
        return self.parts["body"].backward(self.parts["head"].backward(grad_output))


def test_a_module_of_ones_own_passes_the_flag_on_itself():
    net, x = Branched(), draw(8, 4)
    net.parts["body"].freeze()
    assert net.backward(net(x)).shape == x.shape
    expected = net.parts["head"].weight.grad.copy()
    net.zero_grad()
    net.parts["body"].needs_input_grad = False
    out = net(x)
    assert not any(layer._saved for layer in net.parts["body"])
    assert net.backward(out) is None
    np.testing.assert_array_equal(net.parts["head"].weight.grad, expected)


# Random nets, of which random parts are frozen


def leaf(kind, seed):
    return {
        "linear": lambda: nn.Linear(4, 4, rng=RNG(seed)),
        "norm": lambda: nn.BatchNorm1d(4),
        "plain": lambda: nn.BatchNorm1d(4, affine=False),
        "dropout": lambda: nn.Dropout(0.3, rng=RNG(seed)),
        "relu": nn.Tanh,
        "scale": lambda: nn.LayerNorm(4),
    }[kind]()


def join(kind, parts):
    if kind == "residual":
        return nn.Residual(parts[0], parts[1] if len(parts) > 1 else None)
    if kind == "cat":
        return nn.Sequential(nn.Parallel(*parts), nn.Linear(4 * len(parts), 4, rng=RNG(len(parts))))
    return nn.Parallel(*parts, merge="sum") if kind == "sum" else nn.Sequential(*parts)


LEAVES = st.builds(
    leaf, st.sampled_from(["linear", "norm", "plain", "dropout", "relu", "scale"]), st.integers(0, 2**20)
)
NETS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        join,
        st.sampled_from(["sequential", "sequential", "residual", "sum", "cat"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
)
STOPS = st.lists(st.sampled_from(["no", "no", "freeze", "requires_grad_", "weight"]), min_size=40, max_size=40)


def stop(net, stops):
    for module, how in zip(net.modules(), stops, strict=False):
        if how == "freeze":
            module.freeze()
        elif how == "requires_grad_":
            module.requires_grad_(False)
        elif how == "weight" and getattr(module, "weight", None) is not None:
            module.weight.requires_grad = False


def both_ways(net, x):
    """Run a net with and without the gradient of its input; return what must be the same."""
    results = []
    for flag in (True, False):
        twin = copy.deepcopy(net)
        twin.needs_input_grad = flag
        for _ in range(2):  # gradients add up
            out = twin(x)
            dx = twin.backward(out * 0.5)
        assert dx.shape == x.shape if flag else True
        grads = {name: p.grad for name, p in twin.named_params()}
        flags = {name: m.needs_input_grad for name, m in twin.named_modules()}
        results.append((out, grads, twin.state_dict(), flags))
        assert not any(module._saved for module in twin.modules() if module is not twin)
    return results


@settings(max_examples=60, deadline=None)
@given(NETS, STOPS)
def test_gradients_are_the_same_bit_for_bit(net, stops):
    net = nn.Sequential(net, nn.Linear(4, 3, rng=RNG(0)))
    stop(net, stops)
    (out, grads, state, _), (other, others, moved, _) = both_ways(net, draw(5, 4))
    np.testing.assert_array_equal(out, other)
    assert equal(state, moved)
    for name, p in net.named_params():
        assert (grads[name] is None) == (others[name] is None) == (not p.requires_grad), name
        if p.requires_grad:
            np.testing.assert_array_equal(grads[name], others[name], err_msg=name)


@pytest.mark.parametrize("make", [lambda: BasicBlock(4, 4, 1, RNG(0)), lambda: BasicBlock(4, 6, 2, RNG(0))])
@pytest.mark.parametrize(
    "frozen", ["", "conv1", "bn1", "conv1 bn1", "conv1 bn1 conv2", "downsample", "conv1 downsample"]
)
def test_blocks_of_resnet18(make, frozen):
    block = make()
    for name in frozen.split():
        if getattr(block, name) is not None:
            getattr(block, name).freeze()
    net = nn.Sequential(nn.Conv2d(3, 4, 3, rng=RNG(1)).freeze(), nn.Sequential(block), nn.Flatten(), nn.ReLU())
    (out, grads, state, _), (other, others, moved, flags) = both_ways(net, draw(2, 3, 8, 8))
    np.testing.assert_array_equal(out, other)
    assert equal(state, moved)
    assert equal({n: g for n, g in grads.items() if g is not None}, {n: g for n, g in others.items() if g is not None})
    assert [name for name, flag in flags.items() if not flag] == ["", "0"]  # set for the time of a pass only


def test_blocks_of_mobilenet():
    net = nn.Sequential(InvertedResidual(4, 4, 1, 2, RNG(0)), InvertedResidual(4, 6, 2, 2, RNG(1)))
    net[0].conv[0].freeze()
    (_, grads, state, _), (_, others, moved, _) = both_ways(net, draw(2, 4, 6, 6))
    assert equal(state, moved)
    assert equal({n: g for n, g in grads.items() if g is not None}, {n: g for n, g in others.items() if g is not None})


def test_resnet18_with_a_frozen_body_keeps_only_its_head():
    net = models.resnet18(10, rng=RNG(0))
    net.freeze()
    net.fc.unfreeze()
    net.needs_input_grad = False
    before, out = net.state_dict(), net(draw(2, 3, 32, 32))
    assert [name for name, module in net.named_modules() if module._saved] == ["", "fc"]
    assert net.backward(out) is None
    assert [name for name, p in net.named_params() if p.grad is not None] == ["fc.weight", "fc.bias"]
    assert equal(net.state_dict(), before)
    net.layer4.unfreeze()  # and now the last stage too
    net.train()
    net(draw(2, 3, 32, 32))
    assert not any(module._saved for module in net.layer3.modules())
    assert net.backward(out) is None
    assert all((p.grad is not None) == name.startswith(("fc", "layer4")) for name, p in net.named_params())
