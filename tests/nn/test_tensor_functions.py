"""``minidl.cat``, ``max``, ``where`` and the others against PyTorch's functions, over random calls."""

import re
import zlib

import numpy as np
import pytest
from functional_cases import flag, normal, number, pick, positive, shape, some
from numpy.testing import assert_array_equal
from recorded_calls import close, compare, constant, in_forward, in_torch, parameters_of

import minidl
from minidl import nn
from minidl.nn import creation, devices, dtypes, elementwise_functions, tensor_functions, tensor_methods
from minidl.nn.tensor import operand

SEEDS = range(10)


def one(draw=normal, scale=2.0):
    return lambda r: ((draw(r, *shape(r)) * scale,), {})


def two(second=normal):
    def draw(r):
        dims = shape(r)
        other = tuple(1 if r.integers(3) == 0 else n for n in dims)[int(r.integers(len(dims))) :]
        pair = [normal(r, *dims), second(r, *other)]
        return (pair if second is positive or flag(r) else pair[::-1]), {}

    return draw


def along(*, several=False, always=False, **options):
    """An array, perhaps an axis, and perhaps options."""

    def draw(r):
        x = normal(r, *shape(r))
        dims = int(r.integers(-x.ndim, x.ndim))
        if several and flag(r):
            dims = tuple(int(i) for i in r.permutation(x.ndim)[: int(r.integers(1, x.ndim + 1))])
        given = {"dim": dims} if always else some(r, dim=dims)
        return (x,), {**given, **(some(r, **{k: v(r) for k, v in options.items()}) if given else {})}

    return draw


def compared(function):
    def draw(r):
        (a, b), options = two()(r)
        return (constant(np.round(a)), constant(np.round(b))), options

    return draw


def lists(least_axes=1):
    def draw(r):
        dims = list(shape(r, least_axes))
        dim = int(r.integers(-len(dims), len(dims)))
        parts = []
        for _ in range(int(r.integers(1, 4))):
            if least_axes:
                dims[dim] = int(r.integers(1, 4))
            parts.append(normal(r, *dims))
        return (pick(r, list, tuple)(parts),), {"dim": dim} if dim or flag(r) else {}

    return draw


def stacked(r):
    dims = shape(r, 0)
    return ([normal(r, *dims) for _ in range(int(r.integers(1, 4)))],), some(r, dim=int(r.integers(-len(dims) - 1, 1)))


def split(r):
    x = normal(r, *shape(r))
    dim = int(r.integers(x.ndim))
    n = x.shape[dim]
    return (x, pick(r, int(r.integers(1, n + 1)), [1] * n, [n])), {"dim": dim}


def chunk(r):
    x = normal(r, *shape(r))
    dim = int(r.integers(x.ndim))
    return (x, int(r.integers(1, x.shape[dim] + 1))), {"dim": dim}


def index_select(r):
    x = normal(r, *shape(r))
    dim = int(r.integers(x.ndim))
    return (x, dim, r.integers(0, x.shape[dim], 5)), {}


def gather(r):
    x = normal(r, *shape(r, 2))
    dim = int(r.integers(x.ndim))
    size = [int(r.integers(1, n + 1)) for n in x.shape]
    size[dim] = 3
    return (x, dim, r.integers(0, x.shape[dim], size)), {}


def narrow(r):
    x = normal(r, *shape(r))
    dim = int(r.integers(x.ndim))
    start = int(r.integers(x.shape[dim]))
    return (x, dim, start, int(r.integers(1, x.shape[dim] - start + 1))), {}


def flatten(r):
    x = normal(r, *shape(r))
    first = int(r.integers(x.ndim))
    return (x,), some(r, start_dim=first, end_dim=pick(r, -1, x.ndim - 1))


def unflatten(r):
    return (normal(r, 2, 12, 3), pick(r, 1, -2), pick(r, (3, 4), (2, -1), (2, 2, 3))), {}


def reshape(r):
    x = normal(r, *shape(r))
    return (x, pick(r, (-1,), (1, -1), x.shape[::-1])), {}


def permute(r):
    x = normal(r, *shape(r))
    return (x, tuple(int(i) for i in r.permutation(x.ndim))), {}


