"""What tests/nn/test_sync_batch_norm.py runs on several ranks; rank 0 prints what was found as a line of JSON.

A layer or a net on the ranks' shares of a batch is compared with one process's on the whole batch, which each rank
computes for itself.
"""

import copy
import json
import pickle
import sys

import numpy as np
from mpi4py import MPI

import minidl
from minidl import nn
from minidl.distributed import group_of

COMM = MPI.COMM_WORLD
GROUP = group_of(COMM)
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
OPTIONS = [
    {},
    {"affine": False},
    {"bias": False},
    {"momentum": None},
    {"track_running_stats": False, "eps": 0.1},
    {"affine": False, "momentum": 0.0},
]
counts = {"gather": 0, "sum": 0}


def counted(name):
    plain = getattr(GROUP, name)

    def call(*args):
        counts[name] += 1
        return plain(*args)

    setattr(GROUP, name, call)


def difference(value, expected):
    """The largest difference, relative to the largest number if that is above 1."""
    if not expected.size:
        return 0.0
    return float(np.abs(value - expected).max() / max(1.0, np.abs(expected).max()))


def stacked(array):
    """All ranks' arrays, one behind the other."""
    return np.concatenate(COMM.allgather(np.ascontiguousarray(array)))


def summed(array):
    return sum(COMM.allgather(np.asarray(array)))


def laid(rng, array):
    """The array in one of several orders of memory, not all of them contiguous."""
    kind = rng.integers(0, 4)
    if kind == 1:
        return np.ascontiguousarray(array.transpose(2, 1, 3, 0)).transpose(3, 1, 0, 2)
    if kind == 2:
        return np.repeat(array, 2, axis=3)[..., ::2]
    return np.asfortranarray(array) if kind == 3 else array


def shares(rng, samples):
    """Which samples are this rank's: uneven shares, some of them empty."""
    ends = np.sort(rng.integers(0, samples + 1, COMM.size - 1))
    bounds = [0, *ends.tolist(), samples]
    return slice(bounds[COMM.rank], bounds[COMM.rank + 1])


def a_random_layer(seed, dtype):
    """Three steps and an evaluation; return the largest difference of all that is computed."""
    rng = np.random.default_rng(seed)
    channels, height, width = (int(rng.integers(1, most)) for most in (9, 12, 12))
    if rng.random() < 0.2:
        channels, height, width = 16, 48, 48  # in pieces
    options = OPTIONS[rng.integers(0, len(OPTIONS))]
    whole, own = (kind(channels, **options).astype(dtype) for kind in (nn.BatchNorm2d, nn.SyncBatchNorm2d))
    for name, parameter in whole.named_params():
        parameter.data[...] = rng.standard_normal(channels)
        getattr(own, name).data[...] = parameter.data
    mean = 30 * rng.standard_normal((1, channels, 1, 1)) if rng.random() < 0.3 else 0.0
    worst = {}
    for training in (True, True, True, False):
        samples = int(rng.integers(2, 14))
        x = (rng.standard_normal((samples, channels, height, width)) + mean).astype(dtype)
        grad = rng.standard_normal(x.shape).astype(dtype)
        share = shares(rng, samples)
        mine = np.random.default_rng([*seed, COMM.rank])
        counts.update(gather=0, sum=0)
        for layer in (whole, own):
            layer.train(training)
            layer.zero_grad()
        if not training and own.running_mean is None:
            continue
        found = {"output": own(laid(mine, x[share]))}
        found["input gradient"] = own.backward(laid(mine, grad[share]))
        assert counts == ({"gather": 1, "sum": 1} if training else {"gather": 0, "sum": 0}), counts
        expected = {"output": whole(x), "input gradient": whole.backward(grad)}
        for layer, values in ((own, found), (whole, expected)):
            values |= {f"gradient of {name}": parameter.grad for name, parameter in layer.named_params()}
            values |= dict(layer.named_buffers())
        ranks = COMM.allgather(found)
        for what, right in expected.items():
            parts = [values[what] for values in ranks]
            assert {part.dtype for part in parts} == {right.dtype}, what
            if "put" in what:
                value = np.concatenate(parts)
            elif "gradient" in what:
                value = sum(parts)
            else:
                value = parts[0]
                assert len({part.tobytes() for part in parts}) == 1, f"the ranks have other bits of {what}"
            worst[what] = max(worst.get(what, 0.0), difference(value, right))
    return worst


