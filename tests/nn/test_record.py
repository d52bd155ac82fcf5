"""Modules that define forward only: what is legal, what is kept, and what is refused with a word on what to do."""

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

import minidl
from minidl import gradcheck, nn
from minidl.nn.tensor import Tensor


def draw(rng, *shape, dtype=np.float64):
    return rng.standard_normal(shape).astype(dtype)


def linear(inputs=4, outputs=4):
    return nn.Linear(inputs, outputs, dtype=np.float64, rng=np.random.default_rng(inputs + outputs))


def module(forward, **members):
    """Return an instance of a class with this forward and these members."""

    class Made(nn.Module):
        def __init__(self):
            super().__init__()
            for name, value in members.items():
                setattr(self, name, value)

    return type("Net", (Made,), {"forward": forward})()


class Block(nn.Module):
    """What people write: sums, joins, a layer that is called twice, a Parameter in an expression."""

    def __init__(self):
        super().__init__()
        self.fc, self.act = linear(), nn.ReLU()
        self.alpha = nn.Parameter(np.array([0.5, 1.5, -1.0, 2.0]))

    def forward(self, x):
        y = self.act(self.fc(x)) + self.act(self.fc(x * 2)) * self.alpha
        return np.concatenate([x + y, y[:, :2]], axis=1)


def test_a_class_with_forward_only_has_a_backward(rng):
    net = Block()
    assert gradcheck(net, draw(rng, 3, 4))
    out = net(draw(rng, 3, 4))
    assert type(out) is np.ndarray
    assert net.backward(np.ones_like(out)).shape == (3, 4)
    assert all(parameter.grad is not None for parameter in net.params())


def test_hand_computed_gradients():
    net = module(lambda self, x: x * self.a + x**2, a=nn.Parameter(np.array([2.0, 3.0])))
    x = np.array([[1.0, -2.0], [0.5, 4.0]])
    assert net(x).tolist() == [[3.0, -2.0], [1.25, 28.0]]
    assert net.backward(np.ones((2, 2))).tolist() == [[4.0, -1.0], [3.0, 11.0]]  # a + 2 x
    assert net.a.grad.tolist() == [1.5, 2.0]  # the sum of x over the rows


def test_define_by_run(rng):
    """Loops and conditions: the next call may be another graph, of another shape."""

    def forward(self, x, times=1):
        for _ in range(times):
            x = self.fc(x)
        return x * 2 if x.sum() > 0 else -x

    net, fc = module(forward, fc=linear()), linear()
    fc.load_state_dict(net.fc.state_dict())
    for times in (1, 3, 2):
        x = draw(rng, times + 1, 4)
        out = net(x, times=times)
        y = x @ np.eye(4)
        for _ in range(times):
            y = y @ fc.weight.data.T + fc.bias.data
        sign = 2 if y.sum() > 0 else -1
        np.testing.assert_allclose(out, sign * y)
        grad = np.ones_like(out)
        expected = sign * grad
        for _ in range(times):
            expected = expected @ fc.weight.data
        np.testing.assert_allclose(net.backward(grad), expected)


def test_structures_go_in_and_come_out(rng):
    def forward(self, pair, more, scale=1.0):
        a, b = pair
        return {"sum": a + b * scale, "both": [a * more["c"], b], "none": None, "name": "x"}

    net = module(forward)
    a, b, c = draw(rng, 2, 3), draw(rng, 2, 3), draw(rng, 2, 3)
    out = net((a, b), {"c": c}, scale=2.0)
    assert set(out) == {"sum", "both", "none", "name"}
    g = draw(rng, 2, 3)
    (da, db), more = net.backward({"sum": g, "both": [g, None]})
    np.testing.assert_allclose(da, g + g * c)
    np.testing.assert_allclose(db, 2 * g)
    np.testing.assert_allclose(more["c"], g * a)
    net((a, b), {"c": c})
    for wrong, message in (
        (g, "expected a dict with the keys 'sum', 'both', 'none', 'name', got a ndarray"),
        ({"sum": g, "all": g}, "expected a dict .* got keys 'sum', 'all'"),
        ({"sum": g, "both": g}, "expected 2 in a list, got a ndarray"),
        ({"sum": g, "both": [g]}, "expected 2 in a list, got 1"),
    ):
        with pytest.raises(ValueError, match=f"Net: gradients in another structure than the outputs: {message}"):
            net.backward(wrong)
    h = draw(rng, 2, 3)
    (da, db), more = net.backward({"both": [None, h], "sum": g})  # by key, whatever their order
    np.testing.assert_allclose(da, g)
    np.testing.assert_allclose(db, g + h)
    net((a, b), {"c": c})
    net.backward({"sum": g, "both": [None, None]})  # the refusal has used nothing up