def exchange(r):
    x = normal(r, *shape(r))
    return (x, int(r.integers(-x.ndim, x.ndim)), int(r.integers(-x.ndim, x.ndim))), {}


def movedim(r):
    x = normal(r, *shape(r))
    return (x, int(r.integers(-x.ndim, x.ndim)), int(r.integers(x.ndim))), {}


def squeeze(r):
    x = normal(r, *(pick(r, 1, 1, 3) for _ in range(int(r.integers(1, 5)))))
    return (x,), some(r, dim=int(r.integers(-x.ndim, x.ndim)))


def broadcast_to(r):
    x = normal(r, *pick(r, (1, 3), (3,), (2, 1, 3)))
    return (x, pick(r, (2, 4, 3), (4, 3)) if x.ndim < 3 else (2, 4, 3)), {}


def diagonal(r):
    return (normal(r, *shape(r, 2)),), some(r, diagonal=int(r.integers(-2, 3)))


def flip(r):
    x = normal(r, *shape(r))
    return (x, tuple(int(i) for i in r.permutation(x.ndim)[: int(r.integers(1, x.ndim + 1))])), {}


def roll(r):
    x = normal(r, *shape(r))
    return pick(r, ((x, 2), {}), ((x, (1, -1)), {"dims": (0, x.ndim - 1)}) if x.ndim > 1 else ((x, -1, 0), {}))


def clamp(r):
    if flag(r):
        x, low = two()(r)[0]
        return (x, low, *pick(r, (), (low + positive(r, 1),))), {}
    limits = pick(r, {"min": -0.5}, {"max": 0.5}, {"min": -0.5, "max": 1.0})
    return (normal(r, *shape(r)),), limits


def where(r):
    x, y = two()(r)[0]
    mask = constant(r.integers(0, 2, np.broadcast_shapes(x.shape, y.shape)).astype(bool))
    return (mask, x, pick(r, y, 0.0, 1.5)), {}


def masked_fill(r):
    x = normal(r, *shape(r))
    return (x, r.integers(0, 2, x.shape).astype(bool), number(r, -1, 1)), {}


def power(r):
    x = positive(r, *shape(r))
    return (x, pick(r, 2, 3, 0.5, -1.0, normal(r, *x.shape))), {}


def matmul(r):
    n, m, p = (int(k) for k in r.integers(1, 5, 3))
    a = pick(r, (m,), (n, m), (2, n, m), (3, 1, n, m))
    b = pick(r, (m,), (m, p), (2, m, p))
    return (normal(r, *a), normal(r, *b)), {}


def product(*batch):
    def draw(r):
        n, m, p = (int(k) for k in r.integers(1, 5, 3))
        return (normal(r, *batch, n, m), normal(r, *batch, m, p)), {}

    return draw


def vectors(r, same=False):
    n, m = (int(k) for k in r.integers(1, 6, 2))
    return (normal(r, n), normal(r, n if same else m)), {}


def einsum(r):
    n, m, p = (int(k) for k in r.integers(1, 5, 3))
    return pick(
        r,
        (("ij,jk->ik", normal(r, n, m), normal(r, m, p)), {}),
        (("bij,bkj->bik", normal(r, 2, n, m), normal(r, 2, p, m)), {}),
        (("ij->j", normal(r, n, m)), {}),
        (("i,j,ij->", normal(r, n), normal(r, m), normal(r, n, m)), {}),
        (("...ij,...jk->...ik", normal(r, 2, n, m), normal(r, 2, m, p)), {}),
        (("...ij, jk -> ...k", normal(r, 3, 2, n, m), normal(r, m, p)), {}),
        (("jk,ij", normal(r, m, p), normal(r, n, m)), {}),
        (("b...,b...", normal(r, n, m), normal(r, n, m)), {}),
    )


def topk(r):
    x = normal(r, *shape(r))
    dim = int(r.integers(x.ndim))
    return (x, int(r.integers(1, x.shape[dim] + 1))), {"dim": dim, **some(r, largest=flag(r))}


