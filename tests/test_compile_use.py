"""How a compiled model is used: batch sizes, refresh, copies, threads, errors."""

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest
from compiling import NETS, Scale, run, settled, within

import minidl
from minidl import nn


def test_other_batch_sizes_are_planned_when_they_are_used(engine, rng):
    model = settled(nn.Sequential(*NETS["convolution and norm"](), nn.Flatten(), nn.Linear(480, 10)))
    compiled = minidl.compile(model, (4, 3, 8, 10))
    for batch in (1, 4, 7, 33, 0, 1):
        x = rng.standard_normal((batch, 3, 8, 10), dtype=np.float32)
        within(compiled(x), run(model, x))
    for batch in range(1, 40):
        compiled(np.zeros((batch, 3, 8, 10), np.float32))
    assert len(compiled._state.plans) == len(compiled._state.ready) == 16


def test_outputs_are_new_arrays_and_inputs_stay(rng):
    compiled = minidl.compile(nn.Sequential(nn.ReLU(), nn.Identity()).eval(), (2, 5))
    x = rng.standard_normal((2, 5), dtype=np.float32)
    before, first = x.copy(), compiled(x)
    kept = first.copy()
    second = compiled(-x)
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(x, before)
    first[...] = 7
    np.testing.assert_array_equal(compiled(x), kept)


def test_inputs_in_any_layout(engine, rng):
    model = settled(nn.Sequential(*NETS["convolution and norm"]()))
    compiled = minidl.compile(model, (2, 3, 8, 10))
    x = rng.standard_normal((8, 3, 10, 2), dtype=np.float32).transpose(3, 1, 0, 2)[:, :, ::-1]
    x.flags.writeable = False
    within(compiled(x), run(model, np.ascontiguousarray(x)))


def test_refresh_takes_new_weights_and_nothing_else_does(engine, rng):
    model = settled(nn.Sequential(*NETS["convolution and norm"]()))
    x = rng.standard_normal((2, 3, 8, 10), dtype=np.float32)
    compiled, before = minidl.compile(model, x.shape), run(model, x)
    for parameter in model.params():
        parameter.data[...] *= 1.5
    model[1].running_mean[...] += 1
    within(compiled(x), before)
    within(compiled(x[:1]), before[:1])  # planned now, with the weights as they were
    compiled.refresh()
    within(compiled(x), run(model, x))
    model[2] = nn.Tanh()
    model.eval()
    compiled.refresh()
    within(compiled(x), run(model, x))


def test_the_model_stays_as_it_is(rng):
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()).eval()
    state = model.state_dict()
    compiled = minidl.compile(model, (2, 3, 8, 8))
    model.train()
    x = rng.standard_normal((3, 3, 8, 8), dtype=np.float32)
    compiled(x)
    assert all(module.training for module in model.modules())
    assert model[0]._pass is None
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, state[name])


def test_gradients_around_it_stay(rng):
    compiled = minidl.compile(nn.Sequential(nn.Linear(4, 4), Scale(), nn.LayerNorm(4)).eval(), (2, 4))

    class Teacher(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            return self.fc(x) * compiled(x.detach().numpy())

    model, x = Teacher(), rng.standard_normal((2, 4), dtype=np.float32)
    out = model(x)
    model.backward(np.ones_like(out))
    grad = model.fc.weight.grad
    np.testing.assert_allclose(grad, compiled(x).T @ x, rtol=1e-5)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda compiled: pickle.loads(pickle.dumps(compiled))])
def test_copies_have_memory_of_their_own(copied, engine, rng):
    model = settled(nn.Sequential(*NETS["convolution and norm"]()))
    x = rng.standard_normal((2, 3, 8, 10), dtype=np.float32)
    compiled, expected = minidl.compile(model, x.shape), run(model, x)
    model[0].weight.data[...] = 0
    other = copied(compiled)
    compiled(-x)
    del compiled
    within(other(x), expected)
    assert repr(other) == "Compiled(Sequential, (2, 3, 8, 10))"


def test_threads(engine, rng):
    model = settled(nn.Sequential(*NETS["convolution and norm"](), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(120, 10)))
    compiled = minidl.compile(model, (2, 3, 8, 10))
    inputs = [rng.standard_normal((1 + number % 3, 3, 8, 10), dtype=np.float32) for number in range(6)]
    expected, wrong = [run(model, x) for x in inputs], []

    def work(number):
        for _ in range(100):
            out = compiled(inputs[number])
            if np.abs(out - expected[number]).max() > 1e-5 * np.abs(expected[number]).max():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_same_bits_for_every_number_of_threads(engine, rng):
    model = settled(
        nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Tanh(), nn.AvgPool2d(2))
    )
    x = rng.standard_normal((40, 3, 40, 40), dtype=np.float32)
    before, outputs = minidl.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            minidl.set_num_threads(count)
            outputs.append(minidl.compile(model, x.shape)(x))
    finally:
        minidl.set_num_threads(before)
    within(outputs[0], run(model, x))
    for output in outputs[1:]:
        np.testing.assert_array_equal(output, outputs[0])


