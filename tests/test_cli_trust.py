"""A run's folder may come from a stranger: nothing in it is imported or fetched unless the command line says so too."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minidl.cli import datasets, main
from minidl.data import load_digits

EVIL = "open('ran', 'a').close()\nfrom minidl import models\ndef make():\n    return models.digits_cnn()\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder that names code beside it as its model."""
    folder = tmp_path_factory.mktemp("stranger")
    assert main(["train", "--epochs", "1", "--quiet", "--run", str(folder / "r")]) == 0
    config = folder / "r" / "config.toml"
    config.write_text(config.read_text().replace('"digits_cnn"', '"evil:make"'))
    (folder / "evil.py").write_text(EVIL)
    np.save(folder / "images.npy", load_digits()[1].arrays[0][:2])
    return folder


@pytest.fixture
def here(run, tmp_path, monkeypatch):
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    return tmp_path


READING = {
    "evaluate": ["evaluate", "r"],
    "predict": ["predict", "r", "images.npy"],
    "export": ["export", "r", "r.onnx"],
    "resume": ["train", "--resume", "r", "--epochs", "2"],
    "config": ["train", "--config", "r/config.toml", "--epochs", "1", "--run", "s"],
}


@pytest.mark.parametrize("command", READING)
def test_a_model_that_a_run_names_is_imported_only_if_it_is_named_or_trusted(command, here, capsys):
    if command == "export":
        pytest.importorskip("onnx")
    path = list(sys.path)
    before = {file: file.read_bytes() for file in here.rglob("*") if file.is_file()}
    assert main(READING[command]) == 2
    assert capsys.readouterr().err == (
        f"minidl {READING[command][0]}: error: r/config.toml names the model evil:make, which would import and run "
        "code; if you trust it, give --model evil:make or --trust\n"
    )
    if command != "config":
        assert main([*READING[command], "--model", "lenet5"]) == 2
        assert "--model lenet5: the model of r/config.toml is evil:make" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in here.rglob("*") if file.is_file()} == before
    assert main([*READING[command], "--model", "evil:make", "--quiet"]) == 0
    assert Path("ran").exists()
    if command != "config":
        assert main([*READING[command], "--trust", "--quiet"]) == 0
    assert sys.path == path


def test_minidls_own_models_need_no_trust(here, capsys):
    config = Path("r/config.toml")
    config.write_text(config.read_text().replace('"evil:make"', '"digits_cnn"'))
    assert main(["evaluate", "r", "--quiet"]) == 0
    assert main(["evaluate", "r", "--quiet", "--model", "digits_cnn"]) == 0


def test_compare_and_summary_import_nothing_of_a_run(here):
    assert main(["compare", "r", "r"]) == 0
    assert main(["summary", "digits_cnn"]) == 0
    assert not Path("ran").exists()


def test_a_stored_folder_is_told_and_nothing_is_fetched_unless_asked_again(here, fake_mnist, monkeypatch, capsys):
    options = ["--data", "mnist", "--root", str(fake_mnist), "--epochs", "1", "--val-fraction", "0"]
    assert main(["train", *options, "--run", "m", "--download"]) == 0
    assert "the dataset's files" not in capsys.readouterr().out  # the command line says it
    told = f"the dataset's files: {fake_mnist} (from m"
    assert main(["evaluate", "m"]) == 0
    assert told in capsys.readouterr().out
    assert main(["train", "--resume", "m"]) == 0
    assert told in capsys.readouterr().out
    asked = []

    def load(root, *, download=False):
        asked.append(download)
        raise FileNotFoundError("load_mnist: there are no files")

    monkeypatch.setitem(datasets.DATASETS, "mnist", datasets._source(load, "a folder"))
    for command in (["evaluate", "m"], ["train", "--resume", "m"], ["train", "--config", "m/config.toml"]):
        assert main(command) == 2
        assert "download = true: give --download to do it" in capsys.readouterr().err
        assert main([*command, "--download"]) == 2
    assert asked == [False, True] * 3


def test_python_dash_m_imports_nothing_from_the_current_directory(here):
    for name in ("csv", "tomllib", "tomli", "tqdm", "argparse", "json", "evil"):
        (here / f"{name}.py").write_text("open('ran', 'a').close()\nraise SystemExit('imported')\n")
    command = [sys.executable, "-m", "minidl", "compare", "r", "r"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not Path("ran").exists()
