"""check_module accepts layers that keep the contract and says, in a sentence, what another one breaks."""

import numpy as np
import pytest

from minidl import nn
from minidl.testing import check_module


class Scale(nn.Module):
    """Keeps the contract."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(np.array([0.5, 1.0, 2.0], np.float32))

    def forward(self, x):
        self.save_for_backward(x)
        return x * self.weight.data

    def backward(self, grad_output):
        x = self.take_saved()
        self.weight.add_grad((grad_output * x).sum(axis=0))
        return grad_output * self.weight.data


class ByHand(Scale):
    """Keeps the contract too, without save_for_backward and add_grad."""

    def forward(self, x):
        self.x = x if nn.is_grad_enabled() else None
        return x * self.weight.data

    def backward(self, grad_output):
        if getattr(self, "x", None) is None:
            raise RuntimeError("ByHand: backward before forward")
        grad = (grad_output * self.x).sum(axis=0)
        self.weight.grad = grad if self.weight.grad is None else self.weight.grad + grad
        self.x = None
        return grad_output * self.weight.data


class PlainArray(Scale):
    def __init__(self):
        super().__init__()
        self.shift = np.ones(3, np.float32)

    def forward(self, x):
        return super().forward(x) + self.shift


class Box:
    def __init__(self, layer):
        self.layer = layer


class Hidden(Scale):
    def __init__(self):
        super().__init__()
        self.box = Box(nn.Linear(3, 3))


class InASet(Scale):
    def __init__(self):
        super().__init__()
        self.extra = {nn.ReLU()}


class DoublePrecision(Scale):
    def forward(self, x):
        return super().forward(x) * np.ones(1)  # a float64 array: float64 wins


class DoubleGradient(Scale):
    def backward(self, grad_output):
        return super().backward(grad_output).astype(np.float64)


class KeepsItsInput(Scale):
    """Stale memory: serves any number of backward passes."""

    def forward(self, x):
        self.x = x
        return x * self.weight.data

    def backward(self, grad_output):
        self.weight.add_grad((grad_output * self.x).sum(axis=0))
        return grad_output * self.weight.data


class QueuesItsInput(Scale):
    """A queue: the second forward pass does not replace the first's memory."""

    def __init__(self):
        super().__init__()
        self.queue = []

    def forward(self, x):
        self.queue.append(x)
        return x * x * self.weight.data

    def backward(self, grad_output):
        if not self.queue:
            raise RuntimeError("nothing is kept")
        x = self.queue.pop(0)
        self.weight.add_grad((grad_output * 2 * x).sum(axis=0))
        return 2 * grad_output * x * self.weight.data


class ReusesItsOutput(Scale):
    out = None
    backward = Scale.backward

    def forward(self, x):
        fresh = super().forward(x)
        if self.out is None or self.out.shape != fresh.shape or self.out.dtype != fresh.dtype:
            self.out = fresh
        self.out[...] = fresh
        return self.out


class ArraysInAList(Scale):
    def __init__(self):
        super().__init__()
        self.shifts = [np.ones(3, np.float32)]

    def forward(self, x):
        return super().forward(x) + self.shifts[0]


class SecondBackward(ByHand):
    def backward(self, grad_output):
        x = self.x if hasattr(self, "x") else None
        dx = super().backward(grad_output)
        self.x = x
        return dx


class Overwrites(Scale):
    def backward(self, grad_output):
        self.weight.grad = None
        return super().backward(grad_output)


class InPlaceInput(nn.ReLU):
    backward = nn.ReLU.backward

    def forward(self, x):
        out = super().forward(x)
        x *= x > 0
        return out


class InPlaceGradient(Scale):
    def backward(self, grad_output):
        dx = super().backward(grad_output)
        grad_output *= 0
        return dx


class NeedsInputGrad(Scale):
    def backward(self, grad_output):
        if not self.needs_input_grad:
            grad_output = grad_output * 2
        return super().backward(grad_output)


class NoInputGradient(Scale):
    def backward(self, grad_output):
        super().backward(grad_output)


