"""The compiled engine's numbers: how exact they are, the same in every process, and right on other CPUs."""

import hashlib
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from minidl.engine import choice

numba = pytest.importorskip("numba")

FAST, NUMPY = (choice._made(name) for name in ("fast", "numpy"))

# a step of a small net; a checksum of all it leads to
STEP = """
import hashlib, numpy as np, minidl
from minidl import nn
minidl.set_engine("fast")
minidl.manual_seed(0)
layers = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, stride=2)
model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(144, 10))
x = np.random.default_rng(0).standard_normal((33, 3, 16, 16)).astype(np.float32)
dx = model.backward(np.cos(model(x)))
parts = [dx, *(p.grad for p in model.params())]
digest = hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()
"""

# two layers beside NumPy's; how wide vectors are
ON_ANOTHER_CPU = """
import numpy as np, minidl
from minidl import nn
from minidl.engine.fast import vectors
worst = 0
for layer in (nn.Conv2d(3, 9, 3, padding=1), nn.GELU()):
    x, results = np.random.default_rng(0).standard_normal((17, 3, 7, 7)).astype(np.float32), []
    for name in ("numpy", "fast"):
        minidl.set_engine(name)
        layer.zero_grad()
        out = layer(x)
        results.append([out, layer.backward(np.cos(out)), *(p.grad for p in layer.params())])
    worst = max(worst, *(abs(a - b).max() / abs(a).max() for a, b in zip(*results)))
print(vectors.BYTES, vectors.REGISTERS, worst < 4e-6)
"""


def python(code, **variables):
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, timeout=300
    ).stdout.strip()


def test_the_same_bits_in_another_process():
    digests = {python(f"import minidl; minidl.set_num_threads({n}){STEP}print(digest)") for n in (1, 2)}
    own = {}
    before = choice.get_engine()
    try:
        exec(STEP, own)
    finally:
        choice.set_engine(before)
    assert digests == {own["digest"]}
    assert len(own["digest"]) == hashlib.sha256().digest_size * 2


@pytest.mark.slow
@pytest.mark.skipif(
    numba.core.config.MACHINE_BITS != 64 or platform.machine() not in ("x86_64", "AMD64"), reason="CPUs of x86-64"
)
@pytest.mark.parametrize(("name", "size"), [("haswell", "32 16"), ("nehalem", "16 16"), ("generic", "16 16")])
def test_a_cpu_with_other_vectors(name, size):
    assert python(ON_ANOTHER_CPU, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES="") == f"{size} True"


def test_features_decide_beside_the_cpus_name():
    code = "from minidl.engine.fast import vectors; print(vectors.BYTES)"
    assert python(code, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES="+avx2,+fma") == "32"


SHAPES = [
    *((32, 3, 12, 12, 8, 3, 1), (17, 8, 9, 9, 16, 5, 1), (32, 32, 10, 10, 32, 3, 1), (1, 16, 12, 12, 16, 3, 1)),
    *((8, 16, 11, 11, 8, 3, 2), (64, 4, 8, 8, 4, 1, 1), (33, 64, 6, 6, 64, 3, 1)),
    *((8, 128, 7, 7, 64, 3, 1), (17, 256, 5, 5, 32, 3, 1), (16, 64, 8, 8, 32, 5, 1)),  # long sums
]


def errors(shape, run):
    """The errors of a convolution and its gradients in float32, relative to the largest number."""
    n, c, h, w, f, k, stride = shape
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((n, c, h, w)), rng.standard_normal((f, c, k, k))
    x, weight = x.astype(np.float32), weight.astype(np.float32)
    geometry = choice.correlation.Geometry((k, k), (stride, stride), (1, 1), (1, 1), 1)
    size = tuple((s + 2 - k) // stride + 1 for s in (h, w))
    grad = rng.standard_normal((n, f, *size)).astype(np.float32)

    def of(engine, *arrays):
        x, weight, grad = arrays
        return (
            engine.correlate(x, weight, None, geometry, size),
            engine.input_grad(grad, weight, geometry, (h, w)),
            engine.weight_grad(x, grad, weight.shape, geometry, has_bias=False)[0],
        )

    exact = of(NUMPY, *(array.astype(np.float64) for array in (x, weight, grad)))
    ours = of(FAST, x, weight, grad)
    theirs = of(NUMPY, x, weight, grad) if run is None else run(x, weight, grad, stride)
    return [
        [float(np.abs(a - e).max() / np.abs(e).max()) for a, e in zip(r, exact, strict=True)] for r in (ours, theirs)
    ]


def ratios(run):
    ours, theirs = np.swapaxes([errors(shape, run) for shape in SHAPES], 0, 1)
    return np.ravel(ours / theirs)


def test_errors_are_those_of_numpys_engine():
    found = ratios(None)
    assert np.median(found) <= 1
    assert found.max() <= 3


def test_errors_are_not_larger_than_pytorchs(torch):
    def run(x, weight, grad, stride):
        x, weight, grad = (torch.tensor(array) for array in (x, weight, grad))
        x.requires_grad_()
        weight.requires_grad_()
        out = torch.nn.functional.conv2d(x, weight, stride=stride, padding=1)
        out.backward(grad)
        return [array.detach().numpy() for array in (out, x.grad, weight.grad)]

    found = ratios(run)
    assert np.median(found) <= 1
    assert found.max() <= 3
