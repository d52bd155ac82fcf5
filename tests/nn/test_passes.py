"""Stale memory: what was saved for backward and has changed, or is of another forward pass, is never used."""

import copy
import gc
import pickle
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from cases import CASES
from numpy.testing import assert_array_equal

import minidl
from minidl import nn, optim
from minidl.nn import origins, passes

OLD = "has run again since"
CHANGED = "changed in place after the forward pass"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def images(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def gradients(module, output):
    """Gradients of the inputs and parameters, copied."""
    back = module.backward() if isinstance(module, nn.Loss) and not np.ndim(output) else None
    if back is None:
        first = output[0] if isinstance(output, tuple) else output
        back = module.backward(np.linspace(-1, 1, first.size, dtype=first.dtype).reshape(first.shape))
    back = back if isinstance(back, tuple) else (back,)
    return [None if g is None else g.copy() for g in (*back, *(p.grad for p in module.params()))]


def fresh(case):
    minidl.manual_seed(3)
    return case.make()


def add_one(array):
    array += np.ones((), array.dtype)


def change_one(array):
    array[(0,) * array.ndim] += np.ones((), array.dtype)


@pytest.mark.parametrize("change", [add_one, change_one])
@pytest.mark.parametrize("which", ["output", "input 0", "input 1"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_a_change_in_place_is_refused_or_harmless(case, which, change):
    inputs = case.draw(np.float32)
    if which == "input 1" and len(inputs) < 2:
        return
    right = fresh(case)
    expected = gradients(right, right(*(x.copy() for x in inputs)))
    module = fresh(case)
    inputs = tuple(x.copy() for x in inputs)
    output = module(*inputs)
    array = (output[0] if isinstance(output, tuple) else output) if which == "output" else inputs[int(which[-1])]
    if not isinstance(array, np.ndarray) or array.size == 0:
        return
    try:
        change(array)
    except ValueError as error:
        assert "read-only" in str(error)
        assert which == "output"
    else:
        try:
            got = gradients(module, output)
        except RuntimeError as error:
            assert CHANGED in str(error)
            assert type(module).__name__ in str(error)
        else:
            for g, e in zip(got, expected, strict=True):
                assert_array_equal(g, e)


def test_pooling_as_in_the_report(rng):
    pool = nn.MaxPool2d(2)
    y = pool(images(rng, 1, 1, 4, 4))
    with pytest.raises(ValueError, match="read-only"):
        y += 1
    with pytest.raises(ValueError, match="read-only"):
        y.reshape(-1)[0] = 0  # a view is read-only too
    pool.backward(np.ones_like(y))
    y += 1  # nothing is kept any more


def fail(model, x):
    with pytest.raises(TypeError):
        model(x.astype(np.int64))


@pytest.mark.parametrize(
    "end",
    [
        lambda m, x: m.backward(np.ones((2, 3), np.float32)),
        lambda m, x: m(x),
        lambda m, x: m.astype(np.float32),
        fail,
    ],
    ids=["backward", "another pass", "astype", "a failed pass"],
)
def test_an_output_is_read_only_only_while_it_is_kept(rng, end):
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    x = images(rng, 2, 4)
    y = model(x)
    assert not y.flags.writeable
    end(model, x)
    y += 1


def test_nothing_is_locked_where_nothing_is_kept(rng):
    x = images(rng, 2, 3)
    relu = nn.ReLU()
    with minidl.no_grad():
        y = relu(x)
    y += 1
    z = nn.Linear(3, 2)(x)  # keeps its input only
    z += 1


@pytest.mark.parametrize(
    "layer",
    [nn.Dropout(0.5).eval(), nn.Identity(), nn.Flatten(), nn.Sequential(), nn.Sequential(nn.Dropout().eval())],
    ids=repr,
)
def test_an_array_of_the_callers_is_never_locked(rng, layer):
    x = images(rng, 2, 3)
    y = layer(x)
    assert x.flags.writeable
    assert y.flags.writeable


def test_an_array_of_the_callers_that_a_layer_keeps_and_returns_is_not_locked(rng):
    class Keep(nn.Module):
        def forward(self, x):
            self.save_for_backward((x, [x[:1]], {"all": x}))
            return x.reshape(-1)

        def backward(self, grad_output):
            return grad_output.reshape(self.take_saved()[0].shape)

    x = images(rng, 2, 3)
    keep = Keep()
    y = keep(x)
    assert x.flags.writeable
    assert y.flags.writeable
    x[0, 0] = 5
    with pytest.raises(RuntimeError, match=f"Keep: the input of shape .2, 3. was {CHANGED}"):
        keep.backward(np.ones(6, np.float32))


@pytest.mark.parametrize("wrap", [tuple, list, lambda parts: {"a": parts}], ids=["tuple", "list", "dict"])
def test_what_a_layer_of_ones_own_keeps_is_found_wherever_it_is(rng, wrap):
    class Double(nn.Module):
        def forward(self, x):
            y = x * 2
            self.save_for_backward(wrap([None, y[::1], 3]))
            return y, x + 1

        def backward(self, *grads):
            self.take_saved()
            return grads[0] * 2

    double = Double()
    y, z = double(images(rng, 2, 3))
    assert (y.flags.writeable, z.flags.writeable) == (False, True)
    double.backward(y.copy())
    assert y.flags.writeable


def test_a_failed_backward_keeps_the_lock(rng):
    relu = nn.ReLU()
    y = relu(images(rng, 2, 3))
    with pytest.raises(ValueError, match="ReLU: "):
        relu.backward(np.ones((5, 5), np.float32))
    assert not y.flags.writeable
    relu.backward(np.ones_like(y))
    assert y.flags.writeable


def test_the_batch_may_be_reused_between_steps(rng):
    model, loss = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), nn.CrossEntropyLoss()
    x, y = np.empty((5, 4), np.float32), np.empty(5, np.int64)
    for _ in range(3):
        x[...], y[...] = images(rng, 5, 4), rng.integers(0, 2, 5)
        loss(model(x), y)
        model.backward(loss.backward())


def test_a_changed_input_that_was_not_kept_is_harmless(rng):
    model = nn.Sequential(nn.ReLU(), nn.Linear(3, 2))
    x = images(rng, 2, 3)
    y = model(x)
    x += 1
    model.backward(np.ones_like(y))


def test_nan_and_infinite_inputs_are_not_taken_for_changed():
    with np.errstate(all="ignore"):
        for value in (np.nan, np.inf, 3e38):
            linear = nn.Linear(3, 2)
            y = linear(np.full((2, 3), value, np.float32))
            linear.backward(np.ones_like(y))


# Which pass?


def parts(rng):
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)), nn.CrossEntropyLoss(), images(rng, 5, 4)