def test_what_is_legal_in_pytorch_is_legal_here(rng):
    x, g = draw(rng, 2, 4), draw(rng, 2, 4)
    same = module(lambda self, x: x)
    assert same(x) is x
    assert same.backward(g) is g
    assert module(lambda self, x: np.ones((2, 3)))(x).tolist() == np.ones((2, 3)).tolist()
    constant = module(lambda self, x: (self.bias * np.ones((2, 4)), x), bias=nn.Parameter(np.zeros(4)))
    constant(x)
    assert constant.backward((g, None)) is None
    np.testing.assert_allclose(constant.bias.grad, g.sum(axis=0))

    class Halves(nn.Module):
        """Calls itself on parts."""

        def __init__(self):
            super().__init__()
            self.fc = linear(2, 2)

        def forward(self, x):
            if x.shape[1] == 2:
                return self.fc(x)
            a, b = x.chunk(2, dim=1)
            return np.concatenate([self(a), self(b)], axis=1)

    assert gradcheck(Halves(), x)
    relu = nn.ReLU()
    assert gradcheck(nn.Sequential(linear(), relu, linear(), relu), x)


def test_tied_parameters_and_modules_in_lists(rng):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode, self.layers = linear(4, 3), [linear(3, 3) for _ in range(3)]
            self.decode = linear(3, 4)
            self.decode.weight.data[...] = 0
            self.bias = self.encode.bias

        def forward(self, x):
            x = self.encode(x)
            for layer in self.layers:
                x = np.tanh(layer(x)) + self.bias
            return x @ self.encode.weight

    net = Tied()
    assert gradcheck(net, draw(rng, 3, 4))


def test_a_subclass_that_changes_forward_needs_no_backward(rng):
    """Its base class's backward was written for another forward."""

    class Scaled(nn.Linear):
        def forward(self, x):
            return super().forward(x * 3) * 2

    class Skip(nn.Sequential):
        def forward(self, x):
            return x + super().forward(x)

    scaled = Scaled(4, 4, dtype=np.float64)
    x, g = draw(rng, 2, 4), draw(rng, 2, 4)
    np.testing.assert_allclose(scaled(x), 2 * (3 * x @ scaled.weight.data.T + scaled.bias.data))
    np.testing.assert_allclose(scaled.backward(g), 6 * g @ scaled.weight.data)
    assert gradcheck(Skip(linear(), nn.Tanh()), x)

    class Own(Scaled):
        def backward(self, grad_output):
            return grad_output

    assert Own(4, 4, dtype=np.float64).backward(g) is g


def test_forward_by_itself_is_a_call_without_hooks(rng):
    net, seen = Block(), []
    net.register_forward_hook(lambda *call: seen.append(call))
    x = draw(rng, 2, 4)
    out = net.forward(x)
    assert type(out) is np.ndarray
    assert not seen
    assert net.backward(np.ones_like(out)).shape == x.shape
    net(x)
    assert len(seen) == 1


