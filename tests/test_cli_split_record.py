"""A folder that `train` splits by itself: later commands test on the images it was split into, or refuse."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from minidl.cli import main

Image = pytest.importorskip("PIL.Image")

NET = """
from minidl import nn

def net(num_classes, channels=3):
    return nn.Sequential(nn.Conv2d(channels, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(2, num_classes))
"""
TRAIN = ["train", "--data", "folder", "--root", "pictures", "--epochs", "1", "--model", "split_nets:net", "--run", "r"]


def draw(folder, names, rng):
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(f"{folder}/{name}.png")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run on a folder of two classes of ten pictures, of which numbers 4 and 9 are for testing."""
    monkeypatch.chdir(tmp_path)
    Path("split_nets.py").write_text(NET)
    rng = np.random.default_rng(0)
    for name in ("dark", "light"):
        draw(f"pictures/{name}", [f"{number:02}" for number in range(10)], rng)
    assert main([*TRAIN, "--quiet"]) == 0
    return rng


def evaluated(capsys, *more):
    """Return the exit code, the result and standard error of minidl evaluate."""
    capsys.readouterr()
    code = main(["evaluate", "r", "--trust", "--json", *more])
    out, err = capsys.readouterr()
    return code, json.loads(out) if code == 0 else None, err


def test_the_test_images_are_kept_by_name(run):
    record = json.loads(Path("r", "test_images.json").read_text())
    names = [f"{label}/{number}.png" for label in ("dark", "light") for number in ("04", "09")]
    assert record == {"images": 20, "test": {name: Path("pictures", name).stat().st_size for name in names}}


def test_a_copy_of_the_folder_is_the_same_folder(run, capsys):
    before = evaluated(capsys)
    shutil.copytree("pictures", "copy")
    assert evaluated(capsys, "--root", "copy") == before == (0, before[1], "")
    assert before[1]["samples"] == 4


@pytest.mark.parametrize("change", ["added", "deleted"])
def test_a_folder_with_other_files_is_measured_on_the_same_images(run, capsys, change):
    """A split anew would be of number 3 or 5 instead of 4, which were learned."""
    before = evaluated(capsys)
    for label in ("dark", "light"):
        if change == "added":
            draw(f"pictures/{label}", ["000"], run)
        else:
            Path("pictures", label, "01.png").unlink()
    code, measured, err = evaluated(capsys)
    assert code == 0
    assert measured == before[1]
    assert "pictures has other files than when r was trained: measured on the same 4 test images" in err


def test_test_images_that_are_gone_or_changed_are_refused(run, capsys):
    Path("pictures/dark/04.png").unlink()
    Image.new("RGB", (8, 8)).save("pictures/light/09.png")
    code, _, err = evaluated(capsys)
    assert code == 2
    assert "pictures is not as it was when r was trained; of its 4 test images 1 gone: dark/04.png; 1 changed: " in err
    assert "1 changed: light/09.png. Split anew, the images for testing may be ones that the model has learned." in err


def test_another_folder_is_refused_unless_it_says_what_is_for_testing(run, capsys):
    for part in ("train", "test"):
        for label in ("dark", "light"):
            draw(f"other/{part}/{label}", ["a", "b", "c", "d", "e", "f"], run)
    code, _, err = evaluated(capsys, "--root", "other/train")
    assert code == 2
    assert "4 gone: dark/04.png, dark/09.png, light/04.png, light/09.png. " in err
    code, measured, err = evaluated(capsys, "--root", "other")
    assert (code, measured["samples"], err) == (0, 12, "")


def test_a_folder_with_a_part_for_testing_needs_no_names(run, capsys):
    for part in ("train", "test"):
        shutil.copytree("pictures", f"parts/{part}")
    assert main([*TRAIN[:4], "parts", *TRAIN[5:-1], "s", "--quiet"]) == 0
    assert not Path("s", "test_images.json").exists()
    draw("parts/test/dark", ["000"], run)
    assert main(["evaluate", "s", "--trust", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["samples"] == 21
    assert err == ""


def test_a_run_of_an_earlier_version_is_measured_with_a_warning(run, capsys):
    before = evaluated(capsys)
    Path("r", "test_images.json").unlink()
    code, measured, err = evaluated(capsys)
    assert (code, measured) == before[:2]
    assert "r is from before runs kept the names of test images" in err


@pytest.mark.parametrize("text", ["", "[]", '{"images": 20, "test": {}}', '{"images": 20, "test": {"a": "b"}}'])
def test_a_damaged_record_is_named(run, capsys, text):
    Path("r", "test_images.json").write_text(text)
    code, _, err = evaluated(capsys)
    assert code == 2
    assert "test_images.json is damaged: " in err


def test_a_run_does_not_go_on_to_learn_its_test_images(run, capsys):
    resume = ["train", "--resume", "r", "--epochs", "2", "--trust", "--inexact", "--quiet"]
    for label in ("dark", "light"):
        draw(f"pictures/{label}", ["000"], run)
    kept = Path("r", "test_images.json").read_bytes()
    assert main(resume) == 2
    assert "which splits it anew: some of its test images would be learned" in capsys.readouterr().err
    for label in ("dark", "light"):
        Path("pictures", label, "000.png").unlink()
    assert main(resume) == 0
    assert Path("r", "test_images.json").read_bytes() == kept
