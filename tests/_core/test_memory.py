"""Recycled memory: never shared while anyone holds a view, given back when asked, bounded."""

import gc
import os
import signal
import threading
import time

import numpy as np
import pytest

from minidl import nn
from minidl._core import memory as _memory
from minidl._core.memory import empty, held, release
from minidl.engine import correlation as _correlation
from minidl.nn import conv

F4 = np.dtype(np.float32)
SHAPE = (64, 1024)


@pytest.fixture(autouse=True)
def clean():
    gc.collect()
    release()


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_only_when_the_last_view_is_gone():
    first = empty(SHAPE, F4)
    where = address(first)
    view = first[3:, ::2].T
    del first
    second = empty(SHAPE, F4)
    assert address(second) != where
    del view
    third = empty(SHAPE, F4)
    assert address(third) == where


def test_arrays_are_aligned_writable_and_of_the_asked_kind():
    for shape, dtype in (((300, 7, 33), F4), ((70000,), np.dtype(np.float64)), ((3, 4), F4), ((0, 5), F4)):
        array = empty(shape, dtype)
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.nbytes < _memory.SMALL or address(array) % 64 == 0


def test_outputs_of_two_forward_passes_do_not_share_memory():
    layer = nn.Conv2d(4, 8, 3)
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 16, 4, 20, 20)).astype(np.float32)
    first = layer(a)
    before = first.copy()
    for _ in range(3):
        layer(b)
    np.testing.assert_array_equal(first, before)


def test_memory_comes_back_after_an_exception():
    def fail():
        array = empty(SHAPE, F4)
        raise ValueError(array.shape)

    for _ in range(5):
        with pytest.raises(ValueError, match="64"):
            fail()
        gc.collect()
    assert held() <= 2 * np.prod(SHAPE) * 4


def test_the_pool_is_bounded_and_can_be_emptied(monkeypatch):
    monkeypatch.setattr(_memory, "CAP", 1_000_000)
    arrays = [empty(SHAPE, F4) for _ in range(10)]
    assert held() == 0
    arrays.clear()
    assert 0 < held() <= 1_000_000
    release()
    assert held() == 0


def test_a_module_that_goes_does_not_empty_the_pool_of_others():
    layer = nn.Conv2d(4, 8, 3)
    layer(np.zeros((16, 4, 30, 30), np.float32))
    gc.collect()
    assert held() > 0
    waiting = held()
    del layer
    gc.collect()
    assert held() >= waiting


def test_a_module_may_go_while_memory_is_taken():
    """The garbage collector can run anywhere, in `empty` too."""

    def collect_inside():
        with _memory._lock:
            release()

    thread = threading.Thread(target=collect_inside, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_threads_get_memory_of_their_own():
    problems = []

    def work(value):
        for _ in range(300):
            array = empty(SHAPE, F4)
            array.fill(value)
            if (array != value).any():
                problems.append(value)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


@pytest.mark.parametrize("workspace", [1, 3000, 20_000])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 2), (1, 2, 2), (3, 2, 2)])
def test_the_size_of_the_workspace_does_not_change_the_result(workspace, stride, dilation, groups, monkeypatch):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((5, 16, 11, 10)), rng.standard_normal((6, 16 // groups, 3, 3))
    options = {"stride": stride, "padding": 2, "dilation": dilation, "groups": groups}

    def run():
        out, cache = conv.conv2d_forward(x, w, **options)
        return [out, *conv.conv2d_backward(np.cos(out), cache)[:2]]

    expected = run()
    monkeypatch.setattr(_correlation, "WORKSPACE", workspace)
    for piecewise, whole in zip(run(), expected, strict=True):
        np.testing.assert_allclose(piecewise, whole, rtol=1e-11, atol=1e-11)


def test_a_large_batch_needs_no_more_than_the_workspace_beyond_its_output(monkeypatch):
    taken = []
    original = _memory.empty

    def counting(shape, dtype):
        array = original(shape, dtype)
        taken.append(array.nbytes)
        return array

    monkeypatch.setattr(_memory, "empty", counting)
    monkeypatch.setattr(_correlation, "WORKSPACE", 2**20)
    x, w = np.zeros((2000, 8, 12, 12), np.float32), np.zeros((8, 8, 3, 3), np.float32)
    out, cache = conv.conv2d_forward(x, w)
    assert sorted(taken)[-1] == out.nbytes
    assert sorted(taken)[-2] <= 2**20
    conv.conv2d_backward(out, cache, needs_input_grad=False)
    assert sorted(taken)[-2] <= 2**20


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork beside threads, from Python 3.12 on
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_memory_of_its_own():
    """Large buffers are mapped; a mapping that is shared would be one memory for both processes."""
    shape = (2 * 2**20,)
    lent = empty(shape, F4)
    lent[...] = 1
    free = empty(shape, F4)
    del free  # waits in the pool of both
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            lent[...] = 2
            taken = empty(shape, F4)
            taken[...] = 3
            os.write(writer, b"x")
            time.sleep(0.2)
            os.write(writer, bytes([int(taken.min()), int(taken.max())]))
        finally:
            os._exit(0)
    os.read(reader, 1)
    mine = empty(shape, F4)
    mine[...] = 4
    assert lent.min() == lent.max() == 1
    assert os.read(reader, 2) == bytes([3, 3])
    assert mine.min() == mine.max() == 4
    os.waitpid(child, 0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork beside threads, from Python 3.12 on
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_while_another_thread_holds_the_lock():
    holding, done = threading.Event(), threading.Event()

    def hold():
        with _memory._lock:
            holding.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait()
    child = os.fork()
    if not child:
        signal.alarm(5)  # a child that hangs is killed
        empty((2**20,), F4)
        release()
        os._exit(0)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
