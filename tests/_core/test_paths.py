"""Paths that a user gives: "~" is expanded wherever one is taken, and what cannot be a path is told."""

import ast
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from idx_files import IDX

import minidl
from minidl import data, models, nn, optim
from minidl._core import user_path
from minidl.cli import main
from minidl.data import ArrayDataset, DataLoader
from minidl.training import History, ModelCheckpoint, Trainer
from minidl.training.callbacks import CSVLogger, TensorBoardLogger
from minidl.training.checkpoint import latest_checkpoint, read_checkpoint, set_damaged_aside, write_checkpoint


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with a folder for each kind of file; the working folder is another one."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path / "home"
    assert not list((tmp_path / "work").iterdir())  # no folder that is named "~"


def test_the_home_is_put_in(home):
    assert user_path("~") == user_path(Path("~")) == home
    assert user_path("~/a/b") == user_path(Path("~/a/b")) == home / "a" / "b"
    pwd = pytest.importorskip("pwd")
    own = pwd.getpwuid(os.getuid())
    assert user_path(f"~{own.pw_name}/a") == Path(own.pw_dir) / "a"


def test_what_is_no_home_stays_as_it_is(home):
    for text in ("a", "a/~", "/a/~b/c", ".", "..", "", "a b/ö"):
        assert user_path(text) == Path(text)
    assert user_path("./~b") == user_path(user_path("./~b")) == Path.cwd() / "~b"


def test_a_user_who_does_not_exist_is_named(home):
    with pytest.raises(
        ValueError, match=r"the path ~nobody-here/a begins with ~nobody-here, but there is no such user"
    ):
        user_path("~nobody-here/a")
    with pytest.raises(ValueError, match=r"a file of that name is \./~weights.npz"):
        minidl.save(nn.Linear(1, 1), "~weights.npz")


@pytest.mark.parametrize("text", ["C:\temp\new", "a\nb", "\\\bata", "data\x00", "C:\x0cashion"])
def test_control_characters_are_told_by_their_cause(text):
    for call in (
        lambda: minidl.load(nn.Linear(1, 1), f"{text}.npz"),
        lambda: data.ImageFolder(text),
        lambda: data.load_mnist(text),
        lambda: data.load_cifar10(text),
        lambda: data.read_idx(text),
        lambda: ModelCheckpoint(text),
        lambda: CSVLogger(text),
    ):
        with pytest.raises(
            ValueError, match="holds control characters: a backslash in double quotes is an escape"
        ) as error:
            call()
        assert repr(text)[1:-1] in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            'root = "C:\\temp\\new"',
            r"--root: the path 'C:\\temp\\new' holds control characters: .* in single quotes in a",
        ),
        (
            'root = "C:\\Users\\me"',
            r"is not a TOML file: .*; a path with backslashes goes into single quotes, or is written w",
        ),
        (
            'root = "D:\\data"',
            r"is not a TOML file: .*; a path with backslashes goes into single quotes, or is written with /",
        ),
        ("root = 'C:\\temp\\new'", r"load_mnist: there is no folder (.*/)?C:\\temp\\new"),
        ("epochs = ", r"is not a TOML file: [^;]*$"),
    ],
)
def test_backslashes_in_a_toml_file(line, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text(f'data = "mnist"\n{line}\n')
    assert main(["train", "--config", "config.toml"]) == 2
    assert re.search(message, capsys.readouterr().err.strip())


DATA = ArrayDataset(np.zeros((4, 1, 8, 8), np.float32), np.arange(4))


def fit(*callbacks, **options):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    optimizer = optim.SGD(model.params(), 0.1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks, progress="none")
    trainer.fit(DataLoader(DATA, 2), **options)


def save_and_load(name):
    minidl.save(nn.Linear(1, 1), name)
    minidl.load(nn.Linear(1, 1), name)


def export_and_import(name):
    pytest.importorskip("onnx")
    minidl.export_onnx(models.digits_cnn(), name, (1, 1, 8, 8))
    minidl.interop.from_onnx(name)


def resume(name):
    fit(ModelCheckpoint(name), epochs=1)
    fit(ModelCheckpoint(name), epochs=2, resume=name)
    assert len(latest_checkpoint(name)[0]["history"]) == 2


def checkpoints(name):
    write_checkpoint(name, {"a": 1})
    assert read_checkpoint(name) == {"a": 1}


def damaged(name):
    (Path.home() / "run").mkdir()
    (Path.home() / "run" / "last.ckpt").write_bytes(b"")
    set_damaged_aside(name)
    assert (Path.home() / "run" / "last.ckpt.damaged").exists()


def images(name):
    image = pytest.importorskip("PIL.Image").new("L", (2, 2))
    for number in range(10):
        path = Path.home() / "pictures" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    assert len(data.ImageFolder(name)) == len(data.ImageFolder(Path(name))) == 10
    assert data.read_image(f"{name}/a/0.png", channels=1).shape == (1, 2, 2)


def mnist(name):
    IDX["mnist"].write(Path.home() / "mnist")
    assert len(data.load_mnist(name)[0]) == 90
    assert data.read_idx(f"{name}/train-labels-idx1-ubyte.gz").shape == (90,)


def cifar(name):
    for part in (*range(1, 6), "test"):
        path = Path.home() / "cifar" / (f"data_batch_{part}.bin" if part != "test" else "test_batch.bin")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(3073))
    assert len(data.load_cifar10(name)[0]) == 5


