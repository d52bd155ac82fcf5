"""``minidl train --data folder``: sizes, channels, proportions, broken files, any model, runs used from elsewhere."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import models
from minidl.cli import main
from minidl.cli.measure import batch_size_for
from minidl.cli.readable import readable
from minidl.cli.recipe import Recipe, make_model
from minidl.cli.run import Run
from minidl.data import ArrayDataset, read_image

Image = pytest.importorskip("PIL.Image")

NET = """
from minidl import nn

def net(num_classes, channels=3, width=4):
    return nn.Sequential(nn.Conv2d(channels, width, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(width, num_classes))

def fixed():
    return net(2, 3)
"""
NAMES = ("dark", "light")
TRAIN = ["train", "--data", "folder", "--root", "pictures", "--epochs", "1", "--model", "photo_nets:net", "--run", "r"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of pictures of two classes, of several sizes and proportions, and a network."""
    monkeypatch.chdir(tmp_path)
    Path("photo_nets.py").write_text(NET)
    rng = np.random.default_rng(0)
    for name, low in zip(NAMES, (0, 128), strict=True):
        Path("pictures", name).mkdir(parents=True)
        for number in range(12):
            shape = (20 + number, 40 - number, 3)
            pixels = rng.integers(low, low + 128, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(f"pictures/{name}/{number:02}.{'jpg' if number % 2 else 'png'}")
    return tmp_path


def break_(path):
    """Cut a file in half."""
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])


def test_images_are_read_as_the_options_say_and_predicted_likewise(here, capsys, monkeypatch):
    assert main([*TRAIN, "--size", "16", "--channels", "grey", "--fit", "crop"]) == 0
    assert "folder: 18 training, 2 validation and 4 test images; photo_nets:net with " in capsys.readouterr().out
    run = Run.read("r")
    assert run.shape == (1, 16, 16)
    images = run.recipe.load_images()
    expected = read_image("pictures/dark/00.png", 16, 1, fit="crop")
    np.testing.assert_array_equal(images.train.dataset.dataset[0][0], expected)
    asked = []

    def spy(*arguments):
        asked.append(arguments[-1])
        return iter([(["a"], expected[None])])

    monkeypatch.setattr("minidl.modelfile.preprocessing.image_batches", spy)
    assert main(["predict", "r", "pictures/dark/00.png", "--trust"]) == 0
    assert minidl.load_run("r").preprocess.fit == "crop"  # as the file says
    minidl.load_run("r").predict("pictures/dark/00.png")
    assert asked == ["crop", "crop"]


def test_the_defaults_are_colour_stretched_and_not_flipped(here):
    recipe = Recipe.default("folder")
    assert recipe.augment == "crop"
    images = recipe.with_values({"root": "pictures", "size": 16}).load_images()
    np.testing.assert_array_equal(images.train[0][0], read_image(images.train.dataset.dataset.files[0], 16))
    assert images.shape == (3, 16, 16)


