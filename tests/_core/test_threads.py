"""Threads: the same result for every number of them, errors that come through, BLAS left as it was."""

import _thread
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl._core import threads as _threads


@pytest.fixture(autouse=True)
def restore():
    before = _threads._state.threads
    yield
    _threads._state.threads = before


def train(threads, dtype=np.float32):
    """Three steps of a net whose every layer is cut into several pieces; all it leads to."""
    minidl.set_num_threads(threads)
    minidl.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 3, stride=2), nn.Dropout(0.3), nn.Flatten(), nn.Linear(1568, 256), nn.Linear(256, 10)),
    ).astype(dtype)
    loss_fn, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.05, momentum=0.9)
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((64, 3, 32, 32)).astype(dtype), rng.integers(0, 10, 64)
    results = []
    for _ in range(3):
        optimizer.zero_grad()
        results.append(loss_fn(model(x), labels))
        results.append(model.backward(loss_fn.backward()))
        optimizer.step()
    return [*results, *model.state_dict().values()]


@pytest.mark.parametrize("engine", ["numpy", "fast"], indirect=True)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_bits_for_every_number_of_threads(dtype, engine, monkeypatch):
    shared = []
    original = _threads._employ
    monkeypatch.setattr(_threads, "_employ", lambda *args: (shared.append(1), original(*args))[1])
    alone = train(1, dtype)
    assert not shared
    for threads in (2, 3):
        for one, many in zip(alone, train(threads, dtype), strict=True):
            np.testing.assert_array_equal(one, many)
    assert shared


def test_the_pieces_cover_everything_once():
    for count, size in ((10, 3), (7, 7), (1, 5), (0, 4), (12, 0), (5, 1)):
        parts = _threads.cut(count, size)
        assert [n for part in parts for n in range(count)[part]] == list(range(count))
        assert all(part.stop - part.start <= max(1, size) for part in parts)


def test_results_come_in_the_order_of_the_pieces():
    minidl.set_num_threads(4)
    assert _threads.run(lambda n: n * n, list(range(50))) == [n * n for n in range(50)]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("failing", [0, 5, 19])
def test_an_error_in_any_piece_comes_through(threads, failing):
    minidl.set_num_threads(threads)

    def work(n):
        if n == failing:
            raise KeyError("this piece")
        return n

    with pytest.raises(KeyError, match="this piece"):
        _threads.run(work, list(range(20)))
    assert _threads.run(lambda n: n, [1, 2, 3]) == [1, 2, 3]


def test_the_callers_errstate_holds_in_all_threads():
    minidl.set_num_threads(3)
    barrier = threading.Barrier(3, timeout=10)

    def work(n):
        if n < 3:
            barrier.wait()  # three threads are at work
        np.float32(1) / np.zeros(4, np.float32)

    with np.errstate(divide="ignore"):
        _threads.run(work, list(range(12)))
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        _threads.run(work, list(range(3, 12)))


def test_blas_has_its_threads_back_afterwards():
    before = _threads.blas_threads()
    train(2)
    assert _threads.blas_threads() == before
    if before is None:
        return
    with pytest.raises(KeyError), _threads.one_blas_thread:
        assert _threads.find_blas().get() == 1
        assert _threads.blas_threads() == before
        raise KeyError
    assert _threads.find_blas().get() == before


def test_a_thread_that_was_kept_from_leaving_leaves_with_its_next_pass():
    before = _threads.blas_threads()
    _threads.one_blas_thread.__enter__()  # as an interrupt can leave it
    nn.Linear(2, 2)(np.ones((1, 2), np.float32))
    assert not _threads._state.inside
    assert before is None or _threads.find_blas().get() == before