def test_hooks_inside_get_and_give_arrays(rng):
    net, x, seen = Block(), draw(rng, 2, 4), []
    net.fc.register_forward_hook(lambda layer, inputs, output: seen.append((inputs[0], output)))
    inner = module(lambda self, x: self.block(x) * 2, block=net)
    net.register_forward_hook(lambda layer, inputs, output: output + 1)
    out = inner(x)
    assert [type(a) for pair in seen for a in pair] == [np.ndarray] * 4
    with minidl.no_grad():
        np.testing.assert_array_equal(out, inner(x))
    np.testing.assert_array_equal(seen[0][0], x)

    def spoil(layer, inputs, output):
        output += 1

    net.fc.register_forward_hook(spoil)
    with pytest.raises(ValueError, match="read-only"):
        inner(x)


def test_no_grad_inside_and_detach(rng):
    def forward(self, x):
        with minidl.no_grad():
            target = self.fc(x)
            mask = np.sort(target)  # nothing known of its gradient, and nothing needed
        return self.fc(x) * target + x.detach() + mask

    net, x = module(forward, fc=linear()), draw(rng, 2, 4)
    net(x)
    g = draw(rng, 2, 4)
    target = x @ net.fc.weight.data.T + net.fc.bias.data
    np.testing.assert_allclose(net.backward(g), (g * target) @ net.fc.weight.data)
    np.testing.assert_allclose(net.fc.weight.grad, (g * target).T @ x)


def test_nothing_is_kept_inside_no_grad(rng):
    kept = []

    def forward(self, x):
        y = self.act(self.fc(x)) * 2
        kept.append(weakref.ref(y.data))
        return self.fc(y)

    net, x = module(forward, fc=linear(), act=nn.ReLU()), draw(rng, 8, 4)
    with minidl.no_grad():
        net(x)
    gc.collect()
    assert kept.pop()() is None
    assert not any(part._saved or part._pass for part in net.modules())
    net(x)
    assert kept.pop()() is not None  # the product is what the last layer saved


def test_what_nobody_needs_is_not_computed(rng):
    asked = []

    class Watched(nn.Linear):
        def backward(self, grad_output):
            asked.append((self.name, self.needs_input_grad))
            return super().backward(grad_output)

    def watched(name):
        layer = Watched(4, 4, dtype=np.float64)
        layer.name = name
        return layer

    net = module(lambda self, x: self.c(self.b(self.a(x)) + self.d(x)), **{n: watched(n) for n in "abcd"})
    net.needs_input_grad = False
    net.a.requires_grad_(False)
    out = net(draw(rng, 2, 4))
    assert net.backward(out) is None
    assert sorted(asked) == [("b", False), ("c", True), ("d", False)]
    asked.clear()
    loss = nn.MSELoss()(net(draw(rng, 2, 4)), np.zeros((2, 4)))
    net.needs_input_grad = True
    loss.backward()
    assert sorted(asked) == [("b", False), ("c", True), ("d", False)]
    asked.clear()
    loss = nn.MSELoss()(net(draw(rng, 2, 4)), np.zeros((2, 4)))
    loss.backward()  # the loop's form asks for no gradient of the data either
    assert sorted(asked) == [("b", False), ("c", True), ("d", False)]


def test_copies_pickles_and_modes(rng):
    net = nn.Sequential(linear(), nn.Dropout(0.5), Residual := nn.Residual(linear()))
    x = draw(rng, 2, 4)
    net(x)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        with pytest.raises(RuntimeError, match="no forward pass"):
            twin.backward(x)
        np.testing.assert_array_equal(twin.eval()(x), net.eval()(x))
        net.train()
    assert Residual.training