def largest(r):
    return pick(r, two(), along(keepdim=flag))(r)


def norm(r):
    args, options = along(several=True, keepdim=flag)(r)
    return args, {**options, **some(r, p=pick(r, 2, 1, 3.0, float("inf"), -float("inf")) if "dim" in options else 2)}


def repeat_interleave(r):
    x = normal(r, *shape(r))
    dim = int(r.integers(x.ndim))
    return pick(r, ((x, 2), {}), ((x, 3), {"dim": dim}), ((x, r.integers(0, 3, x.shape[dim])), {"dim": dim}))


def bounded(r):
    return (r.uniform(-0.9, 0.9, shape(r)),), {}


def softmax(r):
    return along(always=True)(r)


ELEMENTWISE = [
    "abs",
    "atan",
    "cosh",
    "sinh",
    "exp2",
    "cos",
    "exp",
    "expm1",
    "neg",
    "reciprocal",
    "sin",
    "square",
    "relu",
    "sigmoid",
    "tanh",
    "tan",
]
CONSTANT = ["eq", "ne", "gt", "ge", "lt", "le", "logical_and", "logical_or", "equal", "allclose"]

CASES = {
    **{name: one(scale=1.0) for name in ELEMENTWISE},
    **{name: one(positive) for name in ("log", "log2", "log10", "log1p", "sqrt", "rsqrt")},
    **{name: compared(name) for name in CONSTANT},
    **{
        name: lambda r: ((constant(normal(r, *shape(r)) * 2),), {})
        for name in ("sign", "round", "floor", "ceil", "trunc", "isfinite", "isnan")
    },
    "isinf": lambda r: ((constant(np.array([1, np.inf, np.nan])),), {}),
    "logical_not": lambda r: ((constant(r.integers(0, 2, 5)),), {}),
    "add": lambda r: (two()(r)[0], some(r, alpha=0.5)),
    "sub": lambda r: (two()(r)[0], some(r, alpha=0.5)),
    "mul": two(),
    "atan2": two(),
    "hypot": two(),
    "logaddexp": two(),
    "acos": bounded,
    "asin": bounded,
    "clamp_min": lambda r: ((normal(r, *shape(r)), 0.3), {}),
    "clamp_max": lambda r: ((normal(r, *shape(r)), 0.3), {}),
    "clone": one(),
    "count_nonzero": lambda r: ((constant(r.integers(0, 2, (3, 4))),), some(r, dim=pick(r, 0, 1, (0, 1)))),
    "nonzero": lambda r: ((constant(r.integers(0, 2, shape(r))),), some(r, as_tuple=flag(r))),
    "div": two(positive),
    "maximum": two(),
    "minimum": two(),
    "pow": power,
    "clamp": clamp,
    "clip": clamp,
    "where": where,
    "masked_fill": masked_fill,
    "cat": lists(),
    "concat": lists(),
    "concatenate": lists(),
    "stack": stacked,
    "split": split,
    "chunk": chunk,
    "unbind": lambda r: ((normal(r, *shape(r)),), some(r, dim=-1)),
    "gather": gather,
    "index_select": index_select,
    "narrow": narrow,
    "repeat_interleave": repeat_interleave,
    "flatten": flatten,
    "unflatten": unflatten,
    "reshape": reshape,
    "broadcast_to": broadcast_to,
    "tile": lambda r: ((normal(r, *shape(r, 1, 2)), pick(r, (2,), (1, 3), (2, 1, 2))), {}),
    "transpose": exchange,
    "swapaxes": exchange,
    "permute": permute,
    "movedim": movedim,
    "squeeze": squeeze,
    "unsqueeze": lambda r: ((normal(r, 2, 3), int(r.integers(-3, 3))), {}),
    "flip": flip,
    "roll": roll,
    "tril": diagonal,
    "triu": diagonal,
    "sum": along(several=True, keepdim=flag),
    "mean": along(several=True, keepdim=flag),
    "prod": along(keepdim=flag),
    "var": lambda r: along(several=True, keepdim=flag, unbiased=flag)(r) if flag(r) else ((normal(r, 5, 3), 1), {}),
    "std": along(several=True, always=True, keepdim=flag, correction=lambda r: 0),
    "max": largest,
    "min": largest,
    "amax": along(several=True, always=True, keepdim=flag),
    "amin": along(several=True, always=True, keepdim=flag),
    "argmax": along(keepdim=flag),
    "argmin": along(keepdim=flag),
    "all": along(keepdim=flag),
    "any": along(keepdim=flag),
    "sort": along(always=True, descending=flag),
    "argsort": along(always=True, descending=flag),
    "topk": topk,
    "logsumexp": along(several=True, always=True, keepdim=flag),
    "norm": norm,
    "cumsum": along(always=True),
    "matmul": matmul,
    "mm": product(),
    "mv": lambda r: ((normal(r, 3, 4), normal(r, 4)), {}),
    "bmm": product(3),
    "dot": lambda r: vectors(r, same=True),
    "outer": vectors,
    "einsum": einsum,
    "softmax": softmax,
    "log_softmax": softmax,
    "numel": one(),
    "detach": one(),
    "is_tensor": one(),
    "dropout": lambda r: ((normal(r, 3, 4), 0.5, False), {}),
}
NAMES = {*elementwise_functions.__all__, *tensor_functions.__all__, *minidl._FUNCTIONS["nn.functional"].split()}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_pytorchs(name, seed):
    torch = pytest.importorskip("torch")
    args, options = CASES[name](np.random.default_rng([seed, zlib.crc32(name.encode())]))
    what = f"minidl.{name} seed {seed}: {[getattr(a, 'shape', a) for a in args]} {options}"
    compare(getattr(minidl, name), getattr(torch, name), args, options, what)


