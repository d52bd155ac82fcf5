"""loss.backward(): from a float back through every model that led to it; and when it cannot."""

import copy
import gc
import json
import pickle

import numpy as np
import pytest

import minidl
from minidl import nn, optim


def draw(rng, *shape):
    return rng.standard_normal(shape)


def net(inputs=4, outputs=3, seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Linear(inputs, 5, dtype=np.float64, rng=rng), nn.Tanh(), nn.Linear(5, outputs, dtype=np.float64, rng=rng)
    )


def grads(*models):
    return [None if p.grad is None else p.grad.copy() for model in models for p in model.params()]


def explicit(model, loss_fn, x, y):
    model.zero_grad()
    loss_fn(model(x), y)
    model.backward(loss_fn.backward())
    found = grads(model)
    model.zero_grad()
    return found


def assert_same(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("model", [net(), nn.Linear(4, 3, dtype=np.float64)], ids=["Sequential", "one layer"])
def test_it_is_the_explicit_form(rng, model):
    x, y, loss_fn = draw(rng, 5, 4), np.array([0, 1, 2, 1, 0]), nn.CrossEntropyLoss()
    expected = explicit(model, loss_fn, x, y)
    loss = loss_fn(model(x), y)
    assert isinstance(loss, float)
    assert type(loss.item()) is float
    loss.backward()
    assert_same(grads(model), expected)
    with pytest.raises(RuntimeError, match="backward pass has been run already"):
        loss.backward()
    model.zero_grad()


def test_sums_and_multiples(rng):
    model, x = net(), draw(rng, 5, 4)
    y, t = np.array([0, 1, 2, 1, 0]), draw(rng, 5, 3)
    one, two = nn.CrossEntropyLoss(), nn.MSELoss()
    a, b = explicit(model, one, x, y), explicit(model, two, x, t)
    for combine, p, q in (
        (lambda u, v: u + v, 1, 1),
        (lambda u, v: 0.5 * u + v / 4 - 1, 0.5, 0.25),
        (lambda u, v: sum([u, v, u]), 2, 1),
        (lambda u, v: -(u - v) * 3, -3, 3),
        (lambda u, v: 2 - u + np.float64(3) * v, -1, 3),
    ):
        model.zero_grad()
        out = model(x)
        u, v = one(out, y), two(out, t)
        total = combine(u, v)
        assert float(total) == pytest.approx(combine(float(u), float(v)))
        total.backward()
        assert_same(grads(model), [p * i + q * j for i, j in zip(a, b, strict=True)])
    model.zero_grad()
    out = model(x)
    u, v = one(out, y), two(out, t)
    (u * v).backward()
    assert_same(grads(model), [float(v) * i + float(u) * j for i, j in zip(a, b, strict=True)])
    model.zero_grad()
    out = model(x)
    u, v = one(out, y), two(out, t)
    (u / v).backward()
    assert_same(grads(model), [i / float(v) - j * float(u) / float(v) ** 2 for i, j in zip(a, b, strict=True)])


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head, self.other = (
            net(4, 3),
            nn.Linear(3, 3, dtype=np.float64),
            nn.Linear(3, 2, dtype=np.float64),
        )

    def forward(self, x):
        x = self.body(x)
        return self.head(x), {"other": self.other(x), "unused": x * 2}


def test_several_outputs_and_one_loss_used_twice(rng):
    model, x, y, t = Two(), draw(rng, 5, 4), np.array([0, 1, 2, 1, 0]), draw(rng, 5, 2)
    loss_fn, mse = nn.CrossEntropyLoss(), nn.MSELoss()
    first, rest = model(x)
    (loss_fn(first, y) + 2 * loss_fn(first, y[::-1].copy()) + mse(rest["other"], t)).backward()
    found = grads(model)
    expected = [np.zeros_like(p.data) for p in model.params()]
    for make, factor in (
        (lambda: loss_fn(model(x)[0], y), 1),
        (lambda: loss_fn(model(x)[0], y[::-1].copy()), 2),
        (lambda: mse(model(x)[1]["other"], t), 1),
    ):
        model.zero_grad()
        make().backward()
        expected = [a + factor * (0 if b is None else b) for a, b in zip(expected, grads(model), strict=True)]
    assert_same(found, expected)


def test_backward_crosses_into_the_model_that_made_the_input(rng):
    """As in a GAN: D(G(z)), and what stops it."""
    g, d, loss_fn = net(3, 4, seed=1), net(4, 1, seed=2), nn.BCEWithLogitsLoss()
    z, ones = draw(rng, 6, 3), np.ones((6, 1))
    loss_fn(d(g(z)), ones)
    g.backward(d.backward(loss_fn.backward()))
    expected = grads(g, d)
    for model in (g, d):
        model.zero_grad()
    loss_fn(d(g(z)), ones).backward()
    assert_same(grads(g, d), expected)
    for stop in (np.copy, minidl.detach, lambda x: x + 0):
        for model in (g, d):
            model.zero_grad()
        fake = g(z)
        loss_fn(d(stop(fake)), ones).backward()
        assert grads(g) == [None] * 4
        assert_same(grads(d), expected[4:])
        assert g.backward(np.ones_like(fake)).shape == z.shape  # its own pass is still there


def test_a_derived_loss_and_a_target_from_a_model(rng):
    class Distance(nn.Module):
        def forward(self, a, b, scale):
            return ((a - b) ** 2).sum(dim=1).sqrt().mean() * scale

    student, teacher, x = net(seed=1), net(seed=2), draw(rng, 5, 4)
    Distance()(student(x), teacher(x), 2.0).backward()
    found = grads(student, teacher)
    assert all(grad is not None for grad in found)
    for model in (student, teacher):
        model.zero_grad()
    a, b = student(x), teacher(x)
    length = np.sqrt(((a - b) ** 2).sum(axis=1, keepdims=True))
    student.backward(2 * (a - b) / length / 5)
    teacher.backward(-2 * (a - b) / length / 5)
    assert_same(found, grads(student, teacher))


def test_refusals_say_what_to_do(rng):
    model, loss_fn, x, y = net(), nn.CrossEntropyLoss(), draw(rng, 5, 4), np.zeros(5, int)
    loss = loss_fn(model(x), y)
    model(x)
    with pytest.raises(RuntimeError, match="a later forward pass of the same module has replaced it"):
        loss.backward()
    out = model(x)
    with pytest.raises(RuntimeError, match=r"not computed from a model's output .*model.backward\(loss_fn.backward"):
        loss_fn(out * 2, y).backward()
    with pytest.raises(RuntimeError, match="not computed from a model's output"):
        loss_fn(draw(rng, 5, 3), y).backward()
    with minidl.no_grad():
        out = model(x)
    with pytest.raises(RuntimeError, match="or that was inside no_grad"):
        loss_fn(out, y).backward()
    out = model(x)
    out *= 2
    with pytest.raises(RuntimeError, match="output of Sequential was changed in place before"):
        loss_fn(out, y).backward()
    loss = loss_fn(model(x), y)
    optimizer = optim.SGD(model.params(), lr=0.1)
    loss.backward()
    optimizer.step()
    loss = loss_fn(model(x), y)
    loss_fn(model(x), y).backward()
    optimizer.step()
    with pytest.raises(RuntimeError, match="has replaced it"):
        loss.backward()
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    for parameter in model.params():
        parameter.grad = np.ones_like(parameter.data)
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"changed after the forward pass: call backward\(\) before optimizer.step"):
        loss.backward()
    loss = loss_fn(model(x), y)
    x += 1
    with pytest.raises(RuntimeError, match="input of shape .* was changed in place"):
        loss.backward()

    class Plain(nn.Module):
        def forward(self, out, y):
            return float(out.sum())

    with pytest.raises(RuntimeError, match=r"the loss depends on nothing whose gradient is known: .* float\("):
        Plain()(model(x), y).backward()


