"""Progress bars: tqdm's lock among processes is never made, and no bar where none is shown."""

import os
import subprocess
import sys
import threading
import time

import pytest

from minidl._core.bars import bar

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")

FIT = """
import os, signal, sys, threading, time
import numpy as np
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.training import Callback, Trainer

def fit(progress, *callbacks, epochs=2):
    model, x = nn.Linear(2, 1), np.zeros((8, 2), np.float32)
    trainer = Trainer(
        model, nn.MSELoss(), optim.SGD(model.params(), lr=0.1), callbacks=callbacks, progress=progress
    )
    loader = DataLoader(ArrayDataset(x, x[:, :1]), 2)
    trainer.fit(loader, loader, epochs=epochs)
    trainer.predict(x)
"""


def run(code, timeout=60):
    result = subprocess.run(
        [sys.executable, "-c", FIT + code], check=False, capture_output=True, text=True, timeout=timeout
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize("progress", ["none", "lines"])
def test_where_no_bar_is_shown_tqdm_is_not_even_imported(progress):
    assert run(f"fit({progress!r}); print('tqdm' in sys.modules)")[-1] == "False"


@pytest.mark.parametrize("progress", ["none", "lines", "bar"])
def test_multiprocessing_has_no_start_method_yet_after_a_fit(progress):
    code = f"""
fit({progress!r})
import multiprocessing
multiprocessing.set_start_method("spawn")
import tqdm
print(threading.active_count() if {progress!r} == "bar" else 1, hasattr(tqdm.tqdm, "_lock"))
"""
    assert run(code)[-1] == "1 False"


@forks
@pytest.mark.parametrize("progress", ["none", "bar"])
def test_a_forked_worker_that_is_killed_in_a_fit_leaves_nobody_waiting(progress):
    """Killed while it makes a bar or draws one: with tqdm's lock the parent would wait for ever."""
    code = f"""
fit({progress!r})
read, write = os.pipe()
child = os.fork()
if child == 0:
    def stop(*_):
        os.write(write, b"x")
        time.sleep(60)
    import tqdm.std
    for name in ("__init__", "close", "refresh"):  # called within the lock, or around it
        setattr(tqdm.std.tqdm, name, stop)
    class WeakSet:
        add = remove = __contains__ = __iter__ = stop
    tqdm.std.tqdm._instances = WeakSet()
    class Stop(Callback):
        on_batch_end = stop
    fit({progress!r}, Stop())
    os._exit(1)
os.read(read, 1)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
fit({progress!r})
print("done")
"""
    assert run(code)[-1] == "done"


@forks
def test_a_child_does_not_wait_for_a_thread_that_it_does_not_have():
    code = """
from minidl._core.bars import bar_class
fit("bar")
held, go = threading.Event(), threading.Event()
def hold():
    with bar_class().get_lock():
        held.set()
        go.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    fit("bar")
    os._exit(0)
deadline = time.monotonic() + 30
while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
    time.sleep(0.01)
if ended == (0, 0):
    os.kill(child, signal.SIGKILL)
go.set()
print(ended == (child, 0))
"""
    assert run(code)[-1] == "True"


def test_bars_of_a_program_that_uses_tqdm_itself_are_beside_ours():
    code = """
from tqdm import tqdm
from minidl._core.bars import bar, bar_class
with tqdm(range(3), desc="folds") as outer, bar(range(2), desc="epoch") as inner:
    print(outer.pos, abs(inner.pos), isinstance(outer, bar_class()), type(outer) is tqdm)
    fit("lines", epochs=1)
"""
    first, line = run(code)
    assert first == "0 1 False True"
    assert line.startswith("epoch 1/1")


def test_a_clock_that_is_set_back_neither_stops_a_bar_nor_gives_negative_times(capsys, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr("tqdm.std.time", lambda: 0.0)
    with bar(range(2), mininterval=0, file=sys.stderr) as shown:
        for _ in shown:
            time.sleep(0.02)
        assert shown.format_dict["elapsed"] >= 0.04


def test_threads_may_make_bars_together_and_no_thread_is_started(tmp_path):
    before = threading.active_count()

    def work(path):
        with path.open("w") as file:
            for _ in bar(range(50), file=file, mininterval=0):
                pass

    threads = [threading.Thread(target=work, args=(tmp_path / str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert threading.active_count() == before
    assert all("50/50" in (tmp_path / str(number)).read_text() for number in range(4))
