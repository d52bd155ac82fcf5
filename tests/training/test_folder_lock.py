"""One fit at a time in a folder: other threads, other processes, forked children, file systems without locks."""

import errno
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.training import Callback, ModelCheckpoint, Trainer
from minidl.training.checkpoint import read_checkpoint
from minidl.training.folder_lock import FolderLock

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")


def fit(folder, *more, resume=None, epochs=1):
    rng = np.random.default_rng(0)
    data = ArrayDataset(rng.standard_normal((8, 4)).astype(np.float32), rng.integers(0, 3, 8))
    minidl.manual_seed(0)
    model = nn.Linear(4, 3)
    callbacks = [*more, ModelCheckpoint(folder)]
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optim.SGD(model.params(), 0.1), callbacks=callbacks, progress="none"
    )
    return trainer.fit(DataLoader(data, 4), epochs=epochs, resume=resume)


class Meanwhile(Callback):
    """Do something while the fit runs; keep what it raised."""

    def __init__(self, what):
        self.what, self.error = what, None

    def on_batch_end(self, trainer):
        try:
            self.what()
        except Exception as error:
            self.error = error


def in_a_thread(what):
    caught = []

    def run():
        try:
            what()
        except Exception as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if caught:
        raise caught[0]


def other_process(folder, then="pass"):
    code = (
        "import sys, pathlib\nfrom minidl.training.folder_lock import FolderLock\n"
        f"lock = FolderLock(pathlib.Path(sys.argv[1]))\nprint('held', flush=True)\n{then}"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_second_fit_in_another_thread_is_refused(tmp_path):
    second = Meanwhile(lambda: in_a_thread(lambda: fit(tmp_path, resume=tmp_path)))
    fit(tmp_path, second)
    assert isinstance(second.error, RuntimeError)
    assert str(second.error) == (
        f"another fit is writing to {tmp_path}; wait until it has ended, or choose another folder"
    )
    assert len(read_checkpoint(tmp_path / "last.ckpt")["history"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.npz", "last.ckpt"]
    in_a_thread(lambda: FolderLock(tmp_path).release())  # it is free again


def test_a_fit_that_fails_lets_the_folder_go(tmp_path):
    fit(tmp_path)
    with pytest.raises(ValueError, match="holds the checkpoints of another fit"):
        fit(tmp_path)
    in_a_thread(lambda: FolderLock(tmp_path).release())


def test_the_thread_that_holds_it_may_hold_it_again(tmp_path):
    with FolderLock(tmp_path) as first, FolderLock(tmp_path / "." / ".." / tmp_path.name):
        first.release()
        first.release()
        with pytest.raises(RuntimeError, match="another fit"):
            in_a_thread(lambda: FolderLock(tmp_path))
    in_a_thread(lambda: FolderLock(tmp_path).release())


def test_another_process_holds_it_until_it_dies(tmp_path):
    with other_process(tmp_path, "import time; time.sleep(60)") as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RuntimeError, match="another fit is writing to"):
            FolderLock(tmp_path)
        other.kill()
        other.communicate()
    FolderLock(tmp_path).release()
    with FolderLock(tmp_path), other_process(tmp_path) as other:
        assert b"another fit is writing to" in other.communicate()[1]


@posix
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_children_neither_hold_nor_release_it(tmp_path):
    lock = FolderLock(tmp_path)
    begun, ended = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        lock.release()
        os.write(begun[1], b"x")
        os.read(ended[0], 1)
        os._exit(0)
    try:
        os.read(begun[0], 1)
        with other_process(tmp_path) as other:  # the child has released nothing
            assert b"another fit" in other.communicate()[1]
        lock.release()
        with other_process(tmp_path) as other:  # nor does it hold anything
            assert other.communicate()[0] == b"held\n"
    finally:
        os.write(ended[1], b"x")
        os.waitpid(child, 0)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="Linux")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_children_that_are_forked_while_a_folder_is_being_locked_hold_nothing(tmp_path):
    ended = threading.Event()

    def lock():
        while not ended.is_set():
            FolderLock(tmp_path).release()

    thread = threading.Thread(target=lock)
    thread.start()
    try:
        for _ in range(100):
            child = os.fork()
            if not child:
                mine = [os.readlink(f"/proc/self/fd/{number}") for number in range(3, 30) if _is_open(number)]
                os._exit(str(tmp_path) in mine)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        ended.set()
        thread.join()


def _is_open(number):
    return os.path.lexists(f"/proc/self/fd/{number}")


@posix
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_without_locks_fits_go_on(number, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    assert len(fit(tmp_path)) == 1