def test_a_run_is_used_from_any_directory(here, capsys, monkeypatch):
    assert main([*TRAIN, "--size", "16", "--quiet"]) == 0
    assert Run.read("r").recipe.root == str(here / "pictures")
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    shutil.copy(here / "photo_nets.py", here / "elsewhere")
    assert main(["evaluate", "../r", "--trust", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["samples"] == 4
    assert main(["train", "--resume", "../r", "--epochs", "2", "--trust", "--quiet"]) == 0
    (here / "pictures").rename(here / "moved")
    assert main(["train", "--resume", "../r", "--epochs", "3", "--trust", "--quiet", "--root", "../moved"]) == 0
    assert Run.read("../r").recipe.root == str(here / "moved")


@pytest.mark.parametrize("part", ["dark/00.png", "dark/04.png"])
def test_broken_images_are_named_before_anything_is_trained(here, capsys, part):
    """Those for training, and those for testing, which are used at the end only."""
    break_(f"pictures/{part}")
    break_("pictures/light/03.jpg")
    assert main([*TRAIN, "--size", "16"]) == 2
    out, err = capsys.readouterr()
    assert "epoch" not in out
    head, *files = err.splitlines()
    assert head == "minidl train: error: 2 images cannot be read; --skip-broken leaves them out:"
    assert sorted(file.split(": ")[0] for file in files) == [
        f"  {here / 'pictures' / path}" for path in (part, "light/03.jpg")
    ]
    assert not Path("r").exists()


def test_broken_images_are_left_out_if_asked(here, capsys):
    for name in ("dark/00.png", "dark/04.png", "light/03.jpg"):
        break_(f"pictures/{name}")
    assert main([*TRAIN, "--size", "16", "--skip-broken"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("minidl train: 3 images left out:\n  ")
    assert "dark/04.png" in err
    assert "folder: 17 training, 1 validation and 3 test images" in out
    assert "files: 3 skipped: 3 cannot be read\n" in out
    assert main(["evaluate", "r", "--trust", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["samples"] == 3
    assert err == ""  # the run was tested on the other three, and is again


def test_many_broken_images_are_counted_and_a_class_without_any_is_refused(here, capsys):
    for number in range(12):
        break_(f"pictures/dark/{number:02}.{'jpg' if number % 2 else 'png'}")
    assert main([*TRAIN, "--size", "16"]) == 2
    head, *files, more = capsys.readouterr().err.splitlines()
    assert head == "minidl train: error: 12 images cannot be read; --skip-broken leaves them out:"
    assert (len(files), more) == (10, "  ... and 2 more")
    assert len(set(files)) == 10
    assert all(file.startswith(f"  {here / 'pictures' / 'dark'}") for file in files)
    assert main([*TRAIN, "--size", "16", "--skip-broken"]) == 2
    assert "error: no image of dark in the images for train can be read\n" in capsys.readouterr().err


def test_an_empty_file_is_said_to_be_empty(here, capsys):
    Path("pictures/dark/03.jpg").write_bytes(b"")
    Path("pictures/dark/05.jpg").write_bytes(b"text")
    assert main([*TRAIN, "--size", "16"]) == 2
    empty, other = sorted(capsys.readouterr().err.splitlines()[1:])
    assert empty == f"  {here / 'pictures/dark/03.jpg'}: it is empty"
    assert other.startswith(f"  {here / 'pictures/dark/05.jpg'}: it is damaged, or none of BMP, ")


def test_predict_leaves_broken_images_out_and_names_them(here, capsys):
    assert main([*TRAIN, "--size", "16", "--quiet"]) == 0
    capsys.readouterr()
    predict = ["predict", "r", "--trust", "--json"]
    assert main([*predict, "pictures"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert (len(whole["predictions"]), whole["unreadable"]) == (24, [])
    bad = str(Path("pictures/dark/04.png"))
    Path(bad).write_bytes(b"")
    for files in (["pictures"], [one["image"] for one in whole["predictions"]]):
        assert main([*predict, *files]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out) == {
            "predictions": [one for one in whole["predictions"] if one["image"] != bad],
            "unreadable": [{"image": bad, "reason": "it is empty"}],
        }
        assert err == f"minidl predict: 1 image left out, which cannot be read:\n  {bad}: it is empty\n"


def test_predict_fails_if_no_image_can_be_read(here, capsys):
    assert main([*TRAIN, "--size", "16", "--quiet"]) == 0
    capsys.readouterr()
    paths = [str(Path("pictures", "dark", name)) for name in ("04.png", "06.png")]
    for path in paths:
        Path(path).write_bytes(b"")
    assert main(["predict", "r", "--trust", paths[0]]) == 2
    assert capsys.readouterr() == (
        "",
        f"minidl predict: error: read_image: cannot read the image {paths[0]}: it is empty\n",
    )
    assert main(["predict", "r", "--trust", *paths]) == 2
    told = "".join(f"  {path}: it is empty\n" for path in paths)
    assert capsys.readouterr() == ("", f"minidl predict: error: 2 images cannot be read:\n{told}")
    assert main(["predict", "r", "--trust", "missing.png", "pictures"]) == 2
    assert capsys.readouterr().err == "minidl predict: error: there is no file missing.png\n"


def test_images_of_several_sizes_need_one(here, capsys):
    assert main(TRAIN) == 2
    err = capsys.readouterr().err
    assert "error: --size N is needed, such as --size 64, to which images are resized: " in err
    assert "00.png is 20 x 40, " in err
    assert main([*TRAIN, "--fit", "pad"]) == 2
    assert "error: --fit pad needs --size N" in capsys.readouterr().err


def test_large_images_are_told(here, capsys):
    for path in Path("pictures").rglob("*.*"):
        Image.new("L", (600, 500), len(path.parent.name)).save(path)
    assert main([*TRAIN, "--batch-size", "4"]) == 0
    assert "is 500 x 600: --size N, such as --size 64, saves time and memory\n" in capsys.readouterr().err


def test_datasets_that_are_no_folders_are_returned_as_they_are():
    images = Recipe().load_images()
    assert readable({"train": images.train}, None, skip=False) == {"train": images.train}


@pytest.mark.parametrize("name", models.__all__)
@pytest.mark.parametrize(("classes", "channels"), [(3, 1), (4, 3)])
def test_every_model_is_made_for_any_number_of_classes_and_channels(name, classes, channels):
    shape = models.INPUT_SHAPES[name]
    model = make_model(name, classes, channels)
    assert model.output_shape((2, channels, *shape[1:])) == (2, classes)
    assert make_model(name).output_shape((2, *shape)) == (2, 1000 if shape[1] == 224 else 10)


def test_a_function_of_ones_own_is_given_what_it_has_names_for(here):
    assert make_model("photo_nets:net", 5, 1).output_shape((1, 1, 9, 9)) == (1, 5)
    assert make_model("photo_nets:fixed", 2, 3).output_shape((1, 3, 9, 9)) == (1, 2)


def test_a_model_for_images_of_another_size_says_so(here, capsys):
    assert main([*TRAIN, "--model", "lenet5", "--size", "16"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("minidl train: error: --model lenet5 is for images of 28 x 28, these are 16 x 16: ")
    assert main([*TRAIN, "--model", "lenet5", "--size", "28", "--quiet"]) == 0


def test_decoded_images_are_read_once(here, monkeypatch):
    """The check of all files before the training, two epochs and the measuring at the end decode each file once."""
    from minidl.data import folder

    decode, paths = folder.pixels_of, []

    def spy(path, *rest):
        paths.append(path)
        return decode(path, *rest)

    monkeypatch.setattr(folder, "pixels_of", spy)
    assert main([*TRAIN, "--size", "16", "--quiet"]) == 0
    assert len(paths) == len(set(paths)) == 24


@pytest.mark.parametrize(
    ("shape", "expected"), [((1, 8, 8), 256), ((3, 64, 64), 256), ((3, 128, 64), 128), ((1, 999, 9999), 1)]
)
def test_large_images_are_measured_a_few_at_a_time(shape, expected):
    images = np.broadcast_to(np.float32(0), (2, *shape))
    assert batch_size_for(ArrayDataset(images, np.zeros(2, int))) == expected


def test_a_summary_is_of_the_network_for_so_many_channels(here, capsys):
    for name in ("resnet20", "photo_nets:net"):
        assert main(["summary", name, "--input-shape", "1,32,32", "--json"]) == (0 if name == "resnet20" else 2)
    out, err = capsys.readouterr()
    assert json.loads(out)["params"] == sum(p.data.size for p in models.resnet20(channels=1).params())
    assert "--model photo_nets:net: net() missing 1 required positional argument: 'num_classes'" in err
