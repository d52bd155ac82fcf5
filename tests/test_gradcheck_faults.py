"""gradcheck against planted faults, drawn at random over the table of cases and over scales from 1e-12 to 1e12."""

import os

import numpy as np
import pytest
from cases import CASES

from minidl import gradcheck, nn, testing
from minidl.testing import CannotTellError

SEED = int(os.environ.get("MINIDL_FAULTS_SEED", "0"))
DRAWS = int(os.environ.get("MINIDL_FAULTS_DRAWS", "80"))


def largest_dropped(grad, rng):
    grad.flat[np.abs(grad).argmax()] = 0
    return grad


def one_sample(grad, rng):
    grad[0] *= 1.5
    return grad


def one_nan(grad, rng):
    grad.flat[rng.integers(grad.size)] = np.nan
    return grad


FAULTS = {
    "none": lambda grad, rng: grad,
    "factor 1.01": lambda grad, rng: 1.01 * grad,
    "factor 2": lambda grad, rng: 2 * grad,
    "half": lambda grad, rng: 0.5 * grad,
    "sign": lambda grad, rng: -grad,
    "zero": lambda grad, rng: 0 * grad,
    "NaN": one_nan,
    "infinity": lambda grad, rng: one_nan(grad, rng) + np.inf,
    "one element": largest_dropped,
    "one sample": one_sample,
    "the wrong axis": lambda grad, rng: grad[::-1].copy(),
    "rolled": lambda grad, rng: np.roll(grad, 1, -1),
    "float32 noise": lambda grad, rng: grad * (1 + 3e-4 * rng.standard_normal(grad.shape)),
    "a missing term": lambda grad, rng: grad - grad.mean(axis=0),
    "an extra term": lambda grad, rng: grad + 0.01 * np.abs(grad).max(),
    "absolute values": lambda grad, rng: np.abs(grad),
    "the mean": lambda grad, rng: np.full_like(grad, grad.mean()),
    "divided by the batch": lambda grad, rng: grad / len(grad) if len(grad) > 1 else 3 * grad,
    "squared": lambda grad, rng: grad * np.abs(grad),
    "rounded": lambda grad, rng: np.round(grad / (np.abs(grad).max() or 1), 2) * np.abs(grad).max(),
}


def with_fault(case, fault):
    """A module of the case whose backward spoils the input's gradient, and where it notes whether that changed it."""
    noted = []
    base = type(case.make())

    class Faulty(base):
        def backward(self, *grad_output):
            out = super().backward(*grad_output)
            grad = out[0] if isinstance(out, tuple) else out
            spoiled = FAULTS[fault](grad.copy(), np.random.default_rng(1))
            size = np.abs(grad).max(initial=0)
            noted.append(not np.isfinite(spoiled).all() or bool((abs(spoiled - grad) > 2e-5 * size).any()))
            return (spoiled, *out[1:]) if isinstance(out, tuple) else spoiled

    module = case.make()
    module.__class__ = Faulty
    return module, noted


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_wrong_backward_is_approved_and_no_right_one_refused():
    print(f"seed {SEED}, {DRAWS} draws")
    rng = np.random.default_rng(SEED)
    cases = [case for case in CASES if not case.random and case.layer != "Embedding"]
    answers = {"right": 0, "wrong": 0, "cannot tell": 0}
    for _ in range(DRAWS):
        case = cases[rng.integers(len(cases))]
        fault = "none" if rng.random() < 0.3 else list(FAULTS)[rng.integers(len(FAULTS))]
        scale = 10.0 ** rng.choice([-12, -9, -6, -3, 0, 0, 3, 6, 9, 12])
        # x - tanh(x) loses its digits where x is small: its forward pass is not exact enough to judge
        plain = case.target is None and not case.probabilities and case.layer != "Tanhshrink"
        x, *others = case.draw()
        module, noted = with_fault(case, fault)
        try:
            answer = "right" if gradcheck(module, x * (scale if plain else 1.0), *others, max_entries=1000) else ""
        except CannotTellError:
            answer = "cannot tell"
        except AssertionError:
            answer = "wrong"
        where = f"{case.id}, scale {scale if plain else 1.0}, fault: {fault}, seed {SEED}"
        assert answer != "right" or not noted[-1], f"a wrong backward was approved: {where}"
        assert answer != "wrong" or any(noted), f"a right backward was refused: {where}"
        answers[answer] += 1
    assert answers["cannot tell"] <= 0.15 * DRAWS, answers
    assert min(answers["right"], answers["wrong"]) > 0.1 * DRAWS


class Log(nn.Module):
    """Its backward is wrong everywhere."""

    def forward(self, x):
        self.save_for_backward(x)
        with np.errstate(divide="ignore"):
            return np.log(x)

    def backward(self, grad_output):
        return 3 * grad_output * self.take_saved()


def test_an_infinite_output_shows_nothing():
    with pytest.raises(CannotTellError, match=r"cannot tell: the output at \[0, 1\] is -inf; check at inputs"):
        gradcheck(Log(), np.array([[1.0, 0.0]]))
    with pytest.raises(AssertionError, match="gradcheck of Log failed"):
        gradcheck(Log(), np.array([[1.0, 0.5]]))
    with pytest.raises(CannotTellError):
        testing.check_module(Log(), np.array([[1.0, 0.0], [1.0, 2.0]]))


def test_differences_lost_in_rounding_show_nothing():
    class Lifted(nn.Module):
        def forward(self, x):
            self.save_for_backward(None)
            return np.tanh(x) + 1e14

        def backward(self, grad_output):
            self.take_saved()
            return 3 * grad_output

    with pytest.raises(CannotTellError, match="Lifted cannot tell: the input .* rounding hides differences below"):
        gradcheck(Lifted(), np.ones((2, 3)))


class Product(nn.Module):
    """Two inputs; returns the gradients that it is told to."""

    def __init__(self, returned):
        super().__init__()
        self.returned = returned

    def forward(self, a, b):
        self.save_for_backward((a, b))
        return a * b

    def backward(self, grad_output):
        a, b = self.take_saved()
        grads = (grad_output * b, grad_output * a)
        return grads if self.returned == "both" else grads[0] if self.returned == "first" else (grads[0], None)


def test_every_inputs_gradient_is_demanded(rng):
    inputs = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    assert gradcheck(Product("both"), *inputs)
    with pytest.raises(AssertionError, match=r"returned 1 gradient\(s\) for 2 inputs; return a tuple"):
        gradcheck(Product("first"), *inputs)
    with pytest.raises(AssertionError, match="input 1 got no gradient"):
        gradcheck(Product("none for the second"), *inputs)
    assert gradcheck(nn.MSELoss(), *inputs)
    assert gradcheck(nn.MSELoss(reduction="none"), *inputs)