ENTRIES = {  # what takes a path, the path, and what it makes in the home
    "save, load": (save_and_load, "~/weights.npz", "weights.npz"),
    "export_onnx, from_onnx": (export_and_import, "~/model.onnx", "model.onnx"),
    "History.to_csv": (lambda name: History().to_csv(name), "~/history.csv", "history.csv"),
    "CSVLogger": (lambda name: fit(CSVLogger(name)), "~/history.csv", "history.csv"),
    "TensorBoardLogger": (lambda name: fit(TensorBoardLogger(name)), "~/board", "board"),
    "ModelCheckpoint, resume": (resume, "~/run", "run/best.npz"),
    "write_checkpoint, read_checkpoint": (checkpoints, "~/a.ckpt", "a.ckpt"),
    "set_damaged_aside": (damaged, "~/run", "run"),
    "ImageFolder, read_image": (images, "~/pictures", "pictures"),
    "load_mnist, read_idx": (mnist, "~/mnist", "mnist"),
    "load_cifar10": (cifar, "~/cifar", "cifar"),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_every_function_that_takes_a_path_expands_it(name, home):
    if name == "TensorBoardLogger":
        pytest.importorskip("tensorboardX")
    call, path, made = ENTRIES[name]
    call(path)
    assert (home / made).exists()


@pytest.mark.parametrize("name", [n for n in data.__all__ if n.startswith("load_") and n != "load_digits"])
def test_every_loader_looks_in_the_home(name, home):
    with pytest.raises(FileNotFoundError, match=f"{home / 'nothing-there'}"):
        getattr(data, name)("~/nothing-there")


def test_the_commands_expand_every_path(home, capsys):
    """The shell does it only where "~" begins a word: not in --root=~/data, in a file, or in quotes."""
    images("~/pictures")
    (home / "set").mkdir()
    for part in ("train", "val"):
        shutil.copytree(home / "pictures", home / "set" / part)
    (home / "config.toml").write_text('data = "folder"\nroot = "~/set"\nmodel = "resnet20"\nsize = 8\nepochs = 1\n')
    for arguments in (
        ["train", "--config=~/config.toml", "--run=~/run", "--out=~/out.npz", "--root=~/set"],
        ["train", "--resume=~/run", "--epochs=2", "--root=~/set"],
        ["evaluate", "~/run", "--root=~/set"],
        ["predict", "~/run", "~/set/val", "~/set/val/a/0.png"],
        ["compare", "~/run", "~/run"],
    ):
        assert main([*arguments, "--quiet"]) == 0, capsys.readouterr().err
    assert (home / "out.npz").is_file()
    (home / "run" / "deeper").mkdir()
    assert main(["train", "--data", "folder", "--root=~", "--run=~/new"]) == 2
    assert "this is inside --root ~ and would be taken for a class" in capsys.readouterr().err


def test_nothing_makes_a_path_in_another_way():
    """What a user gives becomes a Path through user_path; Path itself is for what is known."""
    known = {"_core/paths.py", "_core/blas.py", "_core/threads.py"}
    root = Path(minidl.__file__).parent
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Path", "open")
            if call and file.relative_to(root).as_posix() not in known:
                (argument, *_) = node.args
                fixed = isinstance(argument, ast.Constant) or getattr(argument, "id", "") in ("__file__", "output_file")
                assert fixed, f"{file}:{node.lineno}"
