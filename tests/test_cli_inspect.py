"""``minidl inspect``: what it counts, measures and finds, in a folder made for it and in datasets of arrays."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from minidl.cli import main
from minidl.data import load_digits, read_image

Image = pytest.importorskip("PIL.Image")
LOOK = ["inspect", "--data", "folder", "--root", "pictures"]


def picture(rng, shape):
    """A picture that resembles no other: rough shades."""
    rough = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize(shape, Image.Resampling.BICUBIC)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Pictures of two classes, for training and testing."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for part, count in (("train", 24), ("test", 6)):
        for name in ("ant", "bee"):
            Path("pictures", part, name).mkdir(parents=True)
            for number in range(count):
                picture(rng, (50 + number, 40)).save(f"pictures/{part}/{name}/{number:02}.png")
    return Path("pictures")


def result(capsys, *arguments):
    assert main([*LOOK, "--json", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def test_nothing_stands_out(here, capsys):
    assert main(LOOK) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("folder: 60 images, 2 classes\n\nclass  training  test\nant          24     6\n")
    assert out.endswith("\n\nnothing stands out\n")


def test_counts_sizes_modes_and_moments(here, capsys):
    Image.new("L", (200, 10), 100).save(here / "train" / "ant" / "grey.png")
    (here / "train" / "ant" / "notes.txt").write_text("x")
    found = result(capsys, "--size", "32", "--channels", "grey", "--fit", "pad")
    assert found["counts"] == {"training": [25, 24], "test": [6, 6]}
    assert found["images"] == 61
    assert found["modes"] == {"RGB": 60, "L": 1}
    widths = sorted([200] + 2 * [50 + n for n in range(24)] + 2 * [50 + n for n in range(6)])
    assert found["sizes"]["width"] == {"min": 50, "median": np.median(widths), "max": 200}
    assert found["sizes"]["height"] == {"min": 10, "median": 40, "max": 40}
    assert found["read_as"] == [1, 32, 32]
    images = np.stack([read_image(path, 32, 1, fit="pad") for path in here.rglob("*.png")]).astype(np.float64)
    assert found["mean"] == [pytest.approx(images.mean(), rel=1e-9)]
    assert found["std"] == [pytest.approx(images.std(), rel=1e-9)]
    assert found["skipped"] == "1 skipped: 1 .txt"
    assert main([*LOOK, "--size", "32"]) == 0
    out = capsys.readouterr().out
    assert (
        f"\nwidth: 50 to 200, median {np.median(widths):g}\nmodes: RGB 60, L 1\npixels, read as 3 x 32 x 32: mean 0."
        in out
    )
    assert "\nfiles: 1 skipped: 1 .txt\n" in out


def test_what_is_there_twice(here, capsys):
    shutil.copy(here / "train/ant/00.png", here / "test/ant/copy.png")
    shutil.copy(here / "train/bee/01.png", here / "test/ant/wrong.png")
    shutil.copy(here / "train/bee/02.png", here / "train/bee/copy.png")
    Image.open(here / "train/ant/05.png").resize((90, 90)).save(here / "test/ant/large.jpg", quality=60)
    found = result(capsys)
    groups = [[Path(image["image"]).relative_to("pictures").as_posix() for image in group] for group in found["same"]]
    assert groups == [
        ["train/ant/00.png", "test/ant/copy.png"],
        ["train/bee/01.png", "test/ant/wrong.png"],
        ["train/bee/02.png", "train/bee/copy.png"],
    ]
    assert [image["class"] for image in found["same"][1]] == ["bee", "ant"]
    assert [image["part"] for image in found["same"][1]] == ["training", "test"]
    (alike,) = found["alike"]
    assert [Path(image["image"]).name for image in alike["images"]] == ["05.png", "large.jpg"]
    assert 0.98 <= alike["likeness"] < 1
    assert main(LOOK) == 0
    findings = capsys.readouterr().out.split("\n\n")[-1].splitlines()
    assert [line.partition(": ")[0] for line in findings] == [
        "the same images are in several parts, 2 times",
        "the same images are in one part, 1 time",
        "the same images have several classes, 1 time",
        "images that look alike are in several parts, 1 time",
    ]
    assert findings[2].endswith("train/bee/01.png = pictures/test/ant/wrong.png (bee, ant)")


def test_what_cannot_be_read_is_named_and_counted(here, capsys):
    path = here / "train/bee/03.png"
    path.write_bytes(path.read_bytes()[:60])
    (here / "test/ant/04.png").write_bytes(b"no image")
    found = result(capsys)
    assert found["counts"] == {"training": [24, 23], "test": [5, 6]}
    assert [Path(one["image"]).as_posix() for one in found["unreadable"]] == [
        "pictures/train/bee/03.png",
        "pictures/test/ant/04.png",
    ]
    assert found["unreadable"][1]["reason"].startswith("it is damaged, or none of BMP, ")
    assert found["findings"][0].startswith("2 images cannot be read: pictures/train/bee/03.png (")
    for every in here.rglob("*.png"):
        every.write_bytes(b"")
    assert main(LOOK) == 2
    assert capsys.readouterr().err == "minidl inspect: error: none of the 60 images can be read\n"


def test_uneven_small_and_missing_classes(here, capsys):
    for number in range(20):
        (here / f"train/bee/{number:02}.png").unlink()
    for path in (here / "test/ant").iterdir():
        path.write_bytes(b"")
    assert result(capsys)["findings"][1:] == [
        "test has no image of ant",
        "ant has 6 times as many images as bee",
        "fewer than 20 images to learn from: bee",
    ]


def test_a_dataset_of_arrays(capsys):
    train, test = load_digits()
    assert main(["inspect", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"] == {
        "training": np.bincount(train.arrays[1]).tolist(),
        "test": np.bincount(test.arrays[1]).tolist(),
    }
    assert found["mean"] == [pytest.approx(np.concatenate([train.arrays[0], test.arrays[0]]).mean(dtype=np.float64))]
    assert (found["modes"], found["same"], found["alike"]) == ({}, [], [])
    assert found["findings"] == ["images that look alike were not looked for: these are too small"]


def test_a_sheet_of_samples(here, capsys):
    pytest.importorskip("matplotlib")
    assert main([*LOOK, "--sheet", "sheet.png"]) == 0
    assert capsys.readouterr().out.endswith("samples drawn into sheet.png\n")
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 8 * 60
        assert sheet.height > 2 * 60
    assert {path.name for path in Path().iterdir()} == {"pictures", "sheet.png"}


def test_what_is_refused_before_any_image_is_read(here, capsys):
    for name in ("sheet.txt", "nowhere/sheet.png"):
        assert main([*LOOK, "--sheet", name]) == 2
        assert "expected the name of a .png file in a folder that exists\n" in capsys.readouterr().err
    assert main(["inspect", "--data", "folder"]) == 2
    assert "error: --data folder needs --root DIR" in capsys.readouterr().err
    assert main([*LOOK[:-1], "nowhere"]) == 2
    assert "there is no folder nowhere\n" in capsys.readouterr().err
    assert main(["inspect", "--size", "8"]) == 2
    assert "--size is for --data folder\n" in capsys.readouterr().err


def test_without_matplotlib_a_sheet_is_refused_before_any_image_is_read(here, capsys, monkeypatch):
    def missing(*_):
        raise ImportError("minidl.plotting needs an extra")

    monkeypatch.setattr("minidl.cli.inspect.image_grid", missing)
    monkeypatch.setattr("minidl.cli.inspect.survey", None)
    assert main([*LOOK, "--sheet", "sheet.png"]) == 2
    assert capsys.readouterr().err == "minidl inspect: error: minidl.plotting needs an extra\n"


def test_names_that_a_terminal_would_obey(here, capsys):
    shutil.copy(here / "train/ant/00.png", here / "test/ant/\x1b[31mred.png")
    assert main(LOOK) == 0
    assert "\x1b" not in capsys.readouterr().out
