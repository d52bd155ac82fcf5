"""Everything works on modules that define forward only: hooks, states, copies, freezing, modes, needs_input_grad.

Random nets (`derived_nets.RandomNet`) with shared layers, several inputs and outputs, Parameters in arithmetic.
"""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from derived_nets import RandomNet

from minidl import nn
from minidl.nn.structure import leaves, rebuild

SEEDS = pytest.mark.parametrize("seed", range(16))


def run(net, inputs, number=0):
    """One pass: outputs, gradients of inputs and of parameters, as lists of arrays and None."""
    outputs = net(*inputs)
    rng = np.random.default_rng([net.seed, number])
    seeds = rebuild(outputs, lambda y: rng.standard_normal(np.shape(y)).astype(y.dtype))
    dx = net.backward(seeds)
    return list(leaves((outputs,))), list(leaves((dx,), none=True)), [p.grad for p in net.params()]


def equal(ours, theirs):
    """Require the same bits."""
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)


def same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        equal(a, b)


@SEEDS
def test_copies_and_states(seed):
    print("seed", seed)
    net = RandomNet(seed)
    inputs = net.draw()
    net(*inputs)  # something is kept while it is copied
    twins = {"deepcopy": copy.deepcopy(net), "pickle": pickle.loads(pickle.dumps(net)), "state": RandomNet(seed)}
    for parameter in twins["state"].params():
        parameter.data[...] = 7
    keys = twins["state"].load_state_dict(net.state_dict())
    assert not keys.missing_keys
    assert not keys.unexpected_keys
    state = net.state_dict()
    expected = run(net, inputs)
    for twin in twins.values():
        assert list(twin.state_dict()) == list(state)
        same(run(twin, inputs), expected)
        for parameter in twin.params():
            parameter.data[...] += 1
    equal([p.data for p in net.params()], [state[name] for name, _ in net.named_params()])


@SEEDS
def test_hooks_see_every_call_and_change_nothing(seed):
    net, twin = RandomNet(seed), RandomNet(seed)
    inputs, seen = net.draw(), []

    def look(module, given, output):
        assert all(type(x) is np.ndarray for x in leaves((given, output)))
        seen.append(module)

    handles = [module.register_forward_hook(look) for module in net.modules()]
    same(run(net, inputs), run(twin, inputs))
    assert seen[-1] is net
    calls = [net.layers[layer] for _, _, _, layer in net.plan if layer >= 0]
    assert [module for module in seen if any(module is layer for layer in net.layers)] == calls
    for handle in handles:
        handle.remove()
    seen.clear()
    run(net, inputs)
    assert not seen


@SEEDS
def test_a_hook_that_replaces_an_output(seed):
    net = RandomNet(seed)
    inputs = net.draw()
    handle = net.layers[0].register_forward_hook(lambda module, given, output: np.zeros_like(output))
    zeros = list(leaves((net(*inputs),)))
    handle.remove()
    for parameter in net.layers[0].params():  # a convolution
        parameter.data[...] = 0
    equal(zeros, list(leaves((net(*inputs),))))


