"""`minidl.nn.functional` against PyTorch's functions of the same names: values and gradients over random calls."""

import zlib

import numpy as np
import pytest
from functional_cases import CASES
from numpy.testing import assert_array_equal
from recorded_calls import close, compare, constant, differentiable, parameters_of

import minidl
from minidl import nn
from minidl.nn import functional as F
from minidl.nn import functional_layers

# many cases here are numbers that no model gives
pytestmark = pytest.mark.filterwarnings("ignore:(NLLLoss. it takes|CrossEntropyLoss. the predictions look):UserWarning")

SEEDS = range(12)
RUNNING = {"batch_norm", "instance_norm"}  # their arguments 1 and 2 are changed in place
TARGETS = {"cross_entropy", "nll_loss", "multi_margin_loss"}  # weights and probabilities have no gradient here


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def draw(name, seed):
    """The arguments and options of a call; the arguments without a gradient are read-only, and some others."""
    args, options = CASES[name](np.random.default_rng([seed, zlib.crc32(name.encode())]))
    fixed = {1, 2} if name in RUNNING else range(1, 9) if name in TARGETS else ()
    args = [constant(a) if i in fixed and isinstance(a, np.ndarray) else a for i, a in enumerate(args)]
    several = [i for i, a in enumerate(args) if differentiable(a)]
    if seed % 3 == 2 and len(several) > 1:
        args[several[seed % len(several)]] = constant(args[several[seed % len(several)]])
    return args, options


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_pytorchs(name, seed):
    functional = pytest.importorskip("torch.nn.functional")
    args, options = draw(name, seed)
    what = f"F.{name} seed {seed}: {[getattr(a, 'shape', a) for a in args]} {options}"
    within = 1e-7 if name == "hardsigmoid" else 1e-10  # PyTorch's 1/6 is that of float32
    kept = []

    def function(*args, **options):
        if name in RUNNING and args[1] is not None:
            kept[:] = [args[1].copy(), args[2].copy()]
            args = (args[0], *kept, *args[3:])
        return getattr(F, name)(*args, **options)

    given = compare(function, getattr(functional, name), args, options, what, within)
    if kept:
        for statistic, theirs in zip(kept, given[1:3], strict=True):
            close(statistic, theirs.numpy(), what, 1e-5)  # the last call was in float32
            assert statistic.dtype == np.float32


def test_every_function_has_a_case():
    named = {n for n in F.__all__ if not n.endswith(("_forward", "_backward", "_indices"))}
    assert named - {"reference", "im2col", "col2im"} == set(CASES)


def test_every_layer_that_pytorch_has_a_function_for_has_it_here():
    functional = pytest.importorskip("torch.nn.functional")
    layers = {name.lower() for name in nn.__all__ if name[0].isupper()}
    for name in dir(functional):
        plain = name.replace("_", "")
        if name[0] != "_" and name[-1] != "_" and {plain, plain + "loss", plain + "1d", plain + "2d"} & layers:
            assert hasattr(F, name), name