def test_retain_graph(rng):
    model, loss_fn, x, y = net(), nn.CrossEntropyLoss(), draw(rng, 5, 4), np.zeros(5, int)
    expected = explicit(model, loss_fn, x, y)
    loss = loss_fn(model(x), y)
    loss.backward(retain_graph=True)
    loss.backward()
    assert_same(grads(model), [2 * grad for grad in expected])


def test_it_is_a_float_wherever_a_float_is_wanted(rng):
    model, loss_fn = net(), nn.CrossEntropyLoss()
    loss = loss_fn(model(draw(rng, 5, 4)), np.zeros(5, int))
    assert json.loads(json.dumps({"loss": loss}))["loss"] == float(loss)
    assert type(copy.deepcopy(loss)) is float
    assert type(pickle.loads(pickle.dumps(loss))) is float
    assert f"{loss:.3f}" == f"{float(loss):.3f}"
    assert np.mean([loss, loss]) == pytest.approx(float(loss))
    assert loss < loss + 1
    assert round(loss, 3) == round(float(loss), 3)


def test_a_list_of_losses_holds_no_pass(rng):
    """People collect losses: that must not keep every batch's arrays."""
    import weakref

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.alive = nn.Linear(4, 3, dtype=np.float64), []

        def forward(self, x):
            y = np.tanh(self.fc(x))
            self.alive.append(weakref.ref(y.data))
            return y * y

    model, loss_fn, losses = Watched(), nn.MSELoss(), []
    for turn in range(12):
        loss = loss_fn(model(draw(rng, 5, 4)), np.zeros((5, 3)))
        losses.append(loss)
        if turn % 2:
            loss.backward()
    gc.collect()
    assert sum(reference() is not None for reference in model.alive) <= 1


