"""What goes wrong most often when a model is moved from PyTorch: each message names the place and the way out."""

import warnings

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader, ImageFolder
from minidl.training import Trainer


@pytest.fixture
def x(rng):
    return rng.standard_normal((6, 4)).astype(np.float32)


@pytest.fixture
def y(rng):
    return rng.integers(0, 3, 6)


def module(forward, **members):
    """A module named Net with a forward, and no backward."""
    net = type("Net", (nn.Module,), {"forward": forward})()
    for name, member in members.items():
        setattr(net, name, member)
    return net


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss])
def test_one_hot_labels(loss, x, y):
    scores = nn.LogSoftmax(1)(x)
    with pytest.raises(ValueError, match=rf"{loss.__name__}: expected labels of shape \(6,\).*y.argmax\(axis=1\)"):
        loss()(scores, np.eye(4, dtype=int)[y])


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss, nn.NLLLoss, nn.MSELoss, nn.BCELoss, nn.BCEWithLogitsLoss])
def test_swapped_arguments_of_unlike_dtypes(loss, x, y):
    message = (
        rf"{loss.__name__}: expected a float prediction, got int64, and float32 as target: the prediction comes first"
    )
    with pytest.raises(TypeError, match=message):
        loss()(y, nn.Linear(4, 3)(x))


@pytest.mark.parametrize("loss", [nn.BCELoss, nn.BCEWithLogitsLoss, nn.KLDivLoss])
def test_swapped_arguments_of_one_dtype(loss, x):
    model = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())
    with pytest.raises(RuntimeError, match="the prediction comes first, then the target"):
        loss()(np.ones((6, 3), np.float32), model(x)).backward()


def test_where_the_order_does_not_matter_it_may_be_any(x):
    model, target = nn.Linear(4, 3), np.ones((6, 3), np.float32)
    grads = []
    for order in (1, -1):
        model.zero_grad()
        nn.MSELoss()(*(model(x), target)[::order]).backward()
        grads.append(model.weight.grad.copy())
    np.testing.assert_allclose(*grads, rtol=1e-6)


def test_softmax_before_cross_entropy_is_told_once(x, y):
    model, loss = nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)), nn.CrossEntropyLoss()
    with pytest.warns(
        UserWarning, match="CrossEntropyLoss: the predictions look like probabilities.*leave the"
    ) as told:
        loss(model(x), y)
    assert told[0].filename == __file__
    loss(model(x), y)  # not again
    for scores in (x, np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1]], np.abs(x), nn.LogSoftmax(1)(x)):
        nn.CrossEntropyLoss()(scores, y)


def test_what_is_no_logarithm_before_nll_is_told_once(x, y):
    for wrong in (nn.Softmax(1)(x), x):
        loss = nn.NLLLoss()
        with pytest.warns(UserWarning, match="NLLLoss: it takes logarithms.*LogSoftmax at the end"):
            loss(wrong, y)
        loss(wrong, y)
    nn.NLLLoss()(nn.LogSoftmax(1)(x), y)
    nn.NLLLoss()(np.zeros((2, 3)), np.array([0, 2]))  # a model that is sure


def loader(x, y):
    return DataLoader(ArrayDataset(x, y), batch_size=3)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss, nn.NLLLoss])
def test_the_trainer_tells_once(loss, x, y):
    model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(1))
    trainer = Trainer(model, loss(), optim.SGD(model.params(), 0.1), progress="none")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trainer.fit(loader(x, y), loader(x, y), epochs=3)
    assert [str(one.message).split(":")[0] for one in told] == [loss.__name__]


def test_parameters_without_a_gradient_are_told_once(x, y):
    model = module(lambda self, x: self.used(x), used=nn.Linear(4, 3), unused=nn.Linear(4, 3), frozen=nn.Linear(2, 2))
    model.frozen.requires_grad_(False)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), 0.1), progress="none")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trainer.fit(loader(x, y), epochs=2)
    (one,) = told
    assert "no gradient came to 'unused.weight', 'unused.bias' in the first step" in str(one.message)


def test_transforms_of_a_folder(tmp_path):
    for arguments in ({"transform": len}, {"size": len}):
        with pytest.raises(
            TypeError, match=r"ImageFolder: transforms are of batches here.*DataLoader\(dataset, transform"
        ):
            ImageFolder(tmp_path, **arguments)


@pytest.mark.parametrize("nested", [False, True])
def test_a_forward_that_returns_nothing(nested, x):
    class Explicit(nn.Module):
        def forward(self, x):
            self.save_for_backward(x)

        def backward(self, grad_output):
            return grad_output

    for layer in (module(lambda self, x: None), Explicit()):
        model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(layer)) if nested else layer
        name = type(layer).__name__ + (' "1.0"' if nested else "")
        with pytest.raises(TypeError, match=rf"{name}: forward\(\) returned None; end it with return"):
            model(x)
        with minidl.no_grad(), pytest.raises(TypeError, match="returned None"):
            model(x)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.longdouble])