METHODS = sorted(NAMES - tensor_methods._FIRST_IS_ANOTHER - {"dropout"})


@pytest.mark.parametrize("seed", SEEDS[:3])
@pytest.mark.parametrize("name", METHODS)
def test_values_have_them_as_methods(name, seed):
    torch = pytest.importorskip("torch")
    args, options = CASES[name](np.random.default_rng([seed, zlib.crc32(name.encode())]))
    what = f"Tensor.{name} seed {seed}: {[getattr(a, 'shape', a) for a in args]} {options}"
    expected, grads, back, _ = in_torch(getattr(torch, name), args, options)
    out, found = in_forward(lambda x, *more: getattr(operand(x), name)(*more, **options), args, {}, grads)
    for got, right in zip([*out, *found], [*expected, *back], strict=True):
        close(got, right, what)


def test_every_function_has_a_case():
    assert set(CASES) == NAMES
    for module in (elementwise_functions, tensor_functions, creation, dtypes, devices):
        names = {name for name, held in minidl._LAZY.items() if held == module.__name__.removeprefix("minidl.")}
        assert names == set(module.__all__) - {"check_device"}


@pytest.mark.parametrize("name", sorted(NAMES - set(minidl._FUNCTIONS["nn.functional"].split())))
def test_arguments_have_pytorchs_names(name):
    torch = pytest.importorskip("torch")
    function = getattr(torch, {"concatenate": "cat"}.get(name, name))
    described = {*re.findall(r"\w+", function.__doc__ or ""), *parameters_of(function)}
    described |= (
        set(re.findall(r"\w+", getattr(torch.Tensor, name).__doc__)) if name in ("masked_fill", "detach") else set()
    )
    names = set(parameters_of(getattr(minidl, name))) - {"input"}
    assert not described or names <= described | ({"operands"} if name == "einsum" else set())


@pytest.mark.parametrize("descending", [False, True])
def test_order_with_ties_nan_and_every_dtype(descending):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    floats = rng.integers(0, 3, (4, 7)).astype(float)
    floats[1, 2] = floats[3, 5] = np.nan
    for x in (floats, rng.integers(0, 4, (4, 7)).astype(np.uint8), floats > 1, rng.integers(-3, 3, (4, 7))):
        ours, theirs = (
            minidl.sort(x, 1, descending),
            torch.sort(torch.tensor(x), dim=1, descending=descending, stable=True),
        )
        assert_array_equal(ours.values, theirs.values.numpy())
        assert_array_equal(ours.indices, theirs.indices.numpy())
        assert_array_equal(minidl.topk(x, 3, 1, descending, True).values, theirs.values.numpy()[:, :3])


