"""What is done with a model that was loaded: names and probabilities of arrays and image files."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.data import load_digits, read_image

CLASSES = ["cat", "dog", "fox"]


@pytest.fixture
def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 4, 3))


@pytest.fixture
def loaded(net, tmp_path):
    preprocess = {"shape": (3, 8, 6), "mean": (0.4, 0.5, 0.6), "std": 0.25, "fit": "pad"}
    minidl.save_model(net, tmp_path / "net.minidl", preprocess=preprocess, classes=CLASSES)
    return minidl.load_model(tmp_path / "net.minidl")


def expected(net, images):
    x = (images - np.float32([0.4, 0.5, 0.6])[:, None, None]) / np.float32(0.25)
    logits = net(x).astype(np.float64)
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_probabilities_are_the_softmax_of_the_prepared_images(net, loaded):
    images = np.random.default_rng(0).random((5, 3, 8, 6), np.float32)
    found = loaded.predict(images)
    np.testing.assert_allclose(found.probabilities, expected(net, images), rtol=1e-5)
    assert found.names == [CLASSES[c] for c in expected(net, images).argmax(1)]
    assert found.images == ["0", "1", "2", "3", "4"]
    assert len(found) == 5
    first = f"0: {found.names[0]} {100 * found.probabilities[0].max():.1f} %, "
    assert repr(found).startswith(first)
    one = loaded.predict(images[3])
    np.testing.assert_allclose(one.probabilities[0], found.probabilities[3], rtol=1e-5)
    listed = loaded.predict([images[0], images[1:3]])
    np.testing.assert_allclose(listed.probabilities, found.probabilities[:3], rtol=1e-5)


def test_files_folders_and_lists_of_them_are_read_as_the_preprocessing_says(net, loaded, tmp_path):
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "some").mkdir()
    rng = np.random.default_rng(1)
    paths = [tmp_path / "some" / f"{number}.png" for number in range(3)]
    for path in paths:
        image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    images = np.stack([read_image(path, (8, 6), channels=3, fit="pad") for path in paths])
    found = loaded.predict(tmp_path / "some")
    np.testing.assert_allclose(found.probabilities, expected(net, images), rtol=1e-5)
    assert found.images == [str(path) for path in paths]
    for given in (paths, [str(path) for path in paths]):
        np.testing.assert_array_equal(loaded.predict(given).probabilities, found.probabilities)
    np.testing.assert_array_equal(loaded.predict(str(paths[1])).probabilities, found.probabilities[1:2])


def test_nan_is_no_class(net, loaded):
    loaded.model[3].weight.data[0, 0] = np.nan
    found = loaded.predict(np.ones((1, 3, 8, 6), np.float32))
    assert found.names == [None]
    assert repr(found) == "0: no class, the output of the model is NaN"


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((2, 3, 8, 8), np.float32), ValueError, r"shape \(N, 3, 8, 6\) or \(3, 8, 6\), got \(2, 3, 8, 8\)"),
        (np.zeros((2, 3, 8, 6), np.uint8), TypeError, r"values in \[0, 1\] as float32, got uint8; divide by 255"),
        (np.full((1, 3, 8, 6), 255.0, np.float32), ValueError, r"values in \[0, 1\], got 255 to 255"),
        (np.full((1, 3, 8, 6), np.nan, np.float32), ValueError, r"values in \[0, 1\], got nan"),
        (3, TypeError, "expected an array of images, a path, or a list of them, got int"),
        ("nowhere.png", FileNotFoundError, "there is no file nowhere.png"),
    ],
)
def test_what_is_no_image_is_named(loaded, images, error, message):
    with pytest.raises(error, match=message):
        loaded.predict(images)


def test_a_model_without_classes_or_preprocessing_says_what_it_lacks(tmp_path):
    minidl.save_model(nn.Linear(2, 3), tmp_path / "net.minidl", classes=CLASSES)
    with pytest.raises(ValueError, match=r"saved without preprocess=\{'shape': \(C, H, W\)\}"):
        minidl.load_model(tmp_path / "net.minidl").predict(np.zeros((1, 2), np.float32))
    minidl.save_model(nn.Linear(2, 3), tmp_path / "net.minidl")
    with pytest.raises(ValueError, match=r"saved without classes="):
        minidl.load_model(tmp_path / "net.minidl").predict(np.zeros((1, 2), np.float32))


def test_the_file_is_written_atomically_and_describes_itself(net, tmp_path, monkeypatch):
    path = tmp_path / "digits.minidl"
    train, _ = load_digits()
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    minidl.save_model(model, path, preprocess={"shape": (1, 8, 8)}, classes=train.classes)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="classes need outputs"):
        minidl.save_model(model, path, preprocess={"shape": (1, 8, 8)}, classes=CLASSES)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["digits.minidl"]
    loaded = minidl.load_model(path)
    assert loaded.classes == list(train.classes)
    assert loaded.input_shapes == ((1, 1, 8, 8),)
    assert repr(loaded).startswith("LoadedModel(Sequential, 10 classes, Preprocessing(shape=(1, 8, 8)")