class Keeps(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = linear()

    def forward(self, x):
        if hasattr(self, "kept"):
            return self.kept + x
        self.kept = self.fc(x)
        return self.kept * 1


def test_a_value_that_left_its_forward_is_refused(rng):
    net, x = Keeps(), draw(rng, 2, 4)
    net(x)
    message = "Keeps: a value of a recorded forward was used after that forward had ended"
    with pytest.raises(RuntimeError, match=message):
        net(x)
    with pytest.raises(RuntimeError, match="used after that forward had ended"):
        net.kept + 1
    with pytest.raises(RuntimeError, match="used after that forward had ended"):
        np.exp(net.kept)
    assert copy.deepcopy(net).kept.shape == (2, 4)  # a copy is an array


def test_a_value_in_another_thread_is_refused(rng):
    errors = []

    def forward(self, x):
        def work():
            try:
                x + 1
            except RuntimeError as error:
                errors.append(str(error))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return x * 2

    module(forward)(draw(rng, 2))
    assert "in another thread" in errors[0]


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda self, x: np.sort(x), "Net: np.sort has no known gradient here: use a function that has"),
        (lambda self, x: np.add(x, 1, out=x), "Net: np.add with out= cannot be recorded"),
        (lambda self, x: np.add.reduce(x), "Net: np.add.reduce cannot be recorded"),
        (lambda self, x: x.__setitem__(0, 1), "Net: a value in a recorded forward cannot be changed in place"),
        (lambda self, x: np.asarray(x) + 1, "Net: this would make a plain array of a recorded value"),
        (lambda self, x: np.asarray(self.p) * 1, "Net: this would make a plain array of a Parameter"),
        (lambda self, x: x.relu_(), "has no 'relu_': in place nothing can be changed"),
        (lambda self, x: x.fft(), "has no 'fft'"),
        (lambda self, x: x.sum(dim=1, axis=1), "give dim or axis, not both"),
        (lambda self, x: x.sum(dim=5), "axis 5 does not exist in an array of 2 axes"),
        (lambda self, x: x.to("cuda"), "there is no device 'cuda'"),
    ],
)
def test_what_cannot_be_recorded_says_so_and_leaves_nothing(rng, forward, message):
    net = module(lambda self, x: forward(self, self.fc(x)), fc=linear(), p=nn.Parameter(np.ones(4)))
    with pytest.raises((TypeError, RuntimeError, ValueError, AttributeError), match=message):
        net(draw(rng, 2, 4))
    assert not any(part._saved or part._pass for part in net.modules())
    assert nn.modes.mode.record is None
    assert nn.modes.mode.log is None


def test_a_parameter_in_arithmetic_outside_a_forward_is_refused():
    p = nn.Parameter(np.array([1.0, 2.0]))
    for compute in (
        lambda: p * 2,
        lambda: np.ones(2) + p,
        lambda: np.exp(p),
        p.sum,
        lambda: p[0],
        lambda: -p,
    ):
        with pytest.raises(RuntimeError, match="outside a forward pass, where its gradient would be lost"):
            compute()
    with minidl.no_grad():
        assert (p * 2).tolist() == [2.0, 4.0]
        assert np.exp(p).shape == (2,)
    assert np.asarray(p).tolist() == [1.0, 2.0]
    assert (p.detach() * 2).tolist() == [2.0, 4.0]


def test_float32_stays_float32(rng):
    def forward(self, x):
        x = x * 2 + np.float64(3) - np.sqrt(7)
        x = x / x.shape[1] ** 0.5 + x.mean() + x.var(dim=1, keepdim=True)
        return 1.0 - x * np.array(2.0)  # an array without axes is a number too

    net, x = module(forward), draw(rng, 2, 4, dtype=np.float32)
    assert net(x).dtype == np.float32
    assert net.backward(np.ones((2, 4), np.float32)).dtype == np.float32
    with pytest.raises(TypeError, match="Net: given float32 input and parameters, its output is float64"):
        module(lambda self, x: x * np.ones(4))(x)


def test_an_error_in_the_middle_of_backward_names_the_layer_and_leaves_nothing_running(rng):
    class Broken(nn.ReLU):
        broken = True

        def backward(self, grad_output):
            if self.broken:
                raise ValueError("not today")
            return super().backward(grad_output)

    inner = nn.Sequential(linear(), Broken())
    net, x = module(lambda self, x: self.inner(x) * 2, inner=inner), draw(rng, 2, 4)
    out = net(x)
    with pytest.raises(ValueError, match='^Broken "inner.1": not today'):
        net.backward(out)
    with pytest.raises(RuntimeError, match="failed half-way in this forward pass; call the module again"):
        net.backward(out)
    inner[1].broken = False
    net(x)
    assert net.backward(out).shape == x.shape
    with pytest.raises(RuntimeError, match="Net: backward.. has no forward pass"):
        net.backward(out)


