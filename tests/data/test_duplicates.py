"""Thumbnails are Pillow's averages; copies, saved again, resized or made darker, are found, and others are not."""

import io

import numpy as np
import pytest
from photos import photo

from minidl.data.duplicates import ALIKE, digest, look_alike, same, thumbnail

Image = pytest.importorskip("PIL.Image")
ImageEnhance = pytest.importorskip("PIL.ImageEnhance")


def pixels(image):
    """An image of Pillow's as a folder's dataset reads it."""
    small = image.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32).transpose(2, 0, 1) / 255


def saved_again(image):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=30)
    return Image.open(stream)


@pytest.mark.parametrize("shape", [(64, 64), (32, 48), (33, 100), (50, 35)])
def test_a_thumbnail_is_the_standardised_average_over_areas(shape, rng):
    """By hand: each pixel repeated 16 times in both directions, so that the areas hold whole ones."""
    values = rng.random((1, *shape), np.float32)
    fine = values[0].astype(np.float64).repeat(16, axis=0).repeat(16, axis=1)
    expected = fine.reshape(16, shape[0], 16, shape[1]).mean(axis=(1, 3))
    if shape[0] % 16 == shape[1] % 16 == 0:
        pillows = np.asarray(Image.fromarray(values[0]).resize((16, 16), Image.Resampling.BOX))
        np.testing.assert_allclose(expected, pillows, atol=1e-6)
    expected = (expected - expected.mean()).ravel()
    np.testing.assert_allclose(thumbnail(values), expected / np.linalg.norm(expected), atol=1e-5)


def test_grey_of_colours_is_pillows(rng):
    image = photo(rng, 64, 64)
    grey = np.asarray(image.convert("L"), np.float32)[None] / 255
    assert thumbnail(pixels(image)) @ thumbnail(grey) > 0.9999


def test_copies_look_alike_and_other_photographs_do_not(rng):
    originals = [photo(rng, 200 + 10 * number, 300) for number in range(20)]
    changes = {
        "saved again": saved_again,
        "smaller": lambda image: image.resize((80, 90)),
        "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
        "grey": lambda image: image.convert("L"),
    }
    for name, change in changes.items():
        copies = [change(image) for image in originals]
        thumbnails = np.stack([thumbnail(pixels(image)) for image in (*originals, *copies)])
        found = {(i, j) for some in look_alike(thumbnails) for i, j, _ in some}
        assert found == {(number, 20 + number) for number in range(20)}, name


def test_all_pairs_are_compared_in_pieces(rng):
    """Over the edges of the pieces: each image from 1,020 to 1,029 has a copy at the end."""
    thumbnails = rng.standard_normal((2100, 256)).astype(np.float32)
    thumbnails /= np.linalg.norm(thumbnails, axis=1, keepdims=True)
    thumbnails[2090:] = thumbnails[1020:1030]
    steps = list(look_alike(thumbnails))
    assert len(steps) == 3
    pairs = [pair for some in steps for pair in some]
    assert [(i, j) for i, j, _ in pairs] == [(1020 + n, 2090 + n) for n in range(10)]
    assert all(likeness == pytest.approx(1, abs=1e-5) for _, _, likeness in pairs)
    assert ALIKE < 1


def test_images_without_contrast_resemble_none():
    flat = thumbnail(np.full((3, 40, 40), 0.7, np.float32))
    np.testing.assert_array_equal(flat, 0)
    assert not any(look_alike(np.stack([flat, flat])))


def test_the_same_pixels_have_the_same_digest_whatever_their_layout(rng):
    image = rng.random((3, 4, 6), np.float32)
    other = np.asfortranarray(image)
    assert digest(image) == digest(other) != digest(image + np.float32(1e-6))
    assert digest(image) != digest(image.reshape(3, 6, 4))
    assert same([b"a", b"b", b"a", b"c", b"c", b"a"]) == [[0, 2, 5], [3, 4]]
    assert same([]) == same([b"a"]) == []