def test_a_loss_inside_no_grad_is_a_number_with_item(rng):
    class Derived(nn.Module):
        def forward(self, x, t):
            return ((x - t) ** 2).mean()

    x, t = rng.standard_normal((3, 2)), rng.standard_normal((3, 2))
    with nn.no_grad():
        for loss_fn in (nn.MSELoss(), Derived()):
            loss = loss_fn(x, t)
            assert isinstance(loss, float)
            assert type(loss.item()) is float
            assert loss.item() == pytest.approx(np.mean((x - t) ** 2))
            with pytest.raises(RuntimeError, match=r"inside\s+no_grad\(\)"):
                loss.backward()


def test_a_model_that_is_gone_is_told_as_such(rng):
    class Pair(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, a, b):
            return self.net(a), self.net(b)

    net = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())
    a, b = rng.standard_normal((2, 5, 4)).astype(np.float32)
    first, second = Pair(net)(a, b)
    gc.collect()
    with pytest.raises(RuntimeError, match="a forward pass that led to this loss is gone"):
        nn.MSELoss()(first, second).backward()
    pair = Pair(net)
    first, second = pair(a, b)
    nn.MSELoss()(first, second).backward()
    assert net[0].weight.grad.any()


def test_a_loss_beside_other_outputs(rng):
    """As in models that compute their loss themselves, and return it in a dict."""

    class WithLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.loss = net(), nn.CrossEntropyLoss()

        def forward(self, x, labels=None):
            logits = self.body(x)
            loss = None if labels is None else self.loss(logits, labels)
            return {"logits": logits, "loss": loss, "name": "x", "size": (logits**2).mean()}

    model, x, y = WithLoss(), draw(rng, 5, 4), np.array([0, 1, 2, 1, 0])
    expected = explicit(model.body, nn.CrossEntropyLoss(), x, y)
    out = model(x, labels=y)
    out["loss"].backward()
    assert_same(grads(model), expected)
    model.zero_grad()
    out = model(x, y)
    (out["loss"] + 0.1 * out["size"]).backward()
    found = grads(model)
    model.zero_grad()
    logits = model.body(x)
    model.body.backward(0.2 * logits / logits.size)
    assert_same(found, [a + b for a, b in zip(expected, grads(model), strict=True)])
    assert model(x)["loss"] is None