def test_einsum_of_indices_that_repeat_or_differ():
    x = np.arange(9.0).reshape(3, 3)
    assert minidl.einsum("ii->", x) == 12  # only in a recorded forward there is no gradient of it

    class Sums(nn.Module):
        def __init__(self, equation):
            super().__init__()
            self.equation = equation

        def forward(self, *arrays):
            return minidl.einsum(self.equation, arrays)

    for equation, arrays, message in (
        ("ii->", [x], "none twice in a term"),
        ("ij,jk->ik", [x], "describes 2 arrays, got 1"),
        ("ij,jk->ik", [x, np.ones((1, 3))], "an index of two sizes"),
        ("ijk->i", [x], "does not fit an array of shape"),
    ):
        with pytest.raises(ValueError, match=message):
            Sums(equation)(*arrays)


def test_ties_and_integers():
    x = np.array([[1, 3, 3], [2, 2, 0]])
    values, indices = minidl.max(x, 1)
    assert_array_equal(values, [3, 2])
    assert_array_equal(indices, [1, 0])
    assert minidl.max(x) == 3
    assert minidl.max(x, dim=0).values.dtype == x.dtype
    assert minidl.sum(x > 1) == 4
    assert minidl.mean(x, dtype=minidl.float32).dtype == np.float32
    assert_array_equal(minidl.where(x == 3)[1], [1, 2])
    assert minidl.where(x == 3, 1.0, 0.0).dtype == np.float32
    assert minidl.where(x == 3, 1, 0).dtype == np.int64


def test_detach_is_not_recognised_as_an_output():
    model, x = nn.Linear(3, 2), np.ones((4, 3), np.float32)
    loss = nn.MSELoss()
    copied = minidl.detach(model(x))
    copied += 1  # its own memory
    with pytest.raises(RuntimeError, match="not computed from a model's output"):
        loss(copied, np.zeros((4, 2))).backward()
    assert minidl.detach(model.weight) is not model.weight
    assert isinstance(minidl.detach(model.weight), np.ndarray)


class Creates(nn.Module):
    """What is made in a recorded forward has PyTorch's methods, and no gradient."""

    def forward(self, x):
        state = minidl.zeros(x.size(0), 3).to(x.device)
        noise = minidl.randn_like(x) * 0
        return minidl.cat([x + noise.view_as(x), state.double()], dim=1) + minidl.tensor([1.0])


def test_arrays_made_in_a_forward_are_values_of_it():
    x = np.random.default_rng(0).standard_normal((2, 4))
    model = Creates()
    out = model(x)
    close(out, np.concatenate([x, np.zeros((2, 3))], 1) + 1, "Creates")
    assert_array_equal(model.backward(out), out[:, :4])