@SEEDS
def test_frozen_parts_get_no_gradient_and_the_others_the_same(seed):
    print("seed", seed)
    net, twin = RandomNet(seed, batch_norm=False), RandomNet(seed, batch_norm=False)
    inputs, rng = net.draw(), np.random.default_rng(seed)
    _, dx, _ = expected = run(twin, inputs)
    frozen = {int(i) for i in rng.permutation(len(net.layers))[: 1 + len(net.layers) // 2]}
    for number in frozen:
        net.layers[number].freeze()
    net.scale.requires_grad_(bool(seed % 2))
    out, found, _ = run(net, inputs)
    equal(out, expected[0])
    equal(found, dx)
    theirs = dict(twin.named_params())
    for name, parameter in net.named_params():
        stops = name.startswith(tuple(f"layers.{n}." for n in frozen)) or (name == "scale" and not seed % 2)
        assert (parameter.grad is None) == (stops or theirs[name].grad is None), name
        if parameter.grad is not None:
            np.testing.assert_array_equal(parameter.grad, theirs[name].grad)
    net.unfreeze()
    net.scale.requires_grad_(True)
    net.zero_grad()
    same(run(net, inputs), expected)


@SEEDS
def test_a_frozen_net_keeps_only_what_the_inputs_gradient_needs(seed):
    net, twin = RandomNet(seed, batch_norm=False), RandomNet(seed, batch_norm=False)
    inputs = net.draw()
    _, dx, _ = run(twin, inputs)
    net.freeze()
    _, found, grads = run(net, inputs)
    equal(found, dx)
    assert all(grad is None for grad in grads)
    net.needs_input_grad = False
    net(*inputs)
    assert not any(part.steps for module in net.modules() for part in module._saved)


@SEEDS
def test_needs_input_grad_changes_no_parameters_gradient(seed):
    net, twin = RandomNet(seed), RandomNet(seed)
    inputs = net.draw()
    net.needs_input_grad = False
    (out, dx, grads), expected = run(net, inputs), run(twin, inputs)
    equal(out, expected[0])
    equal(grads, expected[2])
    assert all(g is None for g in dx)


@SEEDS
def test_modes_and_no_grad(seed):
    net = RandomNet(seed)
    inputs = net.draw()
    run(net, inputs)
    state = net.state_dict()
    net.eval()
    expected = run(net, inputs)
    for _ in range(2):
        with nn.no_grad():
            equal(list(leaves((net(*inputs),))), expected[0])
        assert not any(module._saved for module in net.modules())
    with pytest.raises(RuntimeError, match="RandomNet: backward"):
        net.backward(expected[0][0])
    equal(list(net.state_dict().values()), list(state.values()))
    assert not any(module.training for module in net.modules())
    net.train()
    assert all(module.training for module in net.modules())


@SEEDS
def test_gradients_add_up_and_nothing_stays_behind(seed):
    net, twin = RandomNet(seed, batch_norm=False), RandomNet(seed, batch_norm=False)
    inputs = net.draw()
    *_, once = run(twin, inputs)
    run(net, inputs)
    *_, twice = run(net, inputs)
    for a, b in zip(once, twice, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(b, 2 * a, rtol=1e-6)
    net.zero_grad()
    assert all(p.grad is None for p in net.params())
    assert not any(module._saved for module in net.modules())
    output = next(leaves((net(*inputs),)))
    record = weakref.ref(net._saved[0])
    del output
    net(*inputs)  # replaces it
    gc.collect()
    assert record() is None


@SEEDS
def test_another_dtype(seed):
    net = RandomNet(seed)
    single = run(net, net.draw())
    double = run(RandomNet(seed).astype(np.float64), net.draw(dtype=np.float64))
    for ours, theirs in zip(single, double, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert (a.dtype, b.dtype) == (np.dtype(np.float32), np.dtype(np.float64))
                np.testing.assert_allclose(a, b, rtol=5e-3, atol=5e-3 * max(1.0, np.abs(b).max(initial=0)))


@SEEDS
def test_shapes_without_data(seed):
    net = RandomNet(seed)
    inputs = net.draw(n=3)
    shapes, dtypes = rebuild(inputs, np.shape), [x.dtype for x in leaves(inputs)]
    assert net.output_shape(*shapes, dtype=dtypes) == rebuild(net.eval()(*inputs), np.shape)
    summary = net.summary(*shapes, dtype=dtypes)
    assert summary.total_params == sum(p.data.size for p in net.params()) == sum(row.params for row in summary.rows)
    calls = [net.layers[layer] for _, _, _, layer in net.plan if layer >= 0]
    for number, layer in enumerate(net.layers):
        rows = [row for row in summary.rows if row.name == f"layers.{number}"]
        if not any(layer.children()):
            assert [row.again for row in rows] == [False] + [True] * (sum(call is layer for call in calls) - 1)


@pytest.mark.parametrize("kind", ["layer", "block"])
def test_a_layer_inside_that_wants_no_input_gradient_ends_the_way_back(kind):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
            self.block = nn.Sequential(self.second, nn.Tanh()) if kind == "block" else self.second

        def forward(self, x):
            x = self.first(x)
            return self.block(x) + x * 0

    net, x = Net(), np.ones((2, 3), np.float32)
    net(x)
    net.backward(np.ones((2, 3), np.float32))
    first, second = net.first.weight.grad, net.second.weight.grad
    assert np.abs(first).max() > 0
    net.zero_grad()
    net.block.needs_input_grad = False
    net(x)
    net.backward(np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(net.second.weight.grad, second)
    np.testing.assert_array_equal(net.first.weight.grad, np.zeros_like(first))  # what comes around the layer is 0