class DeafToModes(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def train(self, mode=True):
        self.training = mode
        return self

    def forward(self, x):
        return self.drop(x)

    def backward(self, grad_output):
        return self.drop.backward(grad_output)


class RandomInEval(nn.Dropout):
    def forward(self, x):
        mode, self.training = self.training, True
        out = super().forward(x)
        self.training = mode
        return out


class NoBatchOfOne(Scale):
    def forward(self, x):
        if len(x) == 1:
            raise ValueError("too few")
        return super().forward(x)


class MemoryOrder(Scale):
    backward = Scale.backward

    def forward(self, x):
        return super().forward(x if x.flags.c_contiguous else np.ascontiguousarray(x) + 1)


class ForgetsState(Scale):
    """Its state dict holds zeros instead of its weight."""

    def state_dict(self):
        return {"weight": self.weight.data * 0}


class WrongShape(Scale):
    def output_shape(self, input_shape):
        return (*input_shape[:-1], 99)


class WrongGradient(Scale):
    def backward(self, grad_output):
        return 2 * super().backward(grad_output)


def test_layers_that_keep_the_contract_pass(rng):
    x = rng.standard_normal((4, 3))
    assert check_module(Scale(), x) is True
    assert check_module(ByHand(), x)
    assert check_module(nn.Sequential(Scale(), nn.Dropout(0.5), Scale()), x.astype(np.float32))


def test_a_layer_that_has_been_used_can_be_checked(rng):
    x = rng.standard_normal((4, 3)).astype(np.float32)
    layer = ByHand()
    layer(x)
    layer.backward(x)
    assert check_module(layer, x)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            PlainArray,
            r"output depends on self.shift, a plain array: make it nn.Parameter.* or register_buffer\('shift'",
        ),
        (Hidden, r"self.box hides a Linear, which params\(\) and state_dict\(\) do not find"),
        (InASet, "extra is a set of Parameters or Modules"),
        (DoublePrecision, "given float32 input and parameters, its output is float64"),
        (DoubleGradient, "given float32 input and parameters, the gradient of input 0 is float64"),
        (KeepsItsInput, r"backward\(\) before forward\(\) must raise RuntimeError, got AttributeError .*take_saved"),
        (SecondBackward, r"backward\(\) a second time after one forward\(\) must raise RuntimeError, got a result"),
        (QueuesItsInput, "a new forward must replace what was kept"),
        (ReusesItsOutput, "a later forward pass changed an earlier one's output: return a new array each time"),
        (ArraysInAList, "the output depends on self.shifts, a plain array"),
        (Overwrites, 'the gradient of parameter "weight" does not add up over two passes'),
        (InPlaceInput, "input 0 was changed in place"),
        (InPlaceGradient, "grad_output was changed in place"),
        (NeedsInputGrad, 'needs_input_grad = False changes the gradient of parameter "weight"'),
        (NoInputGradient, r"must return the gradient of input 0, of shape \(4, 3\), got None"),
        (DeafToModes, r"train\(False\) did not reach drop; call super\(\).train\(mode\)"),
        (RandomInEval, "two forward passes in eval mode differ"),
        (NoBatchOfOne, "a batch of one fails in eval mode: NoBatchOfOne: too few"),
        (MemoryOrder, "another result when it is not contiguous"),
        (ForgetsState, "the output differs after a round trip through state_dict"),
        (WrongShape, r"output_shape\(\) says \(4, 99\), the output has \(4, 3\)"),
        (WrongGradient, "gradcheck of WrongGradient failed: the input at"),
    ],
)
def test_a_broken_contract_is_explained(layer, message, rng):
    layer = layer()
    with pytest.raises(AssertionError, match=message):
        check_module(layer, rng.standard_normal((4, 3)))


def test_forgetting_super_init_is_explained(rng):
    class Forgot(nn.Module):
        def __init__(self):
            pass

        def forward(self, x):
            return x

    with pytest.raises(AssertionError, match=r"Forgot.__init__ must call super\(\).__init__\(\)"):
        check_module(Forgot(), rng.standard_normal((4, 3)))


def test_the_original_is_left_alone(rng):
    layer, x = Scale(), rng.standard_normal((4, 3))
    copy_of_x = x.copy()
    check_module(layer.eval(), x)
    assert not layer.training
    assert layer.weight.grad is None
    assert layer.weight.data.tolist() == [0.5, 1, 2]
    np.testing.assert_array_equal(x, copy_of_x)


def test_what_is_not_a_module_is_refused():
    with pytest.raises(TypeError, match="check_module: expected a Module"):
        check_module(lambda x: x, np.ones((2, 3)))


class KeepsInNoGrad(ByHand):
    backward = ByHand.backward

    def forward(self, x):
        self.x = x
        return x * self.weight.data


def test_memory_kept_inside_no_grad_is_a_warning(rng):
    with pytest.warns(
        UserWarning, match=r"KeepsInNoGrad: forward\(\) keeps memory for backward\(\) even inside no_grad"
    ) as warned:
        assert check_module(KeepsInNoGrad(), rng.standard_normal((4, 3)))
    assert warned[0].filename == __file__  # where check_module is called