def test_a_loss_of_an_earlier_pass_is_refused_and_nothing_has_happened(rng):
    model, loss, a = parts(rng)
    loss(model(a), np.zeros(5, int))
    model(a + 1)
    with pytest.raises(RuntimeError, match=f"Sequential: this gradient belongs to an earlier forward pass, .* {OLD}"):
        model.backward(loss.backward())
    assert all(p.grad is None for p in model.params())
    loss(model(a), np.zeros(5, int))  # the next pass is not disturbed
    model.backward(loss.backward())


def test_a_loss_is_asked_which_pass_it_was_of_not_which_was_last(rng):
    model, loss, a = parts(rng)
    first = model(a)
    second = model(a + 1)
    loss(second, np.zeros(5, int))
    model.backward(loss.backward())
    model(a)
    loss(first, np.zeros(5, int))
    with pytest.raises(RuntimeError, match=OLD):
        model.backward(loss.backward())


def test_a_layer_that_ran_alone_meanwhile_changes_nothing(rng):
    model, loss, a = parts(rng)
    loss(model(a), np.zeros(5, int))
    expected = model.backward(loss.backward())
    loss(model(a), np.zeros(5, int))
    model[0](a + 1)
    np.testing.assert_array_equal(model.backward(loss.backward()), expected)


def test_a_layer_shared_by_two_models_serves_both(rng):
    body = nn.Linear(4, 4)
    one, two = nn.Sequential(body, nn.Linear(4, 3)), nn.Sequential(body, nn.Linear(4, 2))
    loss, other, a = nn.CrossEntropyLoss(), nn.CrossEntropyLoss(), images(rng, 5, 4)
    loss(one(a), np.zeros(5, int))
    expected = one.backward(loss.backward())
    loss(one(a), np.zeros(5, int))
    other(two(a + 1), np.zeros(5, int))
    two.backward(other.backward())
    np.testing.assert_array_equal(one.backward(loss.backward()), expected)