@pytest.mark.parametrize("name", CASES)
def test_arguments_have_pytorchs_names_order_and_defaults(name):
    functional = pytest.importorskip("torch.nn.functional")
    theirs, ours = parameters_of(getattr(functional, name)), parameters_of(getattr(F, name))
    if "args" in theirs:  # max pooling chooses between two functions
        theirs = parameters_of(getattr(functional, f"_{name}"))
    old = {"size_average", "reduce", "_stacklevel"}
    names = [n for n in theirs if n not in old]
    positional = [n for n, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    if names:
        assert positional == names[: len(positional)]
        assert not old & set(list(theirs)[: len(positional)])
        assert set(names) - set(ours) <= {"weight", "dtype", "out"}
    for argument in set(names) & set(ours):
        assert ours[argument].default == theirs[argument].default, argument


# Losses


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_backward_goes_on_into_the_model_that_made_the_target(name, rng):
    torch = pytest.importorskip("torch")
    x, z = rng.standard_normal((5, 3)), rng.standard_normal((5, 4))
    student, teacher = nn.Linear(3, 2, dtype=np.float64), nn.Linear(4, 2, dtype=np.float64)
    loss = getattr(F, name)(student(x), teacher(z))
    loss.backward()
    weights = [torch.tensor(p.data, requires_grad=True) for m in (student, teacher) for p in m.params()]
    outputs = torch.tensor(x) @ weights[0].T + weights[1], torch.tensor(z) @ weights[2].T + weights[3]
    right = getattr(torch.nn.functional, name)(*outputs)
    right.backward()
    close(loss, right.item(), name)
    for ours, theirs in zip([p for m in (student, teacher) for p in m.params()], weights, strict=True):
        close(ours.grad, theirs.grad.numpy(), name)


def test_a_target_of_another_dtype_gets_its_gradient_in_its_own(rng):
    x, y = rng.standard_normal((5, 3)).astype(np.float32), rng.standard_normal((5, 2))
    model = nn.Linear(3, 2)
    F.mse_loss(y, model(x)).backward()
    swapped = model.weight.grad
    model.zero_grad()
    F.mse_loss(model(x), y).backward()
    assert swapped.dtype == np.float32
    close(swapped, model.weight.grad, "swapped", 1e-5)


class Both(nn.Module):
    """A loss of two outputs of the model itself, within its forward."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.layer = nn.Linear(3, 4, dtype=np.float64)

    def forward(self, x):
        h = self.layer(x)
        return self.function(F.softmax(h, dim=1), F.softmax(2 * h, dim=1))


@pytest.mark.parametrize(
    "name", ["cross_entropy", "kl_div", "binary_cross_entropy", "binary_cross_entropy_with_logits"]
)
def test_a_target_whose_gradient_is_not_known_is_refused(name, rng):
    model = Both(getattr(F, name))
    model(rng.standard_normal((5, 3)))
    with pytest.raises(RuntimeError, match=r"that of input 1 is needed.*x\.detach\(\)"):
        model.backward(1.0)
    model = Both(lambda p, q: getattr(F, name)(p, q.detach()))
    model(rng.standard_normal((5, 3)))
    model.backward(1.0)
    assert model.layer.weight.grad is not None


def test_a_model_that_made_such_a_target_is_not_passed_over(rng):
    model, teacher = nn.Linear(3, 2), nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
    x = rng.standard_normal((5, 3)).astype(np.float32)
    with pytest.raises(RuntimeError, match=r"detach"):
        F.binary_cross_entropy_with_logits(model(x), teacher(x)).backward()
    F.binary_cross_entropy_with_logits(model(x), minidl.detach(teacher(x))).backward()
    assert all(p.grad is None for p in teacher.params())
    assert all(p.grad is not None for p in model.params())


def test_parameters_without_axes_get_their_gradients(rng):
    torch = pytest.importorskip("torch")

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.shift = nn.Parameter(np.array(0.3)), nn.Parameter(np.array(-0.2))

        def forward(self, x):
            return F.smooth_l1_loss(F.mse_loss(F.softplus(self.scale), F.tanh(self.shift)) * x, x)

    model, x = Scaled(), rng.standard_normal((3, 4))
    model(x).backward()
    scale, shift = (torch.tensor(p.data, requires_grad=True) for p in model.params())
    functional, given = torch.nn.functional, torch.tensor(x)
    between = functional.mse_loss(functional.softplus(scale), torch.tanh(shift))
    functional.smooth_l1_loss(between * given, given).backward()
    close(model.scale.grad, scale.grad.numpy(), "scale")
    close(model.shift.grad, shift.grad.numpy(), "shift")


def test_a_loss_of_plain_arrays_is_a_float_without_a_way_back(rng):
    loss = F.mse_loss(rng.standard_normal((5, 3)), rng.standard_normal((5, 3)))
    assert isinstance(loss, float)
    with pytest.raises(RuntimeError, match="not computed from a model's output"):
        loss.backward()


def test_weights_that_depend_on_a_parameter_are_refused(rng):
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(np.ones(3))

        def forward(self, x):
            return F.cross_entropy(x, np.array([0, 2]), self.weight)

    with pytest.raises(TypeError, match=r"cross_entropy: the gradient of weights is not known.*detach"):
        Weighted()(rng.standard_normal((2, 3)))


# Parameters, dropout, what is kept


def test_a_parameter_outside_a_forward_is_an_error_except_in_no_grad(rng):
    x, weight = rng.standard_normal((2, 3)), nn.Parameter(rng.standard_normal((4, 3)))
    for call in (lambda: F.linear(x, weight), lambda: F.relu(weight), lambda: F.normalize(weight)):
        with pytest.raises(RuntimeError, match="outside a forward pass"):
            call()
        with minidl.no_grad():
            call()


@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d", "alpha_dropout"])
def test_dropout_draws_the_layers_mask_and_keeps_it(name, rng):
    x = rng.standard_normal({"dropout2d": (2, 3, 4, 4)}.get(name, (2, 3, 4)))
    kind = {"dropout": "Dropout", "dropout1d": "Dropout1d", "dropout2d": "Dropout2d", "alpha_dropout": "AlphaDropout"}
    layer = getattr(nn, kind[name])(0.4, rng=np.random.default_rng(3))
    expected = layer(x)

    class Net(nn.Module):
        def forward(self, x):
            return getattr(F, name)(x, 0.4, self.training, rng=np.random.default_rng(3))

    net, g = Net(), rng.standard_normal(x.shape)
    assert_array_equal(net(x), expected)
    assert_array_equal(net.backward(g), layer.backward(g))
    assert_array_equal(getattr(F, name)(x, 0.4, True, rng=np.random.default_rng(3)), expected)
    assert_array_equal(net.eval()(x), x)
    minidl.manual_seed(1)
    once = getattr(F, name)(x, 0.4, True)
    minidl.manual_seed(1)
    assert_array_equal(getattr(F, name)(x, 0.4, True), once)


def test_attention_drops_weights(rng):
    q, k = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 5, 4))
    v = np.broadcast_to(np.eye(5), (2, 5, 5))  # so that the result is the weights
    weights = F.scaled_dot_product_attention(q, k, v)
    dropped = F.scaled_dot_product_attention(q, k, v, dropout_p=0.4, rng=np.random.default_rng(3))
    close(dropped, F.dropout(weights, 0.4, rng=np.random.default_rng(3)), "dropout_p")
    assert (dropped == 0).any()


@pytest.mark.parametrize("inner", [False, True])
def test_the_inputs_gradient_is_computed_only_if_somebody_needs_it(rng, monkeypatch, inner):
    asked = []
    for name in ("conv2d", "linear"):
        backward = getattr(functional_layers, f"{name}_backward")

        def spy(grad, cache, needs_input_grad=True, name=name, backward=backward):
            asked.append((name, needs_input_grad))
            return backward(grad, cache, needs_input_grad=needs_input_grad)

        monkeypatch.setattr(functional_layers, f"{name}_backward", spy)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.v = nn.Parameter(np.ones((2, 3, 3, 3))), nn.Parameter(np.ones((4, 2)))

        def forward(self, x):
            return F.linear(F.conv2d(x, self.w).mean((2, 3)), self.v)

    net, x = Net(), rng.standard_normal((2, 3, 5, 5))
    model = nn.Sequential(nn.Identity(), net) if inner else net
    F.mse_loss(model(x), np.zeros((2, 4))).backward()
    assert asked == [("linear", True), ("conv2d", False)]
    asked.clear()
    model(x)
    assert model.backward(np.ones((2, 4))).shape == x.shape
    assert asked == [("linear", True), ("conv2d", True)]
    asked.clear()
    net.w.requires_grad_(False)
    F.mse_loss(model(x), np.zeros((2, 4))).backward()
    assert asked == [("linear", False)]


def test_nothing_is_kept_in_no_grad_or_on_arrays(rng):
    class Net(nn.Module):
        def forward(self, x):
            return F.max_pool2d(F.relu(x), 2)

    net, x = Net(), rng.standard_normal((1, 1, 4, 4))
    with minidl.no_grad():
        net(x)
    with pytest.raises(RuntimeError, match="no forward pass"):
        net.backward(np.ones((1, 1, 2, 2)))
    out = net(x)
    F.softmax(out, 1)  # no pass of its own
    assert net.backward(np.ones_like(out)).shape == x.shape


def test_a_layer_with_a_backward_of_its_own_computes_with_them(rng):
    class Squash(nn.Module):
        def forward(self, x):
            self.save_for_backward(x)
            return F.tanh(x)

        def backward(self, grad):
            return grad * (1 - F.tanh(self.take_saved()) ** 2)

    assert minidl.gradcheck(Squash(), rng.standard_normal((3, 4)))
    assert minidl.gradcheck(nn.Sequential(Squash(), nn.Tanh()), rng.standard_normal((3, 4)))


X = np.ones((2, 3, 4, 4))
WRONG = {
    "dropout p": (lambda: F.dropout(X, 1.5), ValueError, "Dropout: p must be between"),
    "relu of integers": (lambda: F.relu(np.ones(3, int)), TypeError, "ReLU: expected a float32 or float64 input"),
    "inplace=1": (lambda: F.relu(X, 1), TypeError, "ReLU: inplace must be True or False"),
    "one image": (lambda: F.max_pool2d(X[0], 2), ValueError, r"MaxPool2d: .*x\[None\]"),
    "pool padding": (lambda: F.max_pool2d(X, 2, padding=2), ValueError, "padding must be at most half"),
    "channels": (lambda: F.conv2d(X, np.ones((4, 2, 3, 3))), ValueError, "conv2d: expected 2 input channels, got 3"),
    "weight's axes": (lambda: F.conv2d(X, np.ones((4, 3, 3))), ValueError, r"conv2d: expected a weight of shape \(F"),
    "dtypes": (lambda: F.linear(X, np.ones((4, 4), "f")), TypeError, "linear: expected float32 input"),
    "features": (lambda: F.linear(X[0, 0], np.ones((4, 5))), ValueError, r"linear: .*did you mean"),
    "statistics": (lambda: F.batch_norm(X, None, None), ValueError, "batch_norm: expected running_mean"),
    "training=1": (lambda: F.batch_norm(X, None, None, None, None, 1), TypeError, "training must be True"),
    "momentum": (lambda: F.batch_norm(X, None, None, None, None, True, 2), ValueError, "momentum must be between"),
    "last axes": (lambda: F.layer_norm(X, (3,)), ValueError, r"layer_norm: expected an input whose last axes are \(3,"),
    "a number of axes": (lambda: F.layer_norm(X, 4), TypeError, "normalized_shape must be a tuple"),
    "groups": (lambda: F.group_norm(X, 2), ValueError, "group_norm: expected a number of channels divisible"),
    "max_norm": (lambda: F.embedding(np.ones(2, int), X[0, 0], max_norm=1.0), ValueError, "max_norm.*not supported"),
    "padding_idx": (lambda: F.embedding(np.ones(2, int), X[0, 0], 4), ValueError, "padding_idx must be less than 4"),
    "an index": (lambda: F.embedding(np.array([4]), X[0, 0]), ValueError, "embedding: expected indices from 0 to 3"),
    "antialias": (lambda: F.interpolate(X, 2, antialias=True), ValueError, "antialias is not supported"),
    "a mode": (lambda: F.interpolate(X, 2, mode="bicubic"), ValueError, "mode must be one of 'nearest', 'bilinear'"),
    "no size": (lambda: F.interpolate(X), ValueError, "give either size or scale_factor"),
    "no factor": (lambda: F.interpolate(X, 2, recompute_scale_factor=True), ValueError, "needs a scale_factor"),
    "a padding": (lambda: F.pad(X, (1, 1, 1)), ValueError, "pad: expected two numbers for each"),
    "a padding mode": (lambda: F.pad(X, (1, 1), "mirror"), ValueError, "pad: mode must be one of"),
    "reflected axes": (lambda: F.pad(X, (1, 1), "reflect"), ValueError, "four numbers"),
    "nothing left": (lambda: F.pad(X[0], (-2, -3)), ValueError, "pad: .* leaves nothing"),
    "a value": (lambda: F.pad(X, (1, 1, 1, 1), "reflect", 1.0), ValueError, "value is for mode='constant' only"),
    "one_hot": (lambda: F.one_hot(np.array([3]), 3), ValueError, "one_hot: expected integers from 0 to 2"),
    "one_hot of floats": (lambda: F.one_hot(X), TypeError, "one_hot: expected integers"),
    "dim": (lambda: F.normalize(X, dim=4), ValueError, "normalize: dim 4 does not exist"),
    "softmax's dim": (lambda: F.softmax(X, dim=4), ValueError, "axis 4"),
    "glu": (lambda: F.glu(np.ones((2, 3))), ValueError, "GLU: expected an even size"),
    "attention": (lambda: F.scaled_dot_product_attention(X, X, X[..., :2, :]), ValueError, "expected query"),
    "two masks": (
        lambda: F.scaled_dot_product_attention(X, X, X, np.ones((4, 4), bool), is_causal=True),
        ValueError,
        "attn_mask or is_causal, not both",
    ),
    "prelu": (lambda: F.prelu(X, np.ones(2)), ValueError, "prelu: expected a weight of shape"),
    "labels": (lambda: F.cross_entropy(X[:, :, 0, 0], np.array([0, 3])), ValueError, "expected labels from 0 to 2"),
    "reduction": (lambda: F.mse_loss(X, X, reduction="avg"), ValueError, "MSELoss: reduction must be one of"),
    "shapes": (lambda: F.mse_loss(X, X[0]), ValueError, "MSELoss: expected a target of the prediction's shape"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(name):
    call, kind, message = WRONG[name]
    with pytest.raises(kind, match=message):
        call()
