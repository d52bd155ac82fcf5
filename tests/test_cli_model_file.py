"""One file instead of a run: `minidl train` writes it; predict, evaluate, summary and export take it."""

import csv
import json
import shutil

import numpy as np
import pytest

import minidl
from minidl import models, nn
from minidl.cli import main
from minidl.data import load_digits


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of one epoch on the digits."""
    folder = tmp_path_factory.mktemp("trained")
    assert main(["train", "--epochs", "1", "--run", str(folder / "r"), "--quiet"]) == 0
    return folder / "r"


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """A folder with the file alone, and images."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(trained / "model.minidl", "digits.minidl")
    np.save("images.npy", load_digits()[1].arrays[0][:40])
    return tmp_path


def run(capsys, *arguments):
    assert main([*map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_the_file_says_what_the_run_says(trained, here, capsys):
    for command, *more in (["predict", "images.npy", "--json"], ["summary"], ["summary", "--json"]):
        assert run(capsys, command, "digits.minidl", *more) == run(capsys, command, trained, *more)
    ours = run(capsys, "evaluate", "digits.minidl", "--data", "digits", "--json")
    assert json.loads(ours) == json.loads(run(capsys, "evaluate", trained, "--json"))
    loaded = minidl.load_run(trained)
    assert loaded.classes == [str(digit) for digit in range(10)]
    found = loaded.predict("images.npy")
    said = json.loads(run(capsys, "predict", trained, "images.npy", "--json"))["predictions"]
    assert found.names == [one["top"][0]["class"] for one in said]
    assert found.images == [one["image"] for one in said]
    np.testing.assert_array_equal(
        loaded.model(np.load("images.npy")), minidl.load_model("digits.minidl").model(np.load("images.npy"))
    )


def test_the_file_is_exported(trained, here, capsys):
    pytest.importorskip("onnx")
    out = run(capsys, "export", "digits.minidl", "digits.onnx")
    assert out == "the model of digits.minidl written to digits.onnx\n"
    assert "input_shape" in run(capsys, "export", trained, "run.onnx", "--json")
    x = np.load("images.npy")
    for name in ("digits.onnx", "run.onnx"):
        expected = minidl.load_run(trained).model(x)
        np.testing.assert_allclose(minidl.from_onnx(name).eval()(x), expected, rtol=1e-4, atol=1e-4)


def test_a_run_of_a_model_of_ones_own_needs_no_trust_as_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_nets_16.py").write_text(
        "from minidl import nn\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc = nn.Linear(64, 10)\n    def forward(self, x):\n        return self.fc(x.flatten(1))\n"
    )
    main(["train", "--model", "own_nets_16:Net", "--epochs", "1", "--run", "r", "--quiet"])
    capsys.readouterr()
    (tmp_path / "own_nets_16.py").unlink()
    assert main(["evaluate", "r", "--quiet"]) == 2
    assert "own_nets_16:Net, which would import and run code" in capsys.readouterr().err
    assert run(capsys, "evaluate", "r/model.minidl", "--data", "digits", "--quiet").startswith("test accuracy: ")


def test_a_model_that_cannot_be_stored_is_trained_anyway_and_the_reason_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd_nets_16.py").write_text(
        "from minidl import nn\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc = nn.Linear(64, 10)\n    def forward(self, x):\n"
        "        return self.fc(x.flatten(1)) * (2 if len(x) % 2 else 1)\n"
    )
    out = run(capsys, "train", "--model", "odd_nets_16:Net", "--epochs", "1", "--run", "r")
    assert "there is no model.minidl: save_model: Net: its forward" in out
    assert not (tmp_path / "r" / "model.minidl").exists()


