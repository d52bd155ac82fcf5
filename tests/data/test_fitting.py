"""Stretched, padded and cropped as Pillow's own functions do it; JPEG decoded small is close to JPEG decoded whole."""

import numpy as np
import pytest
from photos import photo

from minidl.data import ImageFolder, read_image
from minidl.data.fitting import FITS, reduce

Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")


def by_pillow(image, shape, fit):
    """The same by Pillow's functions, on white."""
    size, how = shape[::-1], Image.Resampling.BILINEAR
    if fit == "pad":
        return ImageOps.pad(image, size, how, color="white")
    return ImageOps.fit(image, size, how) if fit == "crop" else image.resize(size, how)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(40, 100), (100, 40), (64, 64), (300, 17)])
def test_an_image_is_fitted_as_pillow_does_it(fit, size, rng, tmp_path):
    image = photo(rng, *size)
    image.save(tmp_path / "a.png")
    for shape in ((32, 32), (20, 50), (64, 64)):
        expected = np.asarray(by_pillow(image, shape, fit)).transpose(2, 0, 1)
        got = 255 * read_image(tmp_path / "a.png", shape, fit=fit)
        assert got.shape == (3, *shape)
        np.testing.assert_allclose(got, expected, atol=1.01, rtol=0)  # Pillow's box may differ in its last digits


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("fit", FITS)
def test_jpeg_decoded_small_is_close_to_the_whole_image(fit, turn, rng, tmp_path):
    """In every orientation that EXIF has, for sizes that are and are not multiples of eight."""
    exif = Image.Exif()
    exif[0x0112] = turn
    for size in ((1280, 960), (1001, 700), (333, 503)):
        photo(rng, *size).save(tmp_path / "a.jpg", quality=90, exif=exif)
        whole = ImageOps.exif_transpose(Image.open(tmp_path / "a.jpg"))
        for shape in ((32, 32), (64, 48)):
            whole.save(tmp_path / "whole.png")  # which is decoded whole
            expected, got = (255 * read_image(tmp_path / name, shape, fit=fit) for name in ("whole.png", "a.jpg"))
            difference = np.abs(got - expected)
            assert difference.mean() < 0.4
            assert difference.max() < 24


def test_jpeg_is_decoded_with_three_pixels_or_more_for_each_that_is_wanted(rng, tmp_path):
    """In both directions; with bars only the image itself counts."""
    photo(rng, 1600, 400).save(tmp_path / "a.jpg")
    for fit, shape, expected in (
        ("stretch", (32, 32), (400, 100)),
        ("pad", (32, 32), (200, 50)),
        ("crop", (32, 32), (400, 100)),
        ("stretch", (16, 16), (200, 50)),
        ("stretch", (25, 25), (400, 100)),
        ("stretch", (200, 200), (1600, 400)),
    ):
        with Image.open(tmp_path / "a.jpg") as file:
            left, top, right, bottom = reduce(file, shape, fit)
            assert (file.size, (right - left, bottom - top)) == (expected, expected)
    photo(rng, 90, 90).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as file:
        assert reduce(file, (8, 8), "stretch") is None


def test_bars_have_the_background_in_every_mode(tmp_path):
    for mode, black in (("RGB", 0), ("L", 0), ("I;16", 0), ("RGBA", (0, 0, 0, 255))):
        Image.new(mode, (20, 10), black).save(tmp_path / "a.png")
        for channels in (1, 3):
            for background in ("white", "black"):
                got = read_image(tmp_path / "a.png", (10, 10), channels, background=background, fit="pad")
                expected = np.zeros((channels, 10, 10), np.float32)
                expected[:, :2], expected[:, 7:] = (float(background == "white"),) * 2
                np.testing.assert_allclose(got, expected, atol=1e-6, err_msg=mode)


def test_one_pixel_and_extreme_proportions(tmp_path):
    for size in ((1, 1), (500, 1), (1, 500)):
        Image.new("RGB", size).save(tmp_path / "a.jpg")
        for fit in FITS:
            assert read_image(tmp_path / "a.jpg", (4, 4), fit=fit).shape == (3, 4, 4)


def test_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match="read_image: fit must be one of 'stretch', 'pad', 'crop', got 'fill'"):
        read_image("a.png", 8, fit="fill")
    with pytest.raises(ValueError, match="read_image: fit='crop' needs a size to which images are resized"):
        read_image("a.png", fit="crop")
    (tmp_path / "ant").mkdir()
    with pytest.raises(ValueError, match="ImageFolder: fit='pad' needs a size"):
        ImageFolder(tmp_path, fit="pad")