MADE = [
    ("tensor", ([1, 2],), {}),
    ("tensor", (1.5,), {}),
    ("tensor", ([[1, 2.5]],), {}),
    ("tensor", ([True],), {}),
    ("tensor", (np.ones(2),), {}),
    ("tensor", ([np.float64(1), np.float64(2)],), {}),
    ("tensor", ([],), {}),
    ("tensor", (np.float64(2),), {}),
    ("as_tensor", (np.ones(2, np.float32),), {}),
    ("as_tensor", ([1.0],), {}),
    ("from_numpy", (np.ones(2),), {}),
    ("zeros", (2, 3), {}),
    ("zeros", ((2, 3),), {}),
    ("zeros", (), {"size": (2, 3)}),
    ("ones", (2,), {}),
    ("ones", (), {"size": (2,)}),
    ("empty", (), {"size": (2,)}),
    ("ones", ([2, 1],), {}),
    ("full", ((2, 3), 1.5), {}),
    ("full", ((2,), 1), {}),
    ("full", ((2,), True), {}),
    ("eye", (3,), {}),
    ("eye", (2, 3), {}),
    ("arange", (5,), {}),
    ("arange", (1, 5), {}),
    ("arange", (1, 5, 2), {}),
    ("arange", (0, 1, 0.25), {}),
    ("arange", (3.0,), {}),
    ("linspace", (0, 1, 5), {}),
    ("zeros_like", (np.ones((2, 3)),), {}),
    ("ones_like", (np.zeros(2, int),), {}),
    ("full_like", (np.ones(2, np.float32), 7), {}),
    ("empty", (2, 3), {}),
    ("empty_like", (np.ones(2),), {}),
    ("rand", (2, 3), {}),
    ("rand", (), {"size": (2, 3)}),
    ("randn", (), {"size": (2, 3)}),
    ("randn", ((2, 3),), {}),
    ("rand_like", (np.ones((2, 3)),), {}),
    ("randn_like", (np.ones(2, np.float32),), {}),
    ("randint", (10, (2, 3)), {}),
    ("randint", (3, 10, (2, 3)), {}),
    ("randperm", (5,), {}),
    ("bernoulli", (np.full(3, 0.5),), {}),
    ("normal", (0.0, 1.0, (2, 3)), {}),
    ("normal", (np.zeros(3, np.float32), 1.0), {}),
]
RANDOM = {
    "empty",
    "empty_like",
    "rand",
    "randn",
    "rand_like",
    "randn_like",
    "randint",
    "randperm",
    "bernoulli",
    "normal",
}
UNTYPED = {"as_tensor", "from_numpy", "bernoulli", "normal"}  # they take no dtype by name everywhere


@pytest.mark.parametrize(("name", "args", "options"), MADE)
def test_arrays_are_made_as_pytorch_makes_them(name, args, options):
    torch = pytest.importorskip("torch")
    for dtype in (None,) if name in UNTYPED | {"randint", "randperm"} else (None, "float64", "int64"):
        if dtype == "int64" and (name.startswith("rand") or args[2:] == (0.25,)):
            continue
        more = {} if dtype is None else {"dtype": getattr(minidl, dtype)}
        theirs_more = {} if dtype is None else {"dtype": getattr(torch, dtype)}
        taken = name in ("from_numpy", "tensor", "as_tensor")  # by these, NumPy's arrays are
        given = [torch.tensor(a) if isinstance(a, np.ndarray) and not taken else a for a in args]
        ours, theirs = (
            getattr(minidl, name)(*args, **options, **more),
            getattr(torch, name)(*given, **options, **theirs_more),
        )
        assert isinstance(ours, np.ndarray)
        assert ours.dtype == theirs.numpy().dtype
        assert ours.shape == tuple(theirs.shape)
        if name not in RANDOM:
            close(ours, theirs.numpy(), name, 1e-7)


def test_every_way_to_make_an_array_has_a_case():
    assert {name for name, _, _ in MADE} == set(creation.__all__)


@pytest.mark.parametrize("name", sorted(RANDOM - {"empty", "empty_like"}))
def test_random_numbers_come_from_minidls_generator_or_the_given_one(name):
    args = next(args for made, args, _ in MADE if made == name and args)
    make = getattr(minidl, name)
    minidl.manual_seed(5)
    first = make(*args)
    assert not np.array_equal(first, make(*args)) or first.size < 4
    minidl.manual_seed(5)
    assert_array_equal(make(*args), first)
    drawn = [make(*args, **{key: np.random.default_rng(3)}) for key in ("generator", "rng")]
    assert_array_equal(*drawn)
    with pytest.raises(TypeError, match="generator or rng, not both"):
        make(*args, generator=np.random.default_rng(3), rng=np.random.default_rng(3))


def test_random_numbers_have_their_distribution():
    minidl.manual_seed(0)
    n = 20_000
    assert abs(float(minidl.randn(n).mean())) < 0.03
    assert abs(float(minidl.rand(n).mean()) - 0.5) < 0.01
    assert abs(float(minidl.normal(2.0, 3.0, (n,)).std()) - 3) < 0.1
    assert abs(float(minidl.bernoulli(np.full(n, 0.3)).mean()) - 0.3) < 0.02
    assert abs(float(minidl.bernoulli(np.zeros(n), 0.3).mean()) - 0.3) < 0.02
    assert set(minidl.randint(2, 5, (n,)).tolist()) == {2, 3, 4}
    assert set(minidl.randint(3, (n,)).tolist()) == {0, 1, 2}
    assert sorted(minidl.randperm(50).tolist()) == list(range(50))