def test_legal_states_and_random_layers_pass(rng):
    class Noise(nn.Module):
        def __init__(self):
            super().__init__()
            self.rngs = [np.random.default_rng(0)]

        def forward(self, x):
            self.save_for_backward(None)
            return x + self.rngs[0].standard_normal(x.shape, dtype=x.dtype) if self.training else x

        def backward(self, grad_output):
            self.take_saved()
            return grad_output

    x = rng.standard_normal((4, 3))
    assert check_module(Noise(), x)
    layer = nn.Linear(3, 2)
    layer.needs_input_grad = False
    assert check_module(layer, x)
    assert not layer.needs_input_grad


def test_buffers_that_are_assigned_again_are_frozen(rng):
    class Mean(nn.Identity):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", np.zeros(3, np.float32))

        def forward(self, x):
            self.mean = 0.9 * self.mean + 0.1 * x.mean(axis=0)
            return super().forward(x)

    assert check_module(Mean(), rng.standard_normal((4, 3)))


class Squares(nn.Loss):
    """The mean over the samples whose target is not negative."""

    def forward(self, prediction, target):
        kept = target >= 0
        count = kept.sum()
        difference = np.where(kept, prediction - target, 0)
        self.save_for_backward((difference, count))
        self.note(count)
        return float((difference**2).sum() / count)

    def note(self, count):
        self.divisor = count

    def backward(self, grad_output=1.0):
        difference, count = self.take_saved()
        return (grad_output * 2 * difference / count).astype(difference.dtype)


class NoDivisor(Squares):
    def note(self, count):
        pass


class FixedDivisor(Squares):
    def note(self, count):
        self.divisor = 1.0


class TakesNoFactor(Squares):
    def backward(self):
        return super().backward()


class IgnoresFactor(Squares):
    def backward(self, grad_output=1.0):
        return super().backward()


class CalledASum(Squares):
    def __init__(self):
        super().__init__("sum")


class RootMeanSquare(nn.Loss):
    """No mean of anything."""

    def forward(self, prediction, target):
        value = float(np.sqrt(((prediction - target) ** 2).mean()))
        self.save_for_backward((prediction - target, value))
        return value

    def backward(self, grad_output=1.0):
        difference, value = self.take_saved()
        return (grad_output / (difference.size * value) * difference).astype(difference.dtype)


class OfTheBatch(RootMeanSquare):
    whole_batch = True


class Dice(nn.Loss):
    whole_batch = True

    def forward(self, prediction, target):
        both, sizes = float((prediction * target).sum()), float((prediction + target).sum())
        self.save_for_backward((target, both, sizes))
        return 1 - 2 * both / sizes

    def backward(self, grad_output=1.0):
        target, both, sizes = self.take_saved()
        return (grad_output * -2 * (target / sizes - both / sizes**2)).astype(target.dtype)


class WeightedWithoutShares(nn.CrossEntropyLoss):
    def finish(self, loss, cache):
        loss = super().finish(loss, cache)
        self.shares = 1.0
        return loss


def test_a_loss_of_several_batches_is_what_it_says(rng):
    x, target = rng.random((4, 3)), rng.random((4, 3))
    target[1, 2] = target[3, 0] = -1
    assert check_module(Squares(), x, target)
    assert check_module(Squares(), x[:1], target[1:2])
    whole = np.abs(target)
    for loss in (OfTheBatch(), Dice(), NoDivisor(), nn.MSELoss(reduction="sum"), nn.KLDivLoss(reduction="batchmean")):
        assert check_module(loss, x, whole)
    assert check_module(nn.CrossEntropyLoss([1, 5, 0], ignore_index=1), x, np.array([0, 2, 1, 0]))
    with pytest.raises(AssertionError, match="with a weight of 1 for each sample the loss is .* set self.shares"):
        check_module(WeightedWithoutShares([1, 5, 2]), x, np.array([0, 2, 1, 0]))
    for loss, message in {
        NoDivisor: "batches of 1 and 7 samples, .* set self.divisor in forward",
        FixedDivisor: "batches of 1 and 7 samples, .* set self.divisor in forward",
        CalledASum: "batches of 1 and 7 samples",
        RootMeanSquare: "batches of 1 and 7 samples, .* whole_batch = True: then the Trainer counts each batch by its",
        IgnoresFactor: r"backward\(2.0\) must be twice backward\(\)",
        TakesNoFactor: r"backward\(\) must take the gradient of the loss",
    }.items():
        with pytest.raises(AssertionError, match=f"check_module of {loss.__name__}: {message}"):
            check_module(loss(), x, target if issubclass(loss, Squares) else whole)