def test_a_loss_goes_into_another_module(rng):
    """An auxiliary loss beside the output, and a weight that learns: both get their gradients."""

    class Main(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net()

        def forward(self, x):
            h = self.body(x)
            return h, (h**2).mean()

    class Total(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(np.array(0.3))

        def forward(self, out, aux):
            return out.mean() + self.weight * aux * aux

    model, total, x = Main(), Total(), draw(rng, 5, 4)
    total(*model(x)).backward()
    found, weight = grads(model), total.weight.grad
    model.zero_grad()
    h, aux = model(x)
    model.backward((np.full_like(h, 1 / h.size), 0.3 * 2 * float(aux)))
    assert_same(found, grads(model))
    assert weight == pytest.approx(float(aux) ** 2)
    model.zero_grad()
    total.zero_grad()
    h, aux = model(x)
    (2 * total(h, 0.5 * aux + 1)).backward()
    found = grads(model)
    model.zero_grad()
    model(x)
    model.backward((np.full_like(h, 2 / h.size), 2 * 0.3 * 2 * (0.5 * float(aux) + 1) * 0.5))
    assert_same(found, grads(model))


@pytest.mark.parametrize(
    ("between", "what"),
    [
        (nn.functional.relu, "went through ReLU outside of a forward"),
        (lambda h: minidl.cat([h, h], 1)[:, :4], "outside of a forward"),
        (lambda h: minidl.softmax(h, 1), "outside of a forward"),
        (lambda h: h[:, :], "was sliced or reshaped outside of a forward"),
        (lambda h: h.reshape(-1, 4), "was sliced or reshaped outside of a forward"),
    ],
)
def test_what_is_lost_between_two_models_is_told(rng, between, what):
    body, head, loss_fn = net(4, 4), net(4, 3), nn.CrossEntropyLoss()
    x, y = draw(rng, 5, 4), np.zeros(5, int)
    loss = loss_fn(head(between(body(x))), y)
    with pytest.raises(RuntimeError, match=f"an output of Sequential .*{what}.* minidl.detach"):
        loss.backward()
    loss = loss_fn(head(minidl.detach(between(body(x)))), y)
    loss.backward()
    body.requires_grad_(False)  # nothing would be lost
    loss_fn(head(between(body(x))), y).backward()
    with minidl.no_grad():
        features = body(x)
    loss_fn(head(between(features)), y).backward()


def test_views_of_the_callers_own_data_are_not_outputs(rng):
    data, flat, head = draw(rng, 20, 2, 2), nn.Sequential(nn.Flatten()), net(4, 3)
    for start in range(0, 20, 5):
        flat(data[start : start + 5])
        nn.CrossEntropyLoss()(head(data[start : start + 5].reshape(5, 4)), np.zeros(5, int)).backward()


def test_powers_and_what_numpy_calls_a_number(rng):
    model, x, t = net(), draw(rng, 5, 4), draw(rng, 5, 3)
    one = explicit(model, nn.MSELoss(), x, t)
    for combine, slope in (
        (lambda v: v**2, lambda v: 2 * v),
        (lambda v: 1 / v, lambda v: -1 / v**2),
        (lambda v: abs(v - 100).mean(), lambda v: -1.0),
        (lambda v: np.array(2.0) * v + v * np.array(3.0), lambda v: 5.0),
    ):
        model.zero_grad()
        value = nn.MSELoss()(model(x), t)
        total = combine(value)
        total.backward()
        assert_same(grads(model), [slope(float(value)) * g for g in one])


def test_a_sum_with_a_term_that_leads_nowhere_is_refused(rng):
    model, x, t = net(), draw(rng, 5, 4), draw(rng, 5, 3)
    out = model(x)
    total = nn.MSELoss()(out, t) + nn.MSELoss()(out * 2, t)
    with pytest.raises(RuntimeError, match="a term of it, was not computed from a model's output"):
        total.backward()


def test_a_derived_loss_of_what_is_not_recognised_is_refused_and_so_is_one_behind_another(rng):
    class Mean(nn.Module):
        def forward(self, a, b):
            return ((a - b) ** 2).mean()

    model, x, t, mean = net(), draw(rng, 5, 4), draw(rng, 5, 3), Mean()
    with pytest.raises(RuntimeError, match="not computed from a model's output"):
        mean(model(x) * 2, t).backward()
    each = nn.MSELoss(reduction="none")
    with pytest.raises(RuntimeError, match="not computed from a model's output"):
        mean(each(model(x) * 2, t), np.zeros((5, 3))).backward()
    mean(each(model(x), t), np.zeros((5, 3))).backward()
    assert all(grad is not None for grad in grads(model))


def test_a_loss_goes_into_a_module_with_a_backward_of_its_own(rng):
    class Weighted(nn.Module):
        def forward(self, loss, x):
            self.save_for_backward((float(loss), x))
            return float(loss) ** 2 + float(x.sum())

        def backward(self, grad_output):
            loss, x = self.take_saved()
            return 2 * loss * grad_output, np.full_like(x, grad_output)

    model, x, t = net(), draw(rng, 5, 4), draw(rng, 5, 3)
    one = explicit(model, nn.MSELoss(), x, t)
    value = nn.MSELoss()(model(x), t)
    weighted = Weighted()
    weighted(value, x).backward()
    assert_same(grads(model), [2 * float(value) * grad for grad in one])
