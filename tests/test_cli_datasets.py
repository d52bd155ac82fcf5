"""``minidl train --data``: every dataset can be trained on, with its own usual options."""

import argparse
import re
import shutil

import numpy as np
import pytest
from idx_files import IDX

import minidl
from minidl import data, models
from minidl.cli import datasets, main
from minidl.cli.recipe import Recipe
from minidl.cli.run import Run
from minidl.cli.train import _plan, add_train
from minidl.data import ArrayDataset


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", IDX)
def test_train_on_files_in_mnists_format(name, in_tmp, capsys):
    source = IDX[name]
    source.write(in_tmp / "files", (2 * source.classes, source.classes))
    arguments = ["--data", name.partition("-")[0], "--root", "files", "--epochs", "1", "--augment", "none"]
    if "split" in source.options:
        arguments += ["--split", source.options["split"]]
    assert main(["train", *arguments, "--run", "r"]) == 0
    assert (
        f": {source.classes} training, {source.classes} validation and {source.classes} test images; "
        in capsys.readouterr().out
    )
    run = Run.read("r")
    assert len(run.classes) == source.classes
    assert run.shape == (1, 28, 28)
    assert main(["evaluate", "r", "--json"]) == 0


def test_emnist_is_balanced_by_default(in_tmp):
    IDX["emnist-balanced"].write(in_tmp)
    assert len(Recipe.default("emnist").with_values({"root": "."}).load_images().classes) == 47


def test_the_usual_options_depend_on_the_model_too(in_tmp):
    assert Recipe.default("fashion_mnist").epochs == 24
    assert Recipe.default("fashion_mnist", "lenet5").epochs == 25
    IDX["fashion_mnist"].write(in_tmp / "files", (20, 10))
    (in_tmp / "c.toml").write_text('model = "lenet5"\nlr = 0.05\n')
    for arguments in (["--model", "lenet5"], ["--config", "c.toml"]):
        parsed = datasets_plan(["--data", "fashion_mnist", "--root", "files", *arguments])
        assert (parsed.model, parsed.epochs) == ("lenet5", 25)
    assert datasets_plan(["--data", "fashion_mnist", "--model", "lenet5", "--epochs", "3"]).epochs == 3


def datasets_plan(arguments):
    """The recipe of a command line."""
    parser = argparse.ArgumentParser()
    add_train(parser.add_subparsers())
    return _plan(parser.parse_args(["train", *arguments]))[0]


@pytest.mark.parametrize("name", datasets.DATASETS)
def test_the_usual_options_of_a_dataset_are_options_and_its_root_is_asked_for(name, capsys):
    recipe = Recipe.default(name)
    assert recipe == Recipe().with_values(recipe.as_dict())
    source = datasets.DATASETS[name]
    if source.root:
        assert main(["train", "--data", name]) == 2
        assert f"--data {name} needs --root DIR, {source.root}" in capsys.readouterr().err


def test_every_loader_of_data_is_a_dataset_of_the_command_line():
    loaders = {name for name in data.__all__ if name.startswith("load_")}
    names = {source.load.__name__ for source in datasets.DATASETS.values()}
    assert names - {"_folder"} == loaders - {"load_image_folder"}


def test_a_loader_is_given_the_options_it_has_arguments_for_if_they_are_given(monkeypatch):
    asked = []

    def load(root, size=None, *, download=False):
        asked.append((root, size, download))
        part = ArrayDataset(np.zeros((2, 1, 4, 4), np.float32), [0, 1], classes=["a", "b"])
        return part, part

    monkeypatch.setitem(datasets.DATASETS, "made up", datasets._Source(datasets._pair(load), "anything"))
    options = {"root": "here", "download": False, "size": 0, "split": ""}
    images = datasets.load_images("made up", options)
    assert (images.classes, images.shape) == (["a", "b"], (1, 4, 4))
    datasets.load_images("made up", {**options, "download": True, "size": 8})
    assert asked == [("here", None, False), ("here", 8, True)]
    with pytest.raises(ValueError, match="--split is for --data emnist"):
        datasets.load_images("made up", {**options, "split": "x"})


def test_a_missing_split_is_told_with_the_files_it_needs(in_tmp, capsys):
    IDX["emnist-digits"].write(in_tmp / "files")
    assert main(["train", "--data", "emnist", "--root", "files"]) == 2
    err = capsys.readouterr().err
    assert "files does not hold emnist-balanced-train-images-idx3-ubyte, " in err
    assert "gzip.zip" in err
    assert main(["train", "--data", "emnist", "--root", "files", "--split", "odd"]) == 2
    assert "split must be one of 'balanced', 'byclass'" in capsys.readouterr().err


def test_train_on_mnist_files(in_tmp, fake_mnist, capsys):
    arguments = ["train", "--data", "mnist", "--root", str(fake_mnist), "--epochs", "2", "--lr", "0.02"]
    assert main([*arguments, "--batch-size", "16", "--out", "m.npz"]) == 0
    assert (
        "mnist: 231 training, 25 validation and 128 test images; lenet5 with 61,706 parameters"
        in capsys.readouterr().out
    )
    minidl.load(models.lenet5(), "m.npz")


def test_train_on_folders_of_images(in_tmp, capsys):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 128)):
        (in_tmp / "pictures" / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(low, low + 128, (20, 20, 3), dtype=np.uint8)
            image.fromarray(pixels).save(in_tmp / "pictures" / name / f"{number}.png")
    options = ["--data", "folder", "--root", "pictures", "--size", "16", "--epochs", "1", "--run", "r"]
    (in_tmp / "pictures" / "few").mkdir()
    image.new("L", (9, 9)).save(in_tmp / "pictures" / "few" / "0.png")
    assert main(["train", *options]) == 2
    assert "every class needs five images or more, of which every fifth is for testing; too few in few" in (
        capsys.readouterr().err
    )
    shutil.rmtree(in_tmp / "pictures" / "few")
    assert main(["train", *options]) == 0
    out = capsys.readouterr().out
    assert "folder: 14 training, 2 validation and 4 test images; resnet20" in out
    assert "training images: dark 7, light 7\n" in out
    assert "validation images: dark 1, light 1\ntest images: dark 2, light 2\n" in out
    assert "skipped" not in out
    assert main(["predict", "r", "pictures/dark/0.png", "--top", "2"]) == 0
    assert re.match(r"pictures/dark/0.png: (dark|light) \d+\.\d %, ", capsys.readouterr().out)
    for name in ("dark/.DS_Store", "light/notes.txt", "notes.txt"):
        (in_tmp / "pictures" / name).write_bytes(b"")
    assert main(["train", *options[:-1], "s"]) == 0
    assert "\nfiles: 3 skipped: 1 .txt, 1 beside the classes, 1 hidden\n" in capsys.readouterr().out
    assert main(["predict", "r", "pictures/dark"]) == 0
    assert capsys.readouterr().out.startswith("files: 1 skipped: 1 hidden\npictures/dark/0.png: ")
