"""Writing files: whole ones at any moment, whoever else writes, and whatever was planted beside them."""

import contextlib
import os
import stat
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl._core import remove_leftovers, write_atomically
from minidl.data import ArrayDataset, DataLoader
from minidl.training import Callback, History, ModelCheckpoint, Trainer
from minidl.training.callbacks import CSVLogger

posix = pytest.mark.skipif(os.name != "posix", reason="links and permissions as POSIX has them")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fit(folder, *callbacks, **options):
    model = nn.Linear(2, 1)
    x = np.zeros((4, 2), np.float32)
    trainer = Trainer(
        model,
        nn.MSELoss(),
        minidl.optim.SGD(model.params(), lr=0.1),
        callbacks=[ModelCheckpoint(folder), *callbacks],
        progress="none",
    )
    return trainer.fit(DataLoader(ArrayDataset(x, x[:, :1]), 2), epochs=1, **options)


@posix
def test_a_link_planted_under_any_guessed_name_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    run = tmp_path / "run"
    run.mkdir()

    class Planter(Callback):  # during the fit, which begins with tidying up
        def on_epoch_start(self, trainer):
            for name in ("last.new", "best.npz", "history.csv", "last.ckpt", "previous.ckpt"):
                (run / name).symlink_to(victim)
                (run / f".{name}.{os.getpid()}.partial").symlink_to(victim)

    fit(run, CSVLogger(run / "history.csv"), Planter())
    assert victim.read_text() == "mine"
    assert not any((run / name).is_symlink() for name in ("last.ckpt", "best.npz", "history.csv"))


@posix
def test_a_name_that_is_guessed_after_all_is_refused_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "urandom", lambda count: b"\0" * count)
    (tmp_path / f".m.npz.{'00' * 8}.partial").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError, match=r"m\.npz'$"):
        minidl.save(nn.Linear(2, 1), tmp_path / "m.npz")
    assert names(tmp_path) == [f".m.npz.{'00' * 8}.partial"]


def test_threads_that_save_one_path_leave_one_of_the_files(tmp_path):
    contents = [bytes([number]) * 200_000 for number in range(6)]
    failed = []

    def save(content):
        try:
            for _ in range(20):
                write_atomically(tmp_path / "file", content)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=save, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with contextlib.suppress(FileNotFoundError):  # before the first is there
            assert (tmp_path / "file").read_bytes() in contents
    if os.name == "posix":  # Windows refuses to rename onto a file that is being renamed
        assert not failed
    assert (tmp_path / "file").read_bytes() in contents
    assert names(tmp_path) == ["file"]


@posix
def test_permissions_are_those_of_a_new_file_or_of_the_old_one(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"new")
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
        (tmp_path / "file").chmod(0o604)
        write_atomically(tmp_path / "file", b"newer")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o604
    assert (tmp_path / "file").read_bytes() == b"newer"


@posix
def test_a_link_of_the_users_own_stays_and_its_file_is_written(tmp_path):
    (tmp_path / "disk").mkdir()
    for name in ("m.npz", "new.npz", "h.csv"):
        (tmp_path / name).symlink_to(Path("disk") / name)
    (tmp_path / "disk" / "m.npz").write_bytes(b"old")
    minidl.save(nn.Linear(2, 1), tmp_path / "m.npz")
    minidl.save({"epoch": 3}, tmp_path / "new.npz")  # it leads to a file that does not exist yet
    History().to_csv(tmp_path / "h.csv")
    assert names(tmp_path / "disk") == ["h.csv", "m.npz", "new.npz"]
    assert all((tmp_path / name).is_symlink() for name in ("m.npz", "new.npz", "h.csv"))
    assert minidl.load(tmp_path / "disk" / "new.npz") == {"epoch": 3}


@posix
def test_links_in_a_circle_are_an_error(tmp_path):
    (tmp_path / "a.npz").symlink_to("b.npz")
    (tmp_path / "b.npz").symlink_to("a.npz")
    with pytest.raises(OSError, match=r"a\.npz"):
        minidl.save(nn.Linear(2, 1), tmp_path / "a.npz")


