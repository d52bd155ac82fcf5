"""The fast engine's machine code: kept on disk for other processes, read only where nobody else could have written."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minidl

numba = pytest.importorskip("numba")

cache = pytest.importorskip("minidl.engine.fast.cache")
compiled = pytest.importorskip("minidl.engine.fast.compiled")

# ReLU and its slope by the compiled engine, twice as many numbers as one thread takes alone; what was compiled
STEP = """
import sys, numpy as np, minidl
from minidl import nn
minidl.set_engine("fast")
import numba.core.event as event
with event.install_recorder("numba:compile") as compiled:
    x = np.linspace(-1, 1, 10**6, dtype=np.float32)
    assert np.array_equal(nn.ReLU()(x), np.maximum(x, 0))
print("compiled", len(compiled.buffer) // 2)
"""


def python(code, caches, **variables):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(caches), **variables}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, timeout=120
    )
    return result.stdout.strip(), result.stderr.strip()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder in which this test's files are kept; it does not exist yet."""
    path = tmp_path / "minidl" / "fast-0123456789abcdef"
    monkeypatch.setattr(cache, "place", lambda: path)
    monkeypatch.setattr(cache, "_complaints", [])
    return path


def test_a_second_process_compiles_nothing_and_the_installation_is_left_alone(tmp_path):
    before = set(Path(minidl.__file__).parent.rglob("*.nb?"))
    assert python(STEP, tmp_path) == ("compiled 1", "")
    kept = list(tmp_path.rglob("*.*"))
    assert len(kept) == 1
    assert python(STEP, tmp_path) == ("compiled 0", "")
    assert set(Path(minidl.__file__).parent.rglob("*.nb?")) == before
    if os.name == "posix":
        assert {path.stat().st_mode & 0o077 for path in (kept[0], kept[0].parent)} == {0}

    content = kept[0].read_bytes()
    kept[0].write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
    assert python(STEP, tmp_path) == ("compiled 1", "")  # the damaged file is replaced
    assert python(STEP, tmp_path) == ("compiled 0", "")
    assert len(list(tmp_path.rglob("*.*"))) == 1


def test_the_functions_of_others_are_cached_where_they_say(tmp_path):
    (tmp_path / "own.py").write_text("import numba\n@numba.njit(cache=True)\ndef own(x):\n    return x + 1\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {STEP}\nimport own; own.own(1)"
    python(f"import os; os.environ.pop('NUMBA_CACHE_DIR'); {code}", "", XDG_CACHE_HOME=str(tmp_path / "caches"))
    assert len(list((tmp_path / "__pycache__").glob("own*.nb?"))) == 2
    if sys.platform == "linux":
        assert len(list((tmp_path / "caches" / "minidl").glob("fast-*/*"))) == 1


def test_damage_of_any_kind_counts_as_missing(folder):
    cache._write("name", b"content" * 100)
    path, draw = folder / "name", random.Random(0)
    whole = path.read_bytes()
    assert cache._read("name") == b"content" * 100
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        assert cache._read("name") is None
        path.write_bytes(whole[: draw.randrange(len(whole))])
        assert cache._read("name") is None
    (folder / "other").write_bytes(whole)  # of another function
    assert cache._read("other") is None


def refused(capsys, text):
    """Whether nothing is read or written, and a line says why; once."""
    for _ in range(2):
        assert cache._attempt(cache._read, "name") is None
        cache._attempt(cache._write, "name", b"new")
    err = capsys.readouterr().err
    return text in err and err.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="rights of folders as POSIX has them")
class TestRights:
    def test_others_may_write_to_the_folder(self, folder, capsys):
        cache._write("name", b"old")
        folder.chmod(0o720)
        assert refused(capsys, f"not kept for other processes: others may write to {folder}")

    def test_others_may_write_to_a_file(self, folder, capsys):
        cache._write("name", b"old")
        (folder / "name").chmod(0o602)
        assert cache._attempt(cache._read, "name") is None
        assert f"others may write to {folder / 'name'}" in capsys.readouterr().err

    def test_the_folder_is_somebody_elses(self, folder, capsys, monkeypatch):
        cache._write("name", b"old")
        own = os.geteuid()
        monkeypatch.setattr(cache, "os", SimpleNamespace(**{**vars(os), "geteuid": lambda: own + 1}))
        if own:
            assert refused(capsys, f"{folder} belongs to another user")
        else:  # what the administrator has put there is trusted
            assert cache._read("name") == b"old"

    def test_the_folder_is_a_link(self, folder, capsys, tmp_path):
        cache._write("name", b"old")
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
        assert refused(capsys, f"{folder} is a link or a file")

    def test_the_administrator_does_not_trust_users(self, monkeypatch):
        monkeypatch.setattr(cache, "os", SimpleNamespace(**{**vars(os), "geteuid": lambda: 0}))
        with pytest.raises(PermissionError, match="belongs to another user"):
            cache._check_owner(Path("x"), SimpleNamespace(st_uid=1000, st_mode=0o40700))


def test_a_place_that_cannot_be_written(folder, capsys):
    folder.parent.write_text("a file")
    assert refused(capsys, "not kept for other processes")


def test_a_full_disk_leaves_nothing_behind(folder, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    cache._write("name", b"old")
    monkeypatch.setattr(cache, "_digest", full)
    cache._attempt(cache._write, "other", b"new")
    assert "No space left on device" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["name"]


def test_a_user_without_a_home(capsys, monkeypatch):
    monkeypatch.setattr(cache, "place", lambda: None)
    monkeypatch.setattr(cache, "_complaints", [])
    assert refused(capsys, "there is no home folder; NUMBA_CACHE_DIR names another place")


def test_the_folder_vanishes_while_a_process_runs(folder):
    cache._write("name", b"old")
    (folder / "name").unlink()
    folder.rmdir()
    assert cache._read("name") is None
    cache._write("name", b"new")
    assert cache._read("name") == b"new"


def test_folders_of_other_versions_are_removed_when_they_are_old(folder):
    old, recent, foreign = (folder.parent / name for name in ("fast-" + "a" * 16, "fast-" + "b" * 16, "fast-notes"))
    for path in (old, recent, foreign):
        path.mkdir(parents=True, mode=0o700)
        (path / "file").touch()
    for path in (old, foreign):
        os.utime(path, (0, time.time() - 40 * 24 * 3600))
    cache._write("name", b"x")
    assert sorted(path.name for path in folder.parent.iterdir()) == sorted([folder.name, recent.name, foreign.name])


def test_another_source_has_another_folder(tmp_path, monkeypatch):
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / "loops.py").write_text("a = 1")
    (tmp_path / "erf.py").write_text("b = 1")
    monkeypatch.setattr(cache.resources, "files", lambda _: tmp_path)
    names = {cache._version()}
    for path, text in (("fast/loops.py", "a = 2"), ("erf.py", "b = 2")):
        (tmp_path / path).write_text(text)
        names.add(cache._version())
    monkeypatch.setattr(numba, "__version__", "0")
    names.add(cache._version())
    assert len(names) == 4


def test_two_processes_at_once(tmp_path):
    results = []
    threads = [threading.Thread(target=lambda: results.append(python(STEP, tmp_path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert {err for _, err in results} == {""}
    assert python(STEP, tmp_path) == ("compiled 0", "")


def event(ours=True):
    kept = cache.Cache(python) if ours else None
    return SimpleNamespace(data={"dispatcher": SimpleNamespace(_cache=kept)})


def test_it_says_so_once_when_compiling_takes_long(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(compiled, "time", SimpleNamespace(monotonic=lambda: now[0]))
    patience = compiled._Patience()
    for seconds in (0.4, 0.4):
        patience.on_start(event())
        patience.on_start(event())  # one that the first calls
        now[0] += seconds
        patience.on_end(event())
        patience.on_end(event())
        now[0] += 100  # not spent on compiling
    patience.on_start(event(ours=False))
    now[0] += 10
    patience.on_end(event(ours=False))
    assert capsys.readouterr().err == ""
    patience.on_start(event())
    now[0] += 0.3
    patience.on_end(event())
    patience.on_start(event())
    captured = capsys.readouterr()
    assert captured.err == "minidl: compiling the fast engine for this machine, once ...\n"
    assert captured.out == ""


def test_without_numbas_compiler(tmp_path):
    code = "import minidl\ntry:\n    minidl.set_engine('fast')\nexcept ImportError as error:\n    print(error)"
    assert "NUMBA_DISABLE_JIT turns off" in python(code, tmp_path, NUMBA_DISABLE_JIT="1")[0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there Ctrl-C cannot be sent to one process")
def test_ctrl_c_while_compiling_leaves_nothing_broken(tmp_path):
    code = """
import os, signal, threading, time, numpy as np, minidl
from minidl import nn
layer = nn.Conv2d(3, 4, 3)
x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
want = layer(x)
minidl.set_engine("fast")
interrupted = 0
for seconds in (0.1, 0.4, 0.9):
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        layer(x)
        timer.join()
    except KeyboardInterrupt:
        interrupted += 1
print(interrupted > 0, np.allclose(layer(x), want, atol=1e-5))
"""
    assert python(code, tmp_path)[0] == "True True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_fork_after_the_first_use(engine):
    layer, x = minidl.nn.ReLU(), np.linspace(-1, 1, 10**6, dtype=np.float32)
    want = layer(x)
    child = os.fork()
    if not child:
        os._exit(
            0
            if np.array_equal(layer(x), want) and np.array_equal(minidl.nn.SiLU()(x[:9]), minidl.nn.SiLU()(x[:9]))
            else 1
        )
    for _ in range(600):
        if (done := os.waitpid(child, os.WNOHANG))[0]:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
    assert done[1] == 0


def test_threads_that_come_to_the_first_call_at_once(tmp_path):
    code = """
import threading, numpy as np, minidl
from minidl import nn
minidl.set_engine("fast")
x, results = np.linspace(-1, 1, 10**6, dtype=np.float32), []
def work():
    results.append(nn.LeakyReLU()(x))
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(results), all(np.array_equal(one, results[0]) for one in results))
"""
    assert python(code, tmp_path) == ("4 True", "")