def test_it_keeps_the_engine_it_was_made_with(rng):
    model = settled(nn.Sequential(*NETS["convolution and norm"]()))
    before = minidl.get_engine()
    compiled = minidl.compile(model, (1, 3, 8, 10))
    try:
        minidl.set_engine("im2col")
        assert compiled._state.engine.name == before
    finally:
        minidl.set_engine(before)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Sequential(nn.ReLU()), RuntimeError, "compile: Sequential is in training mode; call model.eval"),
        (lambda: nn.Sequential(nn.ReLU().eval(), nn.Dropout()), RuntimeError, "training mode"),
        (lambda: nn.Sequential(nn.Linear(None, 3)).eval(), RuntimeError, "no size yet"),
        (lambda: nn.Sequential(nn.Linear(4, 3)).eval(), ValueError, 'Linear "0": expected 4 input features, got 5'),
        (lambda: lambda x: x, TypeError, "compile: model must be a Module"),
    ],
)
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        minidl.compile(make(), (2, 5))


def test_a_part_in_training_mode_is_named():
    model = nn.Sequential(nn.ReLU(), nn.Dropout()).eval()
    model[1].train()
    with pytest.raises(RuntimeError, match='compile: Dropout "1" is in training mode'):
        minidl.compile(model, (2, 5))


def test_its_memory_is_freed_at_once(engine, rng):
    model = settled(nn.Sequential(*NETS["convolution and norm"](), nn.LayerNorm((8, 10)), nn.Residual(nn.Tanh())))
    gc.collect()
    gc.disable()  # what refers to itself is freed by the collector alone, too late for large arrays
    try:
        compiled = minidl.compile(model, (2, 3, 8, 10))
        compiled(rng.standard_normal((5, 3, 8, 10), dtype=np.float32))
        ready = [weakref.ref(ready) for waiting in compiled._state.ready.values() for ready in waiting]
        arrays = [weakref.ref(entry) for one in ready for entry in one()._entries]
        weights = weakref.ref(compiled._state.model[0].weight.data)
        assert len(arrays) == 2
        del compiled
        assert all(reference() is None for reference in (*ready, *arrays, weights))
    finally:
        gc.enable()


def test_a_model_that_cannot_be_copied_is_refused():
    model = nn.Sequential(nn.ReLU()).eval()
    model[0].lock = threading.Lock()
    with pytest.raises(TypeError, match="compile: Sequential cannot be copied: cannot pickle '_thread.lock'"):
        minidl.compile(model, (2, 5))


def test_hooks_are_refused():
    model = nn.Sequential(nn.ReLU()).eval()
    compiled = minidl.compile(model, (2, 5))
    handle = model[0].register_forward_hook(lambda module, inputs, output: None)
    with pytest.raises(RuntimeError, match='compile: ReLU "0" has a forward hook'):
        minidl.compile(model, (2, 5))
    with pytest.raises(RuntimeError, match="has a forward hook"):
        compiled.refresh()
    handle.remove()
    compiled.refresh()


def test_what_a_compiled_model_refuses():
    compiled = minidl.compile(nn.Sequential(nn.Linear(5, 3)).eval(), (2, 5))
    with pytest.raises(ValueError, match=r"compiled Sequential: expected an input of shape \(N, 5\), got \(2, 6\)"):
        compiled(np.zeros((2, 6), np.float32))
    with pytest.raises(ValueError, match=r"expected an input of shape \(N, 5\), got \(5,\)"):
        compiled(np.zeros(5, np.float32))
    with pytest.raises(TypeError, match="compiled Sequential: expected float32, got float64"):
        compiled(np.zeros((2, 5)))
    with pytest.raises(TypeError, match="expected a NumPy array, got list"):
        compiled([[0.0] * 5])
    with pytest.raises(ValueError, match="expected 1 inputs, got 2"):
        compiled(np.zeros((2, 5), np.float32), np.zeros((2, 5), np.float32))


def test_an_error_in_a_layer_leaves_it_usable(rng):
    class Picky(nn.Module):
        def forward(self, x):
            if x.max() > 100:
                raise ValueError("too large")
            return x

        def backward(self, grad_output):
            return grad_output

    compiled = minidl.compile(nn.Sequential(nn.Linear(5, 3), Picky()).eval(), (2, 5))
    x = rng.standard_normal((2, 5), dtype=np.float32)
    expected = compiled(x)
    with pytest.raises(ValueError, match="Picky: too large"):
        compiled(np.full((2, 5), 1e6, np.float32) * np.sign(x))
    np.testing.assert_array_equal(compiled(x), expected)