def a_net(seed):
    """A net with branches, converted, on shares of which the last is empty."""
    minidl.manual_seed(seed)
    norm = nn.BatchNorm2d(6)
    whole = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        norm,
        nn.ReLU(),
        nn.Residual(nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), norm, nn.ReLU(), nn.BatchNorm2d(6))),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 4, 3),
        nn.BatchNorm2d(4, affine=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).astype(np.float64)
    own = nn.convert_sync_batchnorm(copy.deepcopy(whole))
    own[0].needs_input_grad = whole[0].needs_input_grad = False
    rng = np.random.default_rng(seed)
    worst = 0.0
    for samples in (9, 5):
        x, grad = rng.standard_normal((samples, 2, 8, 8)), rng.standard_normal((samples, 3))
        bounds = [*np.linspace(0, samples, COMM.size).astype(int).tolist(), samples]
        share = slice(bounds[COMM.rank], bounds[COMM.rank + 1])
        out = stacked(own(x[share]))
        own.backward(grad[share])
        worst = max(worst, difference(out, whole(x)))
        whole.backward(grad)
    for parameter, expected in zip(own.params(), whole.params(), strict=True):
        worst = max(worst, difference(summed(parameter.grad), expected.grad))
    for (_, value), (_, expected) in zip(own.named_buffers(), whole.named_buffers(), strict=True):
        worst = max(worst, difference(value, expected))
    return worst


def one_value():
    """What each rank raises if all together have one value for each channel."""
    layer = nn.SyncBatchNorm2d(3)
    try:
        layer(np.zeros((int(COMM.rank == 1), 3, 1, 1), np.float32))
    except ValueError as error:
        return COMM.allgather(str(error))
    return COMM.allgather("")


def no_values():
    """An empty batch on all ranks is what it is in one process."""
    layer, plain = nn.SyncBatchNorm2d(3), nn.BatchNorm2d(3)
    x = np.zeros((0, 3, 2, 2), np.float32)
    same = layer(x).shape == layer.backward(x).shape == x.shape
    plain(x)
    return same and all((layer.state_dict()[name] == value).all() for name, value in plain.state_dict().items())


def one_sample():
    """One sample of one pixel on each rank: together they have statistics."""
    layer = nn.SyncBatchNorm2d(1).astype(np.float64)
    out = stacked(layer(np.full((1, 1, 1, 1), float(COMM.rank))))
    return difference(out, nn.BatchNorm2d(1).astype(np.float64)(np.arange(COMM.size, dtype=float).reshape(-1, 1, 1, 1)))


def without_exchange():
    """How often something is exchanged when frozen or evaluated; and in training inside no_grad."""
    layer, x = nn.SyncBatchNorm2d(2), np.ones((2, 2, 3, 3), np.float32)
    counts.update(gather=0, sum=0)
    layer.freeze()
    layer(x)
    layer.backward(x)
    layer.unfreeze().eval()
    layer(x)
    quiet = dict(counts)
    with nn.no_grad():
        layer.train()(x)
    return quiet, dict(counts)


def frozen_weight():
    """Without a weight to train, or a wanted input gradient, the ranks exchange the same."""
    layer, x = nn.SyncBatchNorm2d(2), np.ones((2, 2, 3, 3), np.float32)
    layer.requires_grad_(False)
    layer.needs_input_grad = COMM.rank == 0
    counts.update(gather=0, sum=0)
    layer(x)
    layer.backward(x)
    return dict(counts)


def copies():
    """Copies and pickles between forward and backward hold no communicator."""
    layer, x = nn.SyncBatchNorm2d(2), np.ones((2, 2, 3, 3), np.float32)
    out = layer(x)
    again = pickle.loads(pickle.dumps(copy.deepcopy(layer)))
    layer.backward(out)
    return type(again).__name__


def alone():
    """Whether outside of what the ranks do together it is BatchNorm2d to the bit."""
    rng = np.random.default_rng(COMM.rank)
    layer, plain = nn.SyncBatchNorm2d(3), nn.BatchNorm2d(3)
    x, grad = (rng.standard_normal((4, 3, 5, 5)).astype(np.float32) for _ in range(2))
    same = (layer(x) == plain(x)).all() and (layer.backward(grad) == plain.backward(grad)).all()
    return bool(same and all((layer.state_dict()[k] == v).all() for k, v in plain.state_dict().items()))


def main(engines, layers):
    counted("gather")
    counted("sum")
    found = {"layers": {}, "nets": {}}
    with GROUP.together():
        for engine in engines:
            minidl.set_engine(engine if engine != "mixed" else ("numpy", "fast")[COMM.rank % 2])
            for dtype in TOLERANCE:
                found["layers"][f"{engine} {dtype}"] = {
                    seed: a_random_layer([COMM.size, seed], dtype) for seed in range(layers)
                }
            found["nets"][engine] = COMM.allreduce(a_net(3), MPI.MAX)
            found[engine] = {
                check.__name__: check() for check in (one_value, no_values, one_sample, without_exchange, frozen_weight)
            }
        found["copies"] = copies()
    found["alone"] = all(COMM.allgather(alone()))
    if COMM.rank == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1].split(","), int(sys.argv[2]))