def test_a_layer_that_returns_too_few_gradients_is_named(rng):
    class Half(nn.Module):
        def forward(self, a, b):
            self.save_for_backward(None)
            return a + b

        def backward(self, grad_output):
            self.take_saved()
            return grad_output

    net = module(lambda self, x: self.half(x, x * 2), half=Half())
    out = net(draw(rng, 2, 4))
    with pytest.raises(RuntimeError, match='Half "half": backward.. returned 1 gradients for 2 inputs'):
        net.backward(out)


def test_values_are_tensors_inside_and_arrays_outside(rng):
    seen = []

    def forward(self, x, labels):
        seen.append((type(x), type(labels), x.requires_grad, labels.requires_grad))
        return self.fc(x) * (labels > 0)

    net = module(forward, fc=linear())
    net(draw(rng, 2, 4), np.array([[1], [0]]))
    net.eval()
    with minidl.no_grad():
        net(draw(rng, 2, 4), np.array([[1], [0]]))
    assert seen == [(Tensor, Tensor, True, False), (Tensor, Tensor, False, False)]


def test_losses_inside_a_forward(rng):
    """A model that computes its loss itself, as an autoencoder may."""

    def forward(self, x):
        return self.loss(self.fc(x), x.detach())

    net, x = module(forward, fc=linear(), loss=nn.MSELoss()), draw(rng, 3, 4)
    value = net(x)
    assert isinstance(value, float)
    value.backward()
    y = x @ net.fc.weight.data.T + net.fc.bias.data
    np.testing.assert_allclose(net.fc.weight.grad, (2 * (y - x) / y.size).T @ x)
    net.zero_grad()
    net(x)
    assert net.backward().shape == x.shape
    assert net.fc.weight.grad is not None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_made_of_integers_has_the_inputs_dtype(dtype):
    class Net(nn.Module):
        def forward(self, x, labels):
            share = 1.0 - minidl.nn.functional.one_hot(labels, 3)
            return x * share / (1 + labels / 2).sum() + labels.double().mean()

    x, labels = np.ones((2, 3), dtype), np.array([0, 2])
    model = Net()
    assert model(x, labels).dtype == (np.float64 if dtype == np.float64 else dtype)
    np.testing.assert_allclose(model(x, labels), (1 - np.eye(3)[labels]) / 3 + 1)


