"""``minidl train`` chooses the best epoch by images set apart for validation, and looks at the test images once."""

import csv
import json

import numpy as np
import pytest

import minidl
from minidl import models
from minidl.cli import datasets, main
from minidl.cli.recipe import Recipe
from minidl.cli.run import Run
from minidl.data import DataLoader, load_digits
from minidl.nn import CrossEntropyLoss
from minidl.training import Trainer

SHORT = ["--epochs", "3", "--quiet"]


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(folder):
    with open(f"{folder}/history.csv", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def accuracy(weights, dataset):
    model = models.digits_cnn()
    minidl.load(model, weights)
    return Trainer(model, CrossEntropyLoss(), progress="none").evaluate(DataLoader(dataset, 256))["accuracy"]


def test_a_tenth_of_each_class_is_set_apart_by_the_seed():
    whole, test = load_digits()
    images = Recipe().load_images()
    assert (len(images.train), len(images.val), len(images.test)) == (1299, 143, 355)
    counts = np.bincount(whole.arrays[1])
    np.testing.assert_array_equal(
        np.bincount(images.val.dataset.arrays[1][images.val.indices]), [round(count / 10) for count in counts.tolist()]
    )
    both = np.concatenate([images.train.indices, images.val.indices])
    np.testing.assert_array_equal(np.sort(both), np.arange(1442))
    np.testing.assert_array_equal(images.test.arrays[0], test.arrays[0])
    again, other = Recipe().load_images(), Recipe(seed=1).load_images()
    np.testing.assert_array_equal(images.val.indices, again.val.indices)
    assert not np.array_equal(images.val.indices, other.val.indices)


def test_the_weights_are_those_of_the_best_epoch_by_validation_the_last_of_equal_ones(in_tmp, capsys):
    assert main(["train", "--epochs", "9", "--run", "r", "--seed", "4"]) == 0
    out = capsys.readouterr().out
    measured = [row["val_accuracy"] for row in rows("r")]
    best = max(measured)
    epoch = len(measured) - measured[::-1].index(best)
    assert f"weights of epoch {epoch} of 9, the best by validation: accuracy {100 * best:.2f} %" in out
    images = Run.read("r").recipe.load_images()
    assert accuracy("r/weights.npz", images.val) == pytest.approx(best, abs=1e-4)
    assert f"test accuracy: {100 * accuracy('r/weights.npz', images.test):.2f} %" in out
    assert f"weights of epoch {epoch} of 9" in (in_tmp / "r" / "report.html").read_text()
    assert main(["evaluate", "r", "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert (evaluated["images"], evaluated["samples"]) == ("test", 355)
    assert evaluated["accuracy"] == pytest.approx(accuracy("r/weights.npz", images.test))


def test_an_earlier_epoch_is_kept_if_the_last_is_worse(in_tmp, capsys):
    options = ["--epochs", "6", "--schedule", "none", "--lr", "0.3", "--val-fraction", "0.5"]
    for seed in range(20):
        main(["train", *options, "--run", f"r{seed}", "--seed", str(seed), "--quiet"])
        measured = [row["val_accuracy"] for row in rows(f"r{seed}")]
        if measured[-1] < max(measured):
            break
    assert measured[-1] < max(measured)
    val = Run.read(f"r{seed}").recipe.load_images().val
    assert accuracy(f"r{seed}/weights.npz", val) == pytest.approx(max(measured), abs=1e-4)


def test_the_test_images_are_not_seen_before_the_end(in_tmp, monkeypatch):
    seen = []
    real = datasets.load_images

    def load_images(name, options):
        images = real(name, options)
        batch = images.test.batch
        monkeypatch.setattr(images.test, "batch", lambda indices: seen.append(len(rows("r"))) or batch(indices))
        return images

    monkeypatch.setattr("minidl.cli.recipe.load_images", load_images)
    assert main(["train", *SHORT, "--run", "r"]) == 0
    assert set(seen) == {3}


def test_without_validation_the_last_epoch_is_taken(in_tmp, capsys):
    assert main(["train", "--epochs", "2", "--val-fraction", "0", "--run", "r"]) == 0
    out = capsys.readouterr().out
    assert "digits: 1,442 training and 355 test images" in out
    assert "val_" not in out
    assert "weights of the last of 2 epochs\n" in out


def pictures(folder, *parts):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for part, count in parts:
        for name, low in (("dark", 0), ("light", 128)):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(low, low + 128, (8, 8), dtype=np.uint8)
                image.fromarray(pixels).save(folder / part / name / f"{number}.png")


FOLDER = ["--data", "folder", "--root", "p", "--epochs", "1", "--augment", "none", "--model", "tiny:make", "--run", "r"]
TINY = "from minidl import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2))\n"


def test_a_folder_of_validation_images_is_used(in_tmp, capsys):
    (in_tmp / "tiny.py").write_text(TINY)
    pictures(in_tmp / "p", ("train", 6), ("Validation", 3), ("test", 4))
    assert main(["train", *FOLDER]) == 0
    out = capsys.readouterr().out
    assert "folder: 12 training, 6 validation and 8 test images" in out
    assert " of 8; 95 % interval" in out
    assert main(["train", *FOLDER[:-1], "s", "--val-fraction", "0.2"]) == 2
    assert "--val-fraction 0.2: there are 6 images for validation in a folder of their own" in capsys.readouterr().err
    assert main(["train", *FOLDER[:-1], "t", "--val-fraction", "0"]) == 0
    assert "folder: 12 training and 8 test images" in capsys.readouterr().out


def test_what_was_chosen_by_is_not_called_a_test(in_tmp, capsys):
    (in_tmp / "tiny.py").write_text(TINY)
    pictures(in_tmp / "p", ("train", 6), ("val", 3))
    assert main(["train", *FOLDER]) == 0
    out = capsys.readouterr().out
    assert "folder: 12 training and 6 validation images" in out
    assert "\nvalidation accuracy: " in out
    assert "test" not in out
    assert main(["evaluate", "r", "--trust"]) == 0
    assert "\nvalidation accuracy: " in capsys.readouterr().out
    assert "6 validation images are classified" in (in_tmp / "r" / "report.html").read_text()


def test_resuming_chooses_among_all_epochs(in_tmp, capsys):
    """The best epoch may be one from before the interruption."""
    options = ["--schedule", "none", "--lr", "0.1", "--quiet"]
    assert main(["train", *options, "--epochs", "5", "--run", "whole"]) == 0
    assert main(["train", *options, "--epochs", "2", "--run", "parts"]) == 0
    assert main(["train", "--resume", "parts", "--epochs", "5", "--quiet"]) == 0
    first, second = (np.load(f"{run}/weights.npz") for run in ("whole", "parts"))
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])


def test_a_refused_resume_leaves_the_run_as_it_was(in_tmp, capsys):
    (in_tmp / "tiny.py").write_text(TINY)
    pictures(in_tmp / "p", ("train", 6), ("test", 3))
    pictures(in_tmp / "q", ("train", 5), ("test", 3))
    assert main(["train", *FOLDER]) == 0
    before = (in_tmp / "r" / "config.toml").read_text()
    assert main(["train", "--resume", "r", "--root", "q", "--epochs", "2", "--trust"]) == 2
    assert "cannot resume: " in capsys.readouterr().err
    assert (in_tmp / "r" / "config.toml").read_text() == before
    assert main(["train", "--resume", "r", "--epochs", "2", "--trust"]) == 0


def test_ctrl_c_in_the_first_epoch_can_be_resumed(in_tmp, monkeypatch):
    real = DataLoader.__iter__

    def interrupted(self):
        for number, batch in enumerate(real(self)):
            if number == 5 and self.shuffle:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(DataLoader, "__iter__", interrupted)
        assert main(["train", *SHORT, "--run", "r"]) == 130
    assert main(["train", "--resume", "r", "--quiet"]) == 0
    assert len(rows("r")) == 3


def test_the_best_weights_must_be_there_to_go_on(in_tmp, capsys):
    assert main(["train", *SHORT, "--run", "r"]) == 0
    (in_tmp / "r" / "best.npz").unlink()
    assert main(["train", "--resume", "r", "--epochs", "4"]) == 2
    assert "its best.npz, the weights of the best epoch so far, is gone" in capsys.readouterr().err