def test_a_layer_that_returns_another_dtype(dtype, x):
    class Explicit(nn.Module):
        def forward(self, x):
            return x.astype(dtype)

        def backward(self, grad_output):
            return grad_output

    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(Explicit()), nn.Linear(4, 2))
    with pytest.raises(TypeError, match=rf'Explicit "1.0": given float32 input.* its output is {np.dtype(dtype)}'):
        model(x)


@pytest.mark.parametrize("function", [np.fft.fft, np.linalg.svd, np.median])
def test_what_has_no_derivative(function, x):
    model = nn.Sequential(nn.Linear(4, 4), module(lambda self, x: function(x)))
    with pytest.raises(
        TypeError, match=r'Net "1": np.\w+ has no known gradient.*write a Module with a backward.*x.detach'
    ):
        model(x)


@pytest.mark.parametrize(
    "use",
    [
        lambda b: b.view(-1),
        lambda b: b.unsqueeze(0),
        lambda b: b.size(0),
        lambda b: b.sum(dim=0),
        lambda b: b.view(1, -1),
    ],
)
def test_methods_of_pytorch_on_a_buffer(use, x):
    layer = module(lambda self, x: x + use(self.offset))
    layer.register_buffer("offset", np.ones((1, 4), np.float32))
    with pytest.raises(
        (TypeError, ValueError, AttributeError), match=r'Net "1": .*; a buffer, .* is a NumPy array.*minidl.as_tensor'
    ):
        nn.Sequential(nn.Linear(4, 4), layer)(x)
    given = module(lambda self, x: x + minidl.as_tensor(self.offset).unsqueeze(0).view(-1).sum(dim=0))
    given.register_buffer("offset", np.ones((1, 4), np.float32))
    np.testing.assert_allclose(given(x), x + 4)


def test_a_straight_through_layer_is_recognised(x):
    class Round(nn.Module):
        def forward(self, x):
            self.save_for_backward(x)
            return np.round(x)

        def backward(self, grad_output):
            self.take_saved()
            return grad_output

    detached = module(lambda self, x: x + (np.round(x) - x).detach())
    inputs = np.random.default_rng(0).random((2, 3)) * 0.4 + 0.05
    for layer in (Round(), detached, nn.Sequential(nn.Tanh(), Round())):
        with pytest.raises(AssertionError, match=r"the output does not change there.*straight-through.*nn.Identity"):
            minidl.gradcheck(layer, inputs)
    wrong = module(lambda self, x: x * x)
    with pytest.raises(AssertionError) as told:
        minidl.gradcheck(
            type("Wrong", (nn.Module,), {"forward": lambda s, x: x * x, "backward": lambda s, g: g})(), inputs
        )
    assert "straight-through" not in str(told.value)
    assert minidl.gradcheck(wrong, inputs)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss])
def test_labels_that_are_no_numbers_from_0_on(loss, x):
    x = -abs(x)  # as NLLLoss takes it

    def refused(labels, error):
        with pytest.raises(error) as raised:
            loss()(x, np.asarray(labels))
        return str(raised.value)

    one_too_many = "; labels start at 0: subtract 1"
    assert refused([1, 2, 3, 4, 1, 1], ValueError).endswith(f"from 0 to 3, got 4 at index 3{one_too_many}")
    assert one_too_many not in refused([0, 2, 3, 4, 1, 1], ValueError)
    assert one_too_many not in refused([1, 2, 3, 5, 1, 1], ValueError)
    names = np.array(["b", "a", "c", "d", "a", "a"])
    hint = "names, y = np.unique(y, return_inverse=True)"
    assert refused(names, TypeError).endswith(hint)
    assert refused(names.astype(object), TypeError).endswith(hint)
    assert np.isfinite(loss()(x, np.unique(names, return_inverse=True)[1]))
    assert refused(names == "a", TypeError).endswith("got bool; give y.astype(int)")
    assert np.isfinite(loss()(x, (names == "a").astype(int)))


def test_labels_from_1_on_beside_ignored_ones(x):
    with pytest.raises(ValueError, match="subtract 1"):
        nn.CrossEntropyLoss()(x, np.array([-100, 1, 2, 3, 4, -100]))


def test_what_is_not_of_the_right_kind_is_told_without_its_numbers(x, tmp_path):
    with pytest.raises(
        TypeError, match=r"must be a Module, got \{'weight': ndarray \(3, 4\), 'bias': ndarray \(3,\)\}$"
    ):
        minidl.save_model(nn.Linear(4, 3).state_dict(), tmp_path / "m.minidl")
    with pytest.raises(TypeError, match=r"must be a Module, got \[ndarray \(6, 4\), ndarray \(6, 4\), .*, \.\.\.\]$"):
        minidl.save_model([x] * 9, tmp_path / "m.minidl")
    flip = minidl.data.transforms.RandomHorizontalFlip
    with pytest.raises(TypeError, match=r"got the class RandomHorizontalFlip; did you mean RandomHorizontalFlip\(\)\?"):
        DataLoader(ArrayDataset(x), transform=flip)