def test_gradients_are_followed_through_models(rng):
    """As in a GAN: the gradient that D returns is one for G's output, of the pass that made it."""
    g, d, loss = nn.Linear(3, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 2)), nn.CrossEntropyLoss()
    z = images(rng, 5, 3)
    loss(d(g(z)), np.zeros(5, int))
    g.backward(d.backward(loss.backward()))
    loss(d(g(z)), np.zeros(5, int))
    g(z + 1)
    with pytest.raises(RuntimeError, match=f"Linear: this gradient .* {OLD}"):
        g.backward(d.backward(loss.backward()))


def test_each_of_several_inputs_has_its_own_origin(rng):
    one, two, both = nn.Linear(3, 4), nn.Linear(3, 4), nn.Bilinear(4, 4, 2)
    x = images(rng, 5, 3)
    both(one(x), two(x))
    two(x)
    first, second = both.backward(images(rng, 5, 2))
    one.backward(first)
    with pytest.raises(RuntimeError, match=OLD):
        two.backward(second)


def test_what_is_legal_stays_legal(rng):
    model, loss, a = parts(rng)
    ones = np.ones((5, 3), np.float32)
    model(a)
    model(a + 1)
    model.backward(ones)  # a second forward pass; a gradient of no loss
    model(a)
    grad = ones
    for layer in reversed(list(model)):  # in one go, then back layer by layer
        grad = layer.backward(grad)
    y = model(a)
    loss(y, np.zeros(5, int))
    model.backward(2 * loss.backward())  # a new array: nothing is known of it
    loss(model(a), np.zeros(5, int))
    with minidl.no_grad():
        model[0](a)  # keeps nothing, and takes nothing from the model's pass
    model.backward(loss.backward())
    loss(model(a), np.zeros(5, int))
    with minidl.no_grad():
        model(a)
    with pytest.raises(RuntimeError, match="Sequential: backward.. has no forward pass"):
        model.backward(loss.backward())
    identity = nn.Identity()
    for _ in range(3):  # an array that is handed through is nobody's
        assert identity(a) is a
        assert identity.backward(a) is a


def test_a_module_may_recompute_a_part_in_its_backward(rng):
    class Recompute(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            with minidl.no_grad():
                out = self.inner(x)
            self.save_for_backward(x)
            return out

        def backward(self, grad_output):
            self.inner(self.take_saved())
            return self.inner.backward(grad_output)

    inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    model, loss, a = nn.Sequential(Recompute(inner), nn.Linear(4, 3)), nn.CrossEntropyLoss(), images(rng, 5, 4)
    loss(model(a), np.zeros(5, int))
    model.backward(loss.backward())
    got = [p.grad for p in model.params()]
    plain = nn.Sequential(copy.deepcopy(inner), copy.deepcopy(model[1]))
    plain.zero_grad()
    loss(plain(a), np.zeros(5, int))
    plain.backward(loss.backward())
    for g, p in zip(got, plain.params(), strict=True):
        assert_array_equal(g, p.grad)


@pytest.mark.parametrize("change", ["step", "load", "load a part"])
def test_parameters_changed_before_backward_are_noticed(rng, change):
    model, loss, a = parts(rng)
    optimizer = optim.SGD(model.params(), lr=0.1)
    loss(model(a), np.zeros(5, int))
    model.backward(loss.backward())
    loss(model(a), np.zeros(5, int))
    if change == "step":
        optimizer.step()
    elif change == "load":
        model.load_state_dict(model.state_dict())
    else:
        model[2].load_state_dict(model[2].state_dict())
    name = r"2\.weight" if change == "load a part" else r"0\.weight"
    with pytest.raises(RuntimeError, match=f"Sequential: {name} was changed after the forward pass"):
        model.backward(loss.backward())


def test_another_models_step_does_not_matter(rng):
    model, loss, a = parts(rng)
    other = nn.Linear(2, 2)
    optimizer = optim.SGD(other.params(), lr=0.1)
    loss(model(a), np.zeros(5, int))
    other(images(rng, 3, 2))
    other.backward(images(rng, 3, 2))
    optimizer.step()
    model.backward(loss.backward())


def test_copies_and_pickles_know_no_pass(rng):
    model, loss, a = parts(rng)
    loss(model(a), np.zeros(5, int))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with pytest.raises(RuntimeError, match="no forward pass"):
            twin.backward(np.ones((5, 3), np.float32))
    model.backward(loss.backward())


def test_threads_have_passes_of_their_own(rng):
    failures = []

    def work(seed):
        model, loss, a = parts(np.random.default_rng(seed))
        try:
            for _ in range(100):
                loss(model(a), np.zeros(5, int))
                model.backward(loss.backward())
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_nothing_accumulates_and_nothing_is_held(rng):
    model, loss, a = parts(rng)
    for _ in range(2000):
        loss(model(a), np.zeros(5, int))
        model.backward(loss.backward())
    gc.collect()
    for registry in (origins.outputs, origins._owners, passes._gradients):
        assert len(registry) <= 257
        assert sum(entry[0]() is not None for entry in registry.values()) < 20


def test_a_failure_in_a_pass_leaves_no_pass_running(rng):
    model, loss, a = parts(rng)
    for wrong in (a[:, :3], "x"):
        with pytest.raises((ValueError, TypeError, AttributeError)):
            model(wrong)
        loss(model(a), np.zeros(5, int))
        with pytest.raises(ValueError, match="Sequential: expected grad_output"):
            model.backward(np.ones((5, 7), np.float32))
        loss(model(a), np.zeros(5, int))
        model(a)
        with pytest.raises(RuntimeError, match=OLD):
            model.backward(loss.backward())


def test_views_of_outputs_are_writeable_after_backward(rng):
    model = nn.Sequential(nn.ReLU(), nn.Flatten())
    y = model(images(rng, 2, 3, 2))
    with pytest.raises(ValueError, match="read-only"):
        y += 1
    model.backward(np.ones_like(y))
    y += 1


def test_the_output_of_a_layer_that_is_gone_is_writeable(rng):
    y = nn.Sigmoid()(images(rng, 2, 3))
    gc.collect()
    y += 1


def test_a_slice_of_a_buffer_that_is_filled_again_is_noticed(rng):
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 3))
    buffer = images(rng, 8, 2, 3)
    y = model(buffer[:4])
    buffer[:4] = 0
    with pytest.raises(RuntimeError, match=CHANGED):
        model.backward(np.ones_like(y))
    y = model(buffer[:4])
    buffer[4:] = 5
    model.backward(np.ones_like(y))


