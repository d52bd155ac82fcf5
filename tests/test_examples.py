"""Each example runs, in a short form."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

PICTURE = ["--picture", "picture.png"]
ARGUMENTS = {
    "train_digits.py": ["--epochs", "1"],
    "train_ranks.py": ["--epochs", "1"],
    "train_mnist.py": ["--root", "MNIST", "--epochs", "1", "--limit", "100"],
    "custom_layer.py": ["--epochs", "1"],
    "article.py": [],
    "unet.py": ["--epochs", "1", "--images", "40", *PICTURE],
    "siamese.py": ["--epochs", "1", *PICTURE],
    "two_inputs.py": ["--epochs", "1", *PICTURE],
    "gan.py": ["--epochs", "1", *PICTURE],
    "autoencoder.py": ["--epochs", "1", *PICTURE],
}


def run(name, arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(ARGUMENTS)


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_example(name, monkeypatch, capsys, fake_mnist, tmp_path):
    monkeypatch.chdir(tmp_path)
    if "picture.png" in ARGUMENTS[name]:
        pytest.importorskip("matplotlib")
    run(name, [str(fake_mnist) if word == "MNIST" else word for word in ARGUMENTS[name]], monkeypatch)
    assert capsys.readouterr().out
    assert (tmp_path / "picture.png").exists() == ("picture.png" in ARGUMENTS[name])


def test_the_larger_mnist_network(monkeypatch, capsys, fake_mnist):
    arguments = ["--root", str(fake_mnist), "--model", "mnist_cnn", "--epochs", "1", "--limit", "64", "--lr", "0.01"]
    run("train_mnist.py", arguments, monkeypatch)
    assert "1,199,882" in capsys.readouterr().out