@pytest.mark.parametrize("interrupted", [0, 10])
def test_an_interrupt_is_raised_at_once_and_the_next_run_is_right(interrupted):
    minidl.set_num_threads(3)

    def work(n):
        if n == interrupted and threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        return n

    for _ in range(20):
        with contextlib.suppress(KeyboardInterrupt):
            assert _threads.run(work, list(range(30))) == list(range(30))
        assert _threads.run(lambda n: -n, list(range(30))) == [-n for n in range(30)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_written_once_it_is_raised(error):
    minidl.set_num_threads(3)
    written = []
    both = threading.Barrier(3, timeout=10)

    def work(n):
        both.wait()  # three threads are at work
        if threading.current_thread() is threading.main_thread():
            raise error
        time.sleep(0.05)
        written.append(n)

    with pytest.raises(error):
        _threads.run(work, list(range(30)))
    assert len(written) == 2
    time.sleep(0.1)
    assert len(written) == 2


def test_a_second_interrupt_while_waiting_changes_nothing():
    minidl.set_num_threads(2)
    written = []
    both = threading.Barrier(2, timeout=10)

    def work(n):
        both.wait()
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        for _ in range(3):
            time.sleep(0.03)
            _thread.interrupt_main()
        written.append(n)

    with pytest.raises(KeyboardInterrupt):
        _threads.run(work, list(range(10)))
    assert len(written) == 1


@pytest.mark.parametrize("started", [0, 1])
def test_where_no_thread_can_be_started_those_that_there_are_do_the_work(started, monkeypatch):
    minidl.set_num_threads(4)
    monkeypatch.setattr(_threads, "_state", _threads._State())
    _threads._state.threads = 4
    start, count = threading.Thread.start, iter(range(100))

    def refuse(self):
        if next(count) >= started:
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    big = np.ones(1000)
    kept = weakref.ref(big)
    for _ in range(3):
        assert _threads.run(lambda n, big=big: n + big[0], list(range(30))) == [n + 1 for n in range(30)]
    assert _threads._state.workers == started
    del big
    deadline = time.monotonic() + 5
    while kept() is not None and time.monotonic() < deadline:  # a worker that was late holds it for a moment
        time.sleep(0.01)
    assert kept() is None


def test_threads_of_the_users_leave_blas_as_it_was():
    before = _threads.blas_threads()
    blas = _threads.find_blas()
    if blas is None or before == 1 or blas.by_thread:
        pytest.skip("BLAS has one thread, or cannot tell")
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def enter_and_leave():
        for _ in range(3000):
            with _threads.one_blas_thread:
                pass

    try:
        users = [threading.Thread(target=enter_and_leave) for _ in range(4)]
        for user in users:
            user.start()
        for user in users:
            user.join()
    finally:
        sys.setswitchinterval(switch)
    assert blas.get() == before
    assert not _threads._state.inside


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers on this system")
def test_interrupts_at_random_moments_leave_everything_usable():
    code = """
import random, signal, sys
import numpy as np, minidl
from minidl import nn
from minidl._core import memory as _memory, threads as _threads
minidl.set_num_threads(2)
signal.signal(signal.SIGALRM, signal.default_int_handler)
random.seed(0)
model = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4096, 8))
x = np.ones((64, 8, 32, 32), np.float32)
expected = model(x)
count = 0
for _ in range(250):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(5e-4, 4e-3))
        while True:
            model.backward(model(x))
    except KeyboardInterrupt:
        count += 1
signal.setitimer(signal.ITIMER_REAL, 0)
assert (model(x) == expected).all() and not _threads._state.inside
print(count)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "250"
    assert "ignored" not in result.stderr


def test_several_threads_of_the_users_can_use_it_at_once():
    minidl.set_num_threads(2)
    expected, results = train(2), {}
    users = [threading.Thread(target=lambda n=n: results.update({n: predict()})) for n in range(4)]

    def predict():
        layer = nn.Conv2d(16, 32, 3, rng=np.random.default_rng(1))
        return layer(np.ones((32, 16, 20, 20), np.float32))

    for user in users:
        user.start()
    for user in users:
        user.join()
    for n in range(4):
        np.testing.assert_array_equal(results[n], results[0])
    assert len(expected) > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_can_go_on():
    code = (
        "import os, numpy as np, minidl; from minidl import nn; minidl.set_num_threads(2); "
        "layer = nn.Conv2d(16, 32, 3); x = np.ones((64, 16, 32, 32), np.float32); a = layer(x); pid = os.fork(); "
        "b = layer(x); ok = bool((a == b).all()); pid or os._exit(0 if ok else 1); print(os.waitpid(pid, 0)[1], ok)"
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.strip() == "0 True"


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError)])
def test_a_wrong_number_of_threads_is_refused(value, error):
    before = minidl.get_num_threads()
    with pytest.raises(error, match="set_num_threads: n must be"):
        minidl.set_num_threads(value)
    assert minidl.get_num_threads() == before


def test_the_default_respects_blas_affinity_and_quota(monkeypatch):
    for blas, usable, quota, expected in (
        (8, 4, None, 4),
        (8, 4, 1.5, 2),
        (1, 4, None, 1),
        (8, 4, 0.2, 1),
        (None, 4, None, 1),
    ):
        monkeypatch.setattr(_threads, "blas_threads", lambda blas=blas: blas)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=usable: set(range(n)), raising=False)
        monkeypatch.setattr(_threads, "cpu_quota", lambda quota=quota: quota)
        _threads._state.threads = None
        assert minidl.get_num_threads() == expected


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_the_containers_quota_is_read(files, quota, tmp_path):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert _threads.cpu_quota(tmp_path) == quota