def test_arrays_that_lie_between_each_other_are_told_apart(rng):
    class Second(nn.Module):
        def forward(self, a, b):
            self.save_for_backward(b)
            return a + b

        def backward(self, grad_output):
            self.take_saved()
            return grad_output, grad_output

    buffer, module = images(rng, 3, 4), Second()
    y = module(buffer[:, ::2], buffer[:, 1::2])
    buffer[:, ::2] = 7
    module.backward(np.ones_like(y))


def test_a_gradient_is_recognised_by_name_and_among_several(rng):
    model, loss, a = parts(rng)
    loss(model(a), np.zeros(5, int))
    model(a + 1)
    with pytest.raises(RuntimeError, match=OLD):
        model.backward(grad_output=loss.backward())

    class Two(nn.Sequential):
        def forward(self, x):
            y = super().forward(x)
            return y, y * 2

        def backward(self, grads):
            return super().backward(grads[0] + 2 * grads[1])

    two = Two(nn.Linear(4, 3))
    first, second = two(a)
    other = nn.MSELoss()
    loss(first, np.zeros(5, int))
    other(second, np.zeros((5, 3), np.float32))
    two(a + 1)
    with pytest.raises(RuntimeError, match=OLD):
        two.backward((np.zeros((5, 3), np.float32), other.backward()))


def test_a_layer_that_ran_twice_in_a_pass_says_so(rng):
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 3)

        def forward(self, a, b):
            return self.body(a) - self.body(b)

        def backward(self, grad_output):
            return self.body.backward(grad_output)

    net, a = Siamese(), images(rng, 5, 4)
    y = net(a, a + 1)
    with pytest.raises(RuntimeError, match='Linear "body": it ran more than once in a forward pass'):
        net.backward(np.ones_like(y))

    class Target(Siamese):
        def forward(self, a, b):
            with minidl.no_grad():
                target = self.body(b)
            return self.body(a) - target

    net = Target()
    y = net(a, a + 1)
    net.backward(np.ones_like(y))
    np.testing.assert_allclose(net.body.weight.grad, np.ones_like(y).T @ a, rtol=1e-5)


def test_what_plain_objects_hold_is_found(rng):
    class Held(nn.Module):
        def forward(self, x):
            y = np.tanh(x)
            self.save_for_backward(SimpleNamespace(y=y, name="y"))
            return y

        def backward(self, grad_output):
            return grad_output * (1 - self.take_saved().y ** 2)

    held = Held()
    y = held(images(rng, 2, 3))
    with pytest.raises(ValueError, match="read-only"):
        y += 1
    held.backward(np.ones_like(y))
    y += 1