def test_remainders_and_whole_quotients(torch, rng):
    a, b = rng.standard_normal((3, 4)) * 5, rng.choice([-2.0, 3.0, 1.5], (3, 4))
    ta, tb = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True)

    class Net(nn.Module):
        def forward(self, a, b):
            return a % b + 7 % b + a % 3 + a // b + 2 * (9 // b), np.arange(4) % 3 + (a > 0).long() // 2

    model = Net()
    out, whole = model(a, b)
    expected = ta % tb + torch.full_like(tb, 7.0) % tb + ta % 3 + torch.floor(ta / tb) + 2 * torch.floor(9 / tb)
    np.testing.assert_allclose(out, expected.detach().numpy())
    assert whole.dtype == np.int64
    g = rng.standard_normal(a.shape)
    expected.backward(torch.tensor(g))
    for mine, other in zip(model.backward((g, None)), (ta.grad, tb.grad), strict=True):
        np.testing.assert_allclose(mine, other.numpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_integers_do_not_change_the_dtype(dtype):
    label = np.array([0, 1, 1])

    class Mixed(nn.Module):
        def forward(self, x):
            return (1 - label) * x + x / (label + 1) - np.maximum(x, label) + label.astype(np.uint8) * x

    model, x = Mixed(), np.array([[0.5, 2.0, -3.0]], dtype)
    expected = (1 - label) * x + x / (label + 1) - np.maximum(x, label) + label * x
    y = model(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    dx = model.backward(np.ones_like(y))
    assert dx.dtype == dtype
    np.testing.assert_allclose(dx, [[1 + 1 - 1, 0.5 - 1 + 1, 0.5 - 0 + 1]])


def test_an_array_that_the_forward_used_and_that_was_changed_since_is_refused(rng):
    x = draw(rng, 2, 4)

    def product(self, x):
        self.mask[...] = 1
        y = x * self.mask
        self.mask[0] = 0  # PyTorch refuses this as well
        return y * self.mask

    net = module(product, mask=np.ones((2, 4)))
    out = net(x)
    with pytest.raises(RuntimeError, match="an array that the forward used, of shape .2, 4. was changed in"):
        net.backward(out)

    def total(self, x):
        y = x + self.mask
        self.mask += 1  # the gradient of a sum needs neither
        return y

    net = module(total, mask=np.ones((2, 4)))
    assert net.backward(net(x)).shape == (2, 4)

    class Statistics(nn.Module):
        """A running mean that the forward uses before its layer moves it."""

        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(4, dtype=np.float64)

        def forward(self, x):
            return self.norm(x * self.norm.running_var)

    net = Statistics()
    out = net(x)
    with pytest.raises(RuntimeError, match="an array that the forward used"):
        nn.MSELoss()(net(x), x).backward()
    net.eval()
    assert net.backward(net(x)).shape == out.shape


def test_mixins(rng):
    """A forward, or both, from a class that is no Module."""

    class Doubled:
        def forward(self, x):
            return super().forward(x * 2)

    class Both:
        def forward(self, x):
            self.save_for_backward(x)
            return x * x

        def backward(self, grad_output):
            return 2 * self.take_saved() * grad_output

    class DoubledTanh(Doubled, nn.Tanh):
        pass

    class Square(Both, nn.Module):
        pass

    x = draw(rng, 2, 4)
    assert gradcheck(DoubledTanh(), x)
    assert gradcheck(nn.Sequential(DoubledTanh(), Square()), x)
    assert DoubledTanh().forward(x).shape == (2, 4)
    square = Square()
    square(x)
    with pytest.raises(TypeError, match="multiply|Square"):
        square.backward("x")
    np.testing.assert_allclose(square.backward(np.ones((2, 4))), 2 * x)  # the refusal has used nothing up


def test_the_gradient_of_what_a_hook_has_replaced_is_not_made_up(rng):
    x = draw(rng, 2, 4)
    for make in (lambda: nn.Sequential(linear(), nn.Tanh()), lambda: nn.Sequential(Block(), nn.Tanh())):
        net = make()
        handle = net[0].register_forward_hook(lambda layer, inputs, output: output * 2)
        out = net(x)
        with pytest.raises(RuntimeError, match=' "0": a forward hook has replaced its output'):
            net.backward(np.ones_like(out))
        with minidl.no_grad():
            np.testing.assert_array_equal(net(x), out)
        handle.remove()
        net[0].register_forward_hook(lambda layer, inputs, output: output)
        assert net.backward(np.ones_like(net(x))).shape == x.shape
    net.register_forward_hook(lambda layer, inputs, output: output * 2)
    with pytest.raises(RuntimeError, match="not computed from a model's output as it was returned"):
        nn.MSELoss()(net(x), np.zeros_like(out)).backward()


def test_what_scripts_ask_of_a_value(rng):
    def forward(self, x):
        assert not x.is_cuda
        assert str(x.device) == "cpu"
        y = x.mT @ x.new_ones(2, 3).type_as(x)
        return y.sum() + x.new_zeros(2).sum()

    net, x = module(forward), draw(rng, 2, 4)
    assert net(x) == pytest.approx(3 * x.sum())
    np.testing.assert_allclose(net.backward(), np.full((2, 4), 3.0))
