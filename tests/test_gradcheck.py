"""gradcheck finds planted faults, names them, and is not fooled by kinks, randomness or scale."""

import numpy as np
import pytest

import minidl
from minidl import functional as f
from minidl import gradcheck, models, nn
from minidl._core.random import default_rng
from minidl.engine import offsets


class MissingFactor(nn.ReLU):
    def backward(self, grad_output):
        return 0.5 * super().backward(grad_output)


class SmallFactor(nn.ReLU):
    """Wrong by a hundredth of a per cent."""

    def backward(self, grad_output):
        return 1.0001 * super().backward(grad_output)


class TransposedWeightGradient(nn.Linear):
    def backward(self, grad_output):
        dx, dw, db = f.linear_backward(grad_output, self.take_saved())
        self.weight.add_grad(dw.T)
        self.bias.add_grad(db)
        return dx


class ForgottenBias(nn.Conv2d):
    def backward(self, grad_output):
        dx, dw, _ = f.conv2d_backward(grad_output, self.take_saved())
        self.weight.add_grad(dw)
        return dx


class OverwritingPool(nn.MaxPool2d):
    """= for += where windows overlap."""

    def backward(self, grad_output):
        x, out, geometry, _ = self.take_saved()
        dx = np.zeros_like(x)
        for _, _, rows, cols, in_rows, in_cols in offsets(x.shape[2:], geometry, out.shape[2:]):
            hit = x[:, :, in_rows, in_cols] == out[:, :, rows, cols]
            view = dx[:, :, in_rows, in_cols]
            view[hit] = grad_output[:, :, rows, cols][hit]
        return dx


class NewMaskDropout(nn.Dropout):
    """Draws a new mask in backward."""

    def backward(self, grad_output):
        self.take_saved()
        _, mask = f.dropout_forward(np.ones_like(grad_output), self.p, rng=default_rng(self.rng))
        return f.dropout_backward(grad_output, mask)


PLANTED = [
    (
        MissingFactor(),
        (4, 3),
        r"^gradcheck of MissingFactor failed: the input at \[\d, \d\]: backward\(\) gives",
    ),
    (SmallFactor(), (4, 3), "SmallFactor failed: the input"),
    (TransposedWeightGradient(3, 3), (4, 3), r'parameter "weight" at \[\d, \d\]'),
    (
        ForgottenBias(2, 3, 3),
        (2, 2, 4, 4),
        r'parameter "bias" (at|along)[\s\S]*parameter "bias" got no gradient',
    ),
    (OverwritingPool(2, stride=1), (1, 1, 6, 6), r"the input (at \[0, 0, \d, \d\]|along random direction)"),
    (NewMaskDropout(0.5), (5, 6), r"the input (at \[\d, \d\]|along random direction)"),
    (NewMaskDropout(0.5, rng=np.random.default_rng(0)), (5, 6), "the input"),
]


@pytest.mark.parametrize(("layer", "shape", "message"), PLANTED, ids=[type(p[0]).__name__ for p in PLANTED])
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a Sequential"])
def test_planted_faults_are_found(layer, shape, message, inside, rng):
    x = rng.standard_normal(shape)
    if not inside:
        with pytest.raises(AssertionError, match=message):
            gradcheck(layer, x)
    else:
        with pytest.raises(AssertionError, match="gradcheck of Sequential failed"):
            gradcheck(nn.Sequential(nn.Identity(), layer), x)


def test_a_transposed_gradient_of_another_shape_is_refused_by_add_grad(rng):
    with pytest.raises(ValueError, match=r"expected a gradient of the parameter's shape \(2, 3\), got \(3, 2\)"):
        gradcheck(TransposedWeightGradient(3, 2), rng.standard_normal((4, 3)))


def test_the_correct_twins_pass(rng):
    for layer, shape in (
        (nn.ReLU(), (4, 3)),
        (nn.Linear(3, 3), (4, 3)),
        (nn.Conv2d(2, 3, 3), (2, 2, 4, 4)),
        (nn.MaxPool2d(2, stride=1), (1, 1, 6, 6)),
        (nn.Dropout(0.5), (5, 6)),
        (nn.Identity(), (2, 3)),  # its output is its input
    ):
        assert gradcheck(layer, rng.standard_normal(shape)) is True