@posix
def test_the_file_then_the_folder_are_on_the_disk_before_it_returns(tmp_path, monkeypatch):
    done = []
    sync, rename = os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda n: (done.append("folder" if stat.S_ISDIR(os.fstat(n).st_mode) else "file"), sync(n))
    )
    monkeypatch.setattr(Path, "replace", lambda self, path: (done.append("rename"), rename(self, path)))
    write_atomically(tmp_path / "file", b"x")
    assert done == ["file", "rename", "folder"]


def test_only_what_killed_processes_have_left_of_this_file_is_deleted(tmp_path):
    dead, others = (
        f".last.new.{'a1' * 8}.partial",
        [
            f".best.npz.{'a1' * 8}.partial",
            f"last.new.{'a1' * 8}.partial",
            f".last.new.{'A1' * 8}.partial",
            ".last.new.partial",
            ".notes.partial",
            "last.new",
        ],
    )
    for name in (dead, *others):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / f".last.new.{'b2' * 8}.partial").mkdir()
    remove_leftovers(tmp_path / "last.new")
    assert names(tmp_path) == sorted([*others, f".last.new.{'b2' * 8}.partial"])
    remove_leftovers(tmp_path / "none" / "last.new")  # there is no such folder yet


def test_model_checkpoint_leaves_foreign_partial_files_alone(tmp_path):
    foreign = [".download.partial", ".notes.txt.123.partial", f".other.npz.{'a1' * 8}.partial"]
    for name in (*foreign, f".last.new.{'a1' * 8}.partial", f".best.npz.{'a1' * 8}.partial"):
        (tmp_path / name).write_bytes(b"x")
    fit(tmp_path)
    assert [name for name in names(tmp_path) if name.endswith(".partial")] == foreign


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from minidl._core import writing
def wait(*_):
    print("writing", flush=True)
    sys.stdin.read()
writing.os.fsync = wait
writing.write_atomically(Path(sys.argv[1]), b"x" * 100_000)
"""


@posix
def test_a_file_that_another_process_is_writing_is_no_leftover_until_it_is_killed(tmp_path):
    path = tmp_path / "last.new"
    command = [sys.executable, "-c", WRITE_FOR_EVER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"writing\n"
        remove_leftovers(path)
        assert len(names(tmp_path)) == 1
        writer.kill()
        writer.wait()
    assert len(names(tmp_path)) == 1
    remove_leftovers(path)
    assert names(tmp_path) == []


def test_a_long_name_leaves_room_for_the_temporary_one(tmp_path):
    name = "ä" * 110 + "." * 31 + ".npz"
    minidl.save(nn.Linear(2, 1), tmp_path / name)
    assert names(tmp_path) == [name]
    (tmp_path / f".{name[:50]}.{'a1' * 8}.partial").write_bytes(b"x")
    remove_leftovers(tmp_path / name)
    assert names(tmp_path) == [name]


def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_nothing(tmp_path, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*m\.npz'") as caught:
        minidl.save(nn.Linear(2, 1), tmp_path / "m.npz")
    assert caught.value.errno == 28
    assert names(tmp_path) == []


@pytest.mark.parametrize("year", [1970, 1979, 2200])
def test_the_clock_may_say_anything_and_files_are_the_same_at_any_time(tmp_path, monkeypatch, year):
    minidl.save({"epoch": 3, "w": np.ones(2)}, tmp_path / "now.npz")
    monkeypatch.setattr(time, "localtime", lambda *_: time.struct_time((year, 1, 1, 0, 0, 0, 3, 1, 0)))
    minidl.save({"epoch": 3, "w": np.ones(2)}, tmp_path / "then.npz")
    assert (tmp_path / "now.npz").read_bytes() == (tmp_path / "then.npz").read_bytes()
    fit(tmp_path / "run")
    fit(tmp_path / "run", resume=tmp_path / "run")
    with zipfile.ZipFile(tmp_path / "run" / "last.ckpt") as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {1980}
