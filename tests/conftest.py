"""Fixtures shared by all tests. Hypothesis runs the same examples every time, without a deadline."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from launching import Ranked, need_mpi

import minidl

settings.register_profile("minidl", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("minidl")


def pytest_configure(config):
    """Keep what the fast engine compiles beside pytest's own cache, for later runs and the processes of tests too."""
    if hasattr(config, "cache"):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(config.cache.mkdir("numba")))


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same state of minidl's generator."""
    minidl.manual_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(params=["numpy", "im2col", "fast"])
def engine(request):
    """Every engine in turn; its name."""
    if request.param == "fast":
        pytest.importorskip("numba")
    before = minidl.get_engine()
    minidl.set_engine(request.param)
    yield request.param
    minidl.set_engine(before)


@pytest.fixture(scope="session")
def ranked(tmp_path_factory):
    """What the checks of tests/ranked find on several ranks: ``ranked(ranks, name)``."""
    need_mpi()
    return Ranked(tmp_path_factory.mktemp("ranked"))


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch", reason="parity with PyTorch needs the extra 'parity'")


def idx_bytes(array):
    """An array as the content of an IDX file of unsigned bytes."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="session")
def fake_mnist(tmp_path_factory) -> Path:
    """A folder with the four MNIST files, small and made up: the label is where the bright stripe is."""
    folder = tmp_path_factory.mktemp("mnist")
    rng = np.random.default_rng(0)
    for part, count in (("train", 256), ("t10k", 128)):
        labels = rng.integers(0, 10, count)
        images = rng.integers(0, 30, (count, 28, 28))
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 4 : 2 * label + 6] = 255
        compressed = part == "train"
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            content = idx_bytes(array)
            path = folder / (f"{name}.gz" if compressed else name)
            path.write_bytes(gzip.compress(content) if compressed else content)
    return folder