def test_predictions_go_into_a_table_of_comma_separated_values(trained, here, capsys):
    said = json.loads(run(capsys, "predict", trained, "images.npy", "--json", "--top", "2", "--csv", "out.csv"))
    with open("out.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 40
    for row, one in zip(rows, said["predictions"], strict=True):
        assert row["image"] == one["image"]
        assert row["class_2"] == one["top"][1]["class"]
        assert float(row["probability_1"]) == one["top"][0]["probability"]
        assert set(row) == {"image", "class_1", "probability_1", "class_2", "probability_2"}


def test_the_least_certain_images_are_drawn(trained, here, capsys):
    image = pytest.importorskip("PIL.Image")
    said = json.loads(run(capsys, "predict", trained, "images.npy", "--json", "--sheet", "sheet.png", "--least", "7"))
    with image.open("sheet.png") as sheet:
        sheet.load()
        pixels = np.asarray(sheet.convert("L"), np.float32)
    assert pixels.shape == (2 * (120 + 39 + 12) + 12, 6 * 132 + 12)
    certain = [one["top"][0]["probability"] for one in said["predictions"]]
    images = np.load("images.npy")
    for place, number in enumerate(np.argsort(certain, kind="stable")[:7]):
        left, top = 12 + place % 6 * 132, 12 + place // 6 * 171
        drawn = pixels[top : top + 120, left : left + 120].reshape(8, 15, 8, 15).mean((1, 3))
        np.testing.assert_allclose(drawn, np.rint(255 * images[number, 0]), atol=1)
        assert (pixels[top + 120 : top + 159, left : left + 120] < 200).any()  # something is written below
    assert (pixels[183:, 12 + 132 : 12 + 132 + 120] == 255).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "digits.minidl"], "--data NAME is needed, and --root DIR: digits.minidl does not say"),
        (["evaluate", "bare.minidl", "--data", "digits"], "bare.minidl has no classes or no preprocessing"),
        (["evaluate", "r", "--data", "digits"], "--data and --split are for the file of a model: the run r knows"),
        (["evaluate", "cats.minidl", "--data", "digits"], "the dataset has the classes"),
        (
            ["evaluate", "wide.minidl", "--data", "digits"],
            "the dataset's images are (1, 8, 8), wide.minidl takes (1, 8, 9)",
        ),
        (["evaluate", "wide.minidl", "--data", "folder", "--root", "."], "wide.minidl takes images (1, 8, 9)"),
        (["predict", "bare.minidl", "images.npy"], "predict: the model was saved without classes="),
        (["predict", "none.minidl", "images.npy"], "[Errno 2] No such file or directory: 'none.minidl'"),
        (["predict", "broken.minidl", "images.npy"], "broken.minidl is not a file that minidl.save_model wrote"),
        (["predict", "digits.minidl", "images.npy", "--sheet", "x.jpg"], "--sheet x.jpg: the picture is a PNG file"),
        (["predict", "digits.minidl", "images.npy", "--least", "3"], "--least N says how many images --sheet FILE has"),
        (["predict", "digits.minidl", "images.npy", "--sheet", "x.png", "--least", "0"], "--least must be at least 1"),
        (["predict", "digits.minidl", "images.npy", "--top", "11"], "--top must be from 1 to 10"),
        (["summary", "bare.minidl"], "--input-shape C,H,W is needed: bare.minidl does not say it"),
        (["export", "bare.minidl", "x.onnx"], "bare.minidl does not say the shape of its input"),
        (["export", "digits.minidl", "x.onnx", "--input-shape", "1,8,8"], "digits.minidl knows the shape of its input"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, message, trained, here, capsys):
    shutil.copytree(trained, "r")
    (here / "broken.minidl").write_bytes((here / "digits.minidl").read_bytes()[:-40])
    minidl.save_model(nn.Linear(64, 10), "bare.minidl")
    for name, shape, classes in (("cats", (1, 8, 8), list("abcdefghij")), ("wide", (1, 8, 9), list("0123456789"))):
        net = nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], 10))
        minidl.save_model(net, f"{name}.minidl", preprocess={"shape": shape}, classes=classes)
    capsys.readouterr()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"minidl {arguments[0]}: error: {message}")
    assert error.count("\n") == 1


def test_evaluate_measures_with_the_preprocessing_of_the_file(here, capsys):
    net = models.digits_cnn(rng=np.random.default_rng(1))
    for name, more in (("plain", {}), ("scaled", {"mean": 0.5, "std": 0.25})):
        minidl.save_model(net, f"{name}.minidl", preprocess={"shape": (1, 8, 8), **more}, classes=list("0123456789"))
    losses = []
    for name in ("plain", "scaled"):
        losses.append(json.loads(run(capsys, "evaluate", f"{name}.minidl", "--data", "digits", "--json"))["loss"])
    x, y = load_digits()[1].arrays
    for loss, images in zip(losses, (x, (x - np.float32(0.5)) / np.float32(0.25)), strict=True):
        assert loss == pytest.approx(nn.CrossEntropyLoss()(net.eval()(images), y), rel=1e-4)
