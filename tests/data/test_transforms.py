"""Transforms: what they do, beside plain loops; the same numbers for the same generator; dtypes; refused options."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.data import one_hot
from minidl.data.transforms import (
    CenterCrop,
    ColorJitter,
    Compose,
    CutMix,
    Cutout,
    GaussianBlur,
    MixUp,
    Normalize,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    Transform,
)

RNG = np.random.default_rng
IMAGES = RNG(0).random((6, 3, 9, 7), dtype=np.float32)
ALL = [
    Normalize(0.5, [0.1, 0.2, 0.3]),
    RandomCrop((8, 6), padding=(1, 2)),
    RandomHorizontalFlip(),
    RandomRotation(30),
    RandomAffine(10, (0.1, 0.2), (0.8, 1.2), 5),
    Cutout(3),
    RandomErasing(1.0),
    ColorJitter(0.3, 0.3, 0.3, 0.3),
    CenterCrop((8, 9)),
    RandomVerticalFlip(),
    Resize((5, 12)),
    RandomResizedCrop((6, 8)),
    GaussianBlur((3, 5)),
    RandomErasing(1.0, value="random"),
    Compose(RandomCrop(7), Normalize(0.5, 0.5)),
    MixUp(4),
    CutMix(4),
]


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_shape_repetition_and_the_input_left_alone(transform, dtype):
    images, labels = IMAGES.astype(dtype), np.arange(6) % 4
    before = images.copy()
    out, new_labels = transform.apply((images, labels), RNG(1))
    again, _ = transform.apply((images, labels), RNG(1))
    np.testing.assert_array_equal(out, again)
    np.testing.assert_array_equal(images, before)
    assert out.dtype == dtype
    assert out.shape[:2] == (6, 3)
    assert len(new_labels) == 6
    assert np.isfinite(out).all()
    one, _ = transform.apply((images[:1], labels[:1]), RNG(1))
    assert len(one) == 1


def test_normalize():
    out = Normalize([0.5, 0.4, 0.3], 0.25)(IMAGES)
    np.testing.assert_allclose(out[:, 1], (IMAGES[:, 1] - 0.4) / 0.25, rtol=1e-5)
    with pytest.raises(ValueError, match="Normalize: 2 values for 3 channels"):
        Normalize([0.5, 0.4], 1)(IMAGES)
    with pytest.raises(ValueError, match="Normalize: mean and std must be finite, std not 0"):
        Normalize(0, [1, 0])


@given(size=st.integers(1, 9), padding=st.integers(0, 3), seed=st.integers(0, 99))
def test_a_crop_is_a_part_of_the_padded_image(size, padding, seed):
    images = np.arange(1, 3 * 2 * 8 * 6 + 1, dtype=np.float64).reshape(3, 2, 8, 6)
    size = min(size, 6 + 2 * padding)
    out = RandomCrop(size, padding)(images, RNG(seed))
    padded = np.pad(images, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))
    for image, part in zip(padded, out, strict=True):
        places = [(i, j) for i in range(padded.shape[2] - size + 1) for j in range(padded.shape[3] - size + 1)]
        assert any(np.array_equal(image[:, i : i + size, j : j + size], part) for i, j in places)


def test_a_crop_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match=r"RandomCrop: size \(9, 9\) is larger than the padded image \(9, 7\)"):
        RandomCrop(9)(IMAGES, RNG(0))


def test_flips():
    out = RandomHorizontalFlip()(IMAGES, RNG(0))
    flipped = [np.array_equal(o, i[:, :, ::-1]) for o, i in zip(out, IMAGES, strict=True)]
    same = [np.array_equal(o, i) for o, i in zip(out, IMAGES, strict=True)]
    assert 0 < sum(flipped) < 6
    assert all(f != s for f, s in zip(flipped, same, strict=True))
    np.testing.assert_array_equal(RandomHorizontalFlip(1.0)(IMAGES, RNG(0)), IMAGES[:, :, :, ::-1])
    np.testing.assert_array_equal(RandomHorizontalFlip(0.0)(IMAGES, RNG(0)), IMAGES)


class Fixed:
    """A generator whose uniform numbers are the upper bound."""

    def uniform(self, low, high, shape):
        return np.full(shape, high)


def test_rotation_by_90_degrees_and_moves_by_whole_pixels():
    image = RNG(0).random((2, 1, 7, 7))
    np.testing.assert_allclose(RandomRotation(90)(image, Fixed()), np.rot90(image, -1, axes=(2, 3)), atol=1e-12)
    moved = RandomAffine(0, (2 / 7, 1 / 7))(image, Fixed())
    np.testing.assert_allclose(moved[:, :, 1:, 2:], image[:, :, :-1, :-2], atol=1e-12)
    assert not moved[:, :, 0].any()
    assert not moved[:, :, :, :2].any()
    np.testing.assert_allclose(RandomAffine()(image, RNG(0)), image, atol=1e-12)


def test_rotation_beside_scipys_formula_pixel_by_pixel():
    image = RNG(0).random((1, 1, 6, 5))
    out = RandomAffine(20, (0.1, 0.1), (1.0, 1.1), 10, fill=0.5)(image, Fixed())
    angle, shear, scale, dx, dy = math.radians(20), math.tan(math.radians(10)), 1.1, 0.5, 0.6
    for i in range(6):
        for j in range(5):
            x, y = j - 2 - dx, i - 2.5 - dy
            x, y = math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x
            x, y = (x - shear * y) / scale + 2, y / scale + 2.5
            value = 0.0
            for a in (math.floor(y), math.floor(y) + 1):
                for b in (math.floor(x), math.floor(x) + 1):
                    pixel = image[0, 0, a, b] if 0 <= a < 6 and 0 <= b < 5 else 0.5
                    value += pixel * (1 - abs(y - a)) * (1 - abs(x - b))
            assert out[0, 0, i, j] == pytest.approx(value)


def test_cutout_and_erasing_blank_rectangles():
    ones = np.ones((50, 2, 10, 12))
    out = Cutout(4, value=-1)(ones, RNG(0))
    areas = (out[:, 0] == -1).sum(axis=(1, 2))
    assert areas.max() == 16
    assert areas.min() < 16
    assert set(np.unique(out)) == {-1.0, 1.0}
    erased = RandomErasing(0.5, scale=(0.1, 0.2))(ones, RNG(0))
    shares = (erased[:, 0] == 0).mean(axis=(1, 2))
    assert 10 < (shares > 0).sum() < 40
    assert shares.max() < 0.3
    for image in erased[shares > 0, 0]:
        rows, cols = np.nonzero(image == 0)
        assert (image[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1] == 0).all()


def test_colour_jitter():
    gray = np.full((4, 3, 2, 2), 0.25)
    out = ColorJitter(brightness=0.5)(gray, RNG(0))
    assert np.ptp(out, axis=(1, 2, 3)).max() < 1e-12
    assert len(np.unique(out[:, 0, 0, 0])) == 4
    np.testing.assert_allclose(ColorJitter(contrast=0.5, saturation=0.5)(gray, RNG(0)), gray)
    out = ColorJitter(saturation=1.0)(IMAGES, RNG(0))
    assert out.min() >= 0
    assert out.max() <= 1


def test_one_hot():
    np.testing.assert_array_equal(one_hot(np.array([2, 0]), 3), [[0, 0, 1], [1, 0, 0]])
    assert one_hot(np.zeros((2, 4, 5), int), 3).shape == (2, 3, 4, 5)
    with pytest.raises(ValueError, match="one_hot: expected labels from 0 to 2, got 1 to 3"):
        one_hot(np.array([1, 3]), 3)
    with pytest.raises(TypeError, match="one_hot: expected integer labels, got float64"):
        one_hot(np.zeros(3), 3)


@pytest.mark.parametrize("mix", [MixUp(4, alpha=0.4), CutMix(4, alpha=1.0)], ids=["mixup", "cutmix"])
def test_labels_are_mixed_as_the_images_are(mix):
    labels = np.arange(8) % 4
    images = np.broadcast_to(np.eye(4)[labels][:, :, None, None], (8, 4, 6, 6)).copy()  # each image is its label
    for seed in range(5):
        mixed, soft = mix.apply((images, labels), RNG(seed))
        np.testing.assert_allclose(mixed.mean(axis=(2, 3)), soft, atol=1e-12)
        np.testing.assert_allclose(soft.sum(axis=1), 1)
    twice, soft = Compose(mix, mix).apply((images, labels), RNG(0))
    np.testing.assert_allclose(soft.sum(axis=1), 1)
    assert twice.shape == images.shape


def test_what_is_refused():
    with pytest.raises(TypeError, match="Compose: expected transforms, got 3"):
        Compose(3)
    with pytest.raises(TypeError, match=r"Compose: expected .* got <class .*; pass an instance: RandomCrop\(\.\.\.\)"):
        Compose(RandomCrop)
    with pytest.raises(ValueError, match="RandomHorizontalFlip: p must be between"):
        RandomHorizontalFlip(2)
    with pytest.raises(ValueError, match="RandomAffine: translate must be a pair"):
        RandomAffine(scale=(0.0, 1.0))
    with pytest.raises(NotImplementedError, match="Transform does not define"):
        Transform()(IMAGES, RNG(0))
    for transform in ALL:
        if not isinstance(transform, (MixUp, CutMix)):
            with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
                transform(IMAGES[0], RNG(0))