def test_a_layer_that_skips_its_input_gradient_is_checked_all_the_same(rng):
    layer = nn.Linear(3, 2)
    layer.needs_input_grad = False
    assert gradcheck(layer, rng.standard_normal((4, 3)))
    assert not layer.needs_input_grad


def test_the_other_arrays_that_are_wrong_are_named(rng):
    class AllTwice(nn.Linear):
        def backward(self, grad_output):
            return 2 * super().backward(2 * grad_output)

    with pytest.raises(AssertionError, match='the input at .*\nalso wrong: parameter "bias", parameter "weight"$'):
        gradcheck(AllTwice(3, 2), rng.standard_normal((4, 3)))


def test_faults_in_tiny_gradients_are_found(rng):
    """An absolute tolerance would wave these through: the gradients are of the order of 1e-7."""

    class Tiny(MissingFactor):
        def forward(self, x):
            return super().forward(x) * 1e-7

        def backward(self, grad_output):
            return super().backward(grad_output * 1e-7)

    with pytest.raises(AssertionError, match="Tiny failed"):
        gradcheck(Tiny(), rng.standard_normal((4, 3)))


def test_faults_behind_large_outputs_are_found(rng):
    """A tolerance that grows with the outputs and with ever smaller steps would wave these through."""

    class HalfBias(nn.Linear):
        def backward(self, grad_output):
            dx = super().backward(grad_output)
            self.bias.grad *= 0.5
            return dx

    class WeakTerm(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(np.ones(16))

        def forward(self, x):
            self.save_for_backward(np.tanh(x))
            return x + 1e-3 * self.w.data * np.tanh(x)

        def backward(self, grad_output):
            t = self.take_saved()
            self.w.add_grad(2 * (grad_output * 1e-3 * t).sum(axis=0))
            return grad_output * (1 + 1e-3 * self.w.data * (1 - t * t))

    with pytest.raises(AssertionError, match='parameter "bias"'):
        gradcheck(HalfBias(64, 64), 1e6 * rng.standard_normal((16, 64)), max_entries=5)
    with pytest.raises(AssertionError, match='parameter "bias"'):  # lost in the noise of the smallest step
        gradcheck(HalfBias(64, 64), 1e8 * rng.standard_normal((16, 64)), max_entries=5)
    with pytest.raises(AssertionError, match='parameter "w"'):
        gradcheck(WeakTerm(), 1e4 * rng.standard_normal((16, 16)))


def test_kinks_are_stepped_around():
    """Exact zeros in a ReLU, equal values in a window."""
    assert gradcheck(nn.ReLU(), np.zeros((3, 4)))
    assert gradcheck(nn.MaxPool2d(2), np.ones((1, 2, 4, 4)))
    assert gradcheck(nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.ReLU()), np.zeros((1, 1, 5, 5)))


def test_a_whole_network_with_dropout_and_a_loss(rng):
    model = models.digits_cnn()
    assert gradcheck(model, rng.random((2, 1, 8, 8), dtype=np.float32), max_entries=10)
    assert gradcheck(nn.CrossEntropyLoss(), rng.standard_normal((4, 3)), np.array([0, 2, 1, 1]))


def test_a_large_layer_is_checked_along_directions(rng):
    """A fault in one column of 400,000 weights is not among the few entries drawn, but on every random direction."""

    class OneColumnWrong(nn.Linear):
        def backward(self, grad_output):
            dx, dw, db = f.linear_backward(grad_output, self.take_saved())
            dw[:, 17] *= 1.1
            self.weight.add_grad(dw)
            self.bias.add_grad(db)
            return dx

    x = rng.standard_normal((2, 1000))
    assert gradcheck(nn.Linear(1000, 400), x, max_entries=3)
    with pytest.raises(AssertionError, match='parameter "weight" along random direction'):
        gradcheck(OneColumnWrong(1000, 400), x, max_entries=3)


