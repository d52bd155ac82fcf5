"""Softmax with cross-entropy and dropout's mask, compiled: the numbers of NumPy's engine and of PyTorch."""

import numpy as np
import pytest

from minidl import get_engine, nn, set_engine

pytest.importorskip("numba")


@pytest.fixture(autouse=True)
def _engine_kept():
    before = get_engine()
    yield
    set_engine(before)


def _drawn(rng):
    """Return scores, labels and options: any layout, infinities, ignored labels, weights of 0, every reduction."""
    samples, classes, dtype = int(rng.integers(1, 200)), int(rng.integers(1, 30)), rng.choice(["f", "d"])
    x = (rng.standard_normal((samples, classes)) * rng.choice([1, 10, 1000])).astype(dtype)
    layout = rng.integers(3)
    x = np.asfortranarray(x) if layout == 1 else np.repeat(x, 2, axis=1)[:, ::2] if layout == 2 else x
    if rng.random() < 0.1:
        x.flat[rng.integers(x.size)] = rng.choice([np.inf, -np.inf, np.nan])
    y = rng.integers(0, classes, samples).astype(rng.choice([np.int64, np.int32, np.uint8]))
    if y.dtype != np.uint8 and rng.random() < 0.3:
        y[rng.random(samples) < 0.3] = -100
    weight = rng.random(classes).astype(dtype) if rng.random() < 0.4 else None
    if weight is not None and rng.random() < 0.3:
        weight[rng.integers(classes)] = rng.choice([0, np.inf])
    smoothing, reduction = float(rng.choice([0, 0, 0.1, 1])), str(rng.choice(["mean", "sum", "none"]))
    return x, y, {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}


def _both_ways(engine, x, y, grad, options):
    set_engine(engine)
    loss_fn = nn.CrossEntropyLoss(**options)
    with np.errstate(all="ignore"):
        return [loss_fn(x, y), loss_fn.backward(grad), loss_fn.shares, loss_fn.divisor]


@pytest.mark.filterwarnings("ignore:CrossEntropyLoss")
@pytest.mark.parametrize("seed", range(100))
def test_cross_entropy(seed):
    """Random cases: loss and gradient are those of NumPy's engine, NaN in the same places, and those of PyTorch."""
    rng = np.random.default_rng(seed)
    x, y, options = _drawn(rng)
    grad = rng.standard_normal(len(x)).astype(x.dtype) if options["reduction"] == "none" else 1.0
    numpy, fast = (_both_ways(engine, x, y, grad, options) for engine in ("numpy", "fast"))
    close = {"rtol": 2e-5, "atol": 2e-5} if x.dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-11}
    for ours, theirs in zip(fast, numpy, strict=True):
        np.testing.assert_allclose(ours, theirs, **close)
    assert fast[1].dtype == x.dtype
    torch = pytest.importorskip("torch")
    if not np.isfinite(x).all() or (options["weight"] is not None and np.isinf(options["weight"]).any()):
        return
    scores = torch.tensor(np.ascontiguousarray(x), requires_grad=True)
    weight = None if options["weight"] is None else torch.tensor(options["weight"])
    expected = torch.nn.functional.cross_entropy(
        scores, torch.tensor(y.astype(np.int64)), **{**options, "weight": weight}
    )
    expected.backward(torch.tensor(grad, dtype=scores.dtype))
    np.testing.assert_allclose(fast[0], expected.detach().numpy(), **close)
    if fast[3] != 0:  # PyTorch's gradient of no labels at all is NaN or 0
        np.testing.assert_allclose(fast[1], scores.grad.numpy(), **close)


@pytest.mark.parametrize("label", [-1, 3, -101])
def test_wrong_labels(label):
    """A label that is no class is named by the error of NumPy's engine."""
    set_engine("fast")
    with pytest.raises(ValueError, match=f"labels from 0 to 2, got {label} at index 1"):
        nn.CrossEntropyLoss()(np.zeros((2, 3), np.float32), np.array([0, label]))


@pytest.mark.parametrize("shape", [(3, 5, 4, 7), (5, 9), (1,)])
@pytest.mark.parametrize("p", [0.25, 1.0])
@pytest.mark.parametrize("dtype", ["f", "d"])
def test_dropout(shape, p, dtype):
    """Both engines drop the same elements, in every layout."""
    found = []
    for engine in ("numpy", "fast"):
        set_engine(engine)
        found.append(nn.Dropout(p, rng=np.random.default_rng(3))(np.ones(shape, dtype)))
    np.testing.assert_array_equal(*found)
    assert found[1].dtype == dtype


@pytest.mark.parametrize("engine", ["numpy", "fast"])
def test_labels_beyond_int64(engine):
    """A label that would become that of ignored samples in 64 bits with a sign is no class."""
    set_engine(engine)
    with pytest.raises(ValueError, match="labels from 0 to 2, got 18446744073709551516 at index 1"):
        nn.CrossEntropyLoss()(np.zeros((2, 3), np.float32), np.array([0, 2**64 - 100], np.uint64))