def test_from_numpy_shares_and_tensor_copies():
    x = np.ones(3)
    assert minidl.from_numpy(x) is x
    assert minidl.as_tensor(x) is x
    y = minidl.tensor(x)
    y += 1
    assert_array_equal(x, 1)


WRONG = {
    "a device": (lambda: minidl.zeros(2, device="cuda"), ValueError, "zeros: .*no device 'cuda'"),
    "device": (lambda: minidl.device("cuda:0"), ValueError, "device: .*no device 'cuda:0'"),
    "requires_grad": (lambda: minidl.ones(2, requires_grad=True), ValueError, r"ones: .*nn\.Parameter\(minidl\.ones"),
    "from_numpy": (lambda: minidl.from_numpy([1]), TypeError, "from_numpy: expected a NumPy array, got list"),
    "bernoulli": (lambda: minidl.bernoulli(np.full(2, 2.0)), ValueError, "between 0 and 1"),
    "normal": (lambda: minidl.normal(0.0, -1.0, (2,)), ValueError, "not negative"),
    "randn of integers": (lambda: minidl.randn(2, dtype=minidl.int64), TypeError, "for integers use randint"),
    "mm": (lambda: minidl.mm(np.ones((2, 2, 2)), np.ones((2, 2))), ValueError, "mm: expected arrays with 2 axes"),
    "topk": (lambda: minidl.topk(np.ones(3), 4), ValueError, "topk: k must be between 0 and 3, got 4"),
    "split": (lambda: minidl.split(np.ones(5), [2, 2]), ValueError, "split: the lengths"),
    "two shapes": (lambda: minidl.zeros(2, size=(2,)), TypeError, "zeros: give the shape once"),
    "a shape of floats": (lambda: minidl.randn(2.5), TypeError, "float"),
    "two axes": (lambda: minidl.max(np.ones((2, 2)), (0, 1)), TypeError, "dim must be one axis here"),
    "dim": (lambda: minidl.max(np.ones((2, 2)), 2), IndexError, "dim 2 does not exist"),
    "unflatten": (lambda: minidl.unflatten(np.ones((2, 6)), 1, (4, -1)), ValueError, "cannot reshape"),
    "set_grad_enabled": (lambda: minidl.set_grad_enabled(1), TypeError, "set_grad_enabled: mode must be True or False"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(name):
    call, kind, message = WRONG[name]
    with pytest.raises(kind, match=message):
        call()


def test_devices_and_dtypes():
    device = minidl.device("cuda" if minidl.cuda.is_available() else "cpu")
    assert device == "cpu" == device.type == minidl.device("cpu:0")
    assert repr(device) == "device(type='cpu')"
    assert minidl.zeros(2, device=device).shape == (2,)
    assert not minidl.backends.mps.is_available()
    assert minidl.cuda.device_count() == 0
    assert minidl.float is minidl.float32 == np.float32
    assert minidl.zeros(2, dtype=minidl.long).dtype == minidl.int64 == np.int64
    assert minidl.is_tensor(np.ones(2))
    assert minidl.is_tensor(nn.Parameter(np.ones(2)))
    assert not minidl.is_tensor([1])


def test_pythons_own_names_stay_when_everything_is_imported():
    names = {}
    exec("from minidl import *", names)
    assert "sum" not in names
    assert "max" not in names
    assert names["cat"] is minidl.cat


def test_a_parameter_outside_a_forward_is_an_error():
    p = nn.Parameter(np.ones((2, 2)))
    for call in (
        minidl.exp,
        minidl.sum,
        minidl.flatten,
        lambda p: minidl.cat([p, p]),
        lambda p: minidl.where(True, p, 0),
    ):
        with pytest.raises(RuntimeError, match="outside a forward pass"):
            call(p)
        with minidl.no_grad():
            assert isinstance(call(p), (np.ndarray, np.generic))