def test_the_original_and_the_random_state_are_left_alone(rng):
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5)), rng.standard_normal((2, 3)).astype(np.float32)
    before, state = model.state_dict(), default_rng().bit_generator.state
    gradcheck(model, x)
    assert model[0].weight.grad is None
    assert model[0].weight.dtype == x.dtype == np.float32
    np.testing.assert_array_equal(model.state_dict()["0.weight"], before["0.weight"])
    after = default_rng().bit_generator.state
    np.testing.assert_array_equal(after["state"]["state"], state["state"]["state"])


def test_buffers_are_the_same_in_every_forward_pass(rng):
    """A layer whose output depends on running statistics that it changes, in place or by assigning a new array."""

    class LessTheMean(nn.Identity):
        in_place = True

        def __init__(self):
            super().__init__()
            self.register_buffer("mean", np.zeros(3))

        def forward(self, x):
            out = super().forward(x) - self.mean
            new = self.mean + 1
            if self.in_place:
                self.mean[...] = new
            else:
                self.mean = new
            return out

    layer = LessTheMean()
    assert gradcheck(layer, rng.standard_normal((4, 3)))
    layer.in_place = False
    assert gradcheck(layer, rng.standard_normal((4, 3)))
    np.testing.assert_array_equal(layer.mean, 0)


def test_a_forward_pass_that_changes_by_itself_is_named(rng):
    class Restless(nn.ReLU):
        def forward(self, x):
            return super().forward(x) * np.random.default_rng().random()

    with pytest.raises(AssertionError, match="two forward passes on the same input differ"):
        gradcheck(Restless(), rng.standard_normal((2, 3)))


def test_a_gradient_of_the_wrong_shape_is_named(rng):
    class Summed(nn.ReLU):
        def backward(self, grad_output):
            return super().backward(grad_output).sum(axis=0)

    with pytest.raises(AssertionError, match=r"the gradient of the input has shape \(3,\), expected \(2, 3\)"):
        gradcheck(Summed(), rng.standard_normal((2, 3)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_entry_that_is_not_finite_is_named(value, rng):
    class Broken(nn.ReLU):
        def backward(self, grad_output):
            dx = super().backward(grad_output)
            dx[1, 2] = value
            return dx

    with pytest.raises(AssertionError, match=rf"the input at \[1, 2\]: backward\(\) gives {value}, central"):
        gradcheck(Broken(), rng.standard_normal((3, 3)))


def test_an_error_in_forward_leaves_the_random_state_alone(rng):
    class Fails(nn.Dropout):
        def forward(self, x):
            super().forward(x)
            raise KeyError("half way")

    state = default_rng().bit_generator.state["state"]["state"].tolist()
    with pytest.raises(KeyError):
        gradcheck(Fails(0.5), rng.standard_normal((3, 3)))
    assert default_rng().bit_generator.state["state"]["state"].tolist() == state


def test_several_inputs_are_checked(rng):
    class Product(nn.Module):
        wrong = 1.0

        def forward(self, a, b):
            self.save_for_backward((a, b))
            return a * b

        def backward(self, grad_output):
            a, b = self.take_saved()
            return grad_output * b, grad_output * a * self.wrong

    a, b = rng.standard_normal((2, 2, 3))
    product = Product()
    assert gradcheck(product, a, b)
    product.wrong = 2.0
    with pytest.raises(AssertionError, match="input 1 at"):
        gradcheck(product, a, b)


def test_wrong_arguments_are_explained(rng):
    with pytest.raises(TypeError, match=r"expected a Module, got .*ReLU'>; did you mean ReLU\(...\)\?"):
        gradcheck(nn.ReLU, rng.standard_normal((2, 3)))
    with pytest.raises(ValueError, match="input 0 holds NaN or infinity"):
        gradcheck(nn.ReLU(), np.array([[np.nan]]))


def test_without_arrays_there_is_nothing_to_check():
    with pytest.raises(TypeError, match="give the module's inputs as NumPy arrays"):
        gradcheck(nn.ReLU())


def test_frozen_parameters_are_skipped(rng):
    layer = nn.Linear(3, 2).requires_grad_(False)
    assert gradcheck(layer, rng.standard_normal((2, 3)))


def test_it_is_at_the_top_of_the_package():
    assert minidl.gradcheck is minidl.testing.gradcheck
