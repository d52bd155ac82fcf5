"""ImageFolder: classes in order, hidden files, damage."""

import numpy as np
import pytest

from minidl.data import DataLoader, ImageFolder, read_image

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("zebra", "ant", "bee/deep"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for number in range(2):
            Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    (tmp_path / ".git").mkdir()
    (tmp_path / "ant" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "ant" / "._0.png").write_bytes(b"x")
    (tmp_path / "ant" / "notes.txt").write_text("x")
    return tmp_path


def test_classes_are_sorted_and_what_is_hidden_is_passed_over(root):
    data = ImageFolder(root)
    assert data.classes == ["ant", "bee", "zebra"]
    np.testing.assert_array_equal(data.labels, [0, 0, 1, 1, 2, 2])
    images, labels = next(iter(DataLoader(data, 6)))
    assert images.shape == (6, 3, 6, 8)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(labels, data.labels)
    pixels = np.asarray(Image.open(root / "ant" / "0.png"))
    np.testing.assert_allclose(images[0], pixels.transpose(2, 0, 1) / 255, rtol=1e-6)
    assert "6 images" in repr(data)


def test_sizes_and_grey(root):
    image, label = ImageFolder(root, size=(4, 5), channels=1)[5]
    assert (image.shape, label) == ((1, 4, 5), 2)
    Image.new("RGBA", (3, 3), (255, 0, 0, 10)).save(root / "ant" / "odd.png")
    data = ImageFolder(root)
    with pytest.raises(ValueError, match=r"odd.png is \(3, 3\), .*0.png \(6, 8\); give a size"):
        data.batch(np.arange(3))
    assert ImageFolder(root, size=7).batch(np.arange(3))[0].shape == (3, 3, 7, 7)
    assert read_image(root / "ant" / "odd.png").shape == (3, 3, 3)


def test_16_bits_floats_and_turned_photos(tmp_path):
    values = np.array([[0, 65535], [32768, 257]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_image(tmp_path / "a.png", channels=1)[0], values / 65535, atol=0.003)
    assert read_image(tmp_path / "a.png").shape == (3, 2, 2)
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(ValueError, match=r"b.tif: its pixels are floating-point numbers"):
        read_image(tmp_path / "b.tif")
    photo, exif = Image.new("RGB", (4, 2)), Image.Exif()
    exif[274] = 6  # turned by a quarter
    photo.save(tmp_path / "c.jpg", exif=exif)
    assert read_image(tmp_path / "c.jpg").shape == (3, 4, 2)


def test_damage_is_named(root):
    (root / "bee" / "bad.jpg").write_bytes(b"no image")
    content = (root / "ant" / "0.png").read_bytes()
    (root / "ant" / "0.png").write_bytes(content[: len(content) // 2])
    data = ImageFolder(root)
    for index, name in ((0, "0.png"), (2, "bad.jpg")):
        with pytest.raises(ValueError, match=f"cannot read the image .*{name}"):
            data[index]


def test_empty_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        ImageFolder(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="holds no folders, one for each class"):
        ImageFolder(tmp_path)
    (tmp_path / "ant").mkdir()
    with pytest.raises(FileNotFoundError, match="there are no images in ant"):
        ImageFolder(tmp_path)
    with pytest.raises(ValueError, match="channels must be 1 or 3, got 4"):
        ImageFolder(tmp_path, channels=4)
