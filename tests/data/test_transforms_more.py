"""Resizing, crops, blur, hue: beside Pillow, PyTorch, colorsys and plain loops; masks go with their images."""

import colorsys
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.data import ArrayDataset, DataLoader
from minidl.data.transforms import (
    CenterCrop,
    ColorJitter,
    Compose,
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
)

RNG = np.random.default_rng
IMAGES = RNG(0).random((6, 3, 9, 7), dtype=np.float32)
SIZES = [(9, 7), (5, 4), (3, 14), (20, 3), (1, 1), (18, 14)]


@pytest.mark.parametrize("size", SIZES)
def test_resize_is_pillows(size):
    Image = pytest.importorskip("PIL.Image")
    for interpolation, how in (("bilinear", Image.Resampling.BILINEAR), ("nearest", Image.Resampling.NEAREST)):
        out = Resize(size, interpolation)(IMAGES)
        assert out.shape == (6, 3, *size)
        for planes, image in zip(out, IMAGES, strict=True):
            for plane, channel in zip(planes, image, strict=True):
                expected = np.asarray(Image.fromarray(channel).resize(size[::-1], how))
                np.testing.assert_allclose(plane, expected, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("antialias", [True, False])
def test_resize_is_pytorchs(size, antialias, torch):
    images = IMAGES.astype(np.float64)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(images), size, mode="bilinear", align_corners=False, antialias=antialias
    )
    np.testing.assert_allclose(Resize(size, antialias=antialias)(images), expected.numpy(), atol=1e-12)


@pytest.mark.parametrize(
    ("size", "shape", "expected"),
    [(5, (9, 7), (6, 5)), (5, (7, 9), (5, 6)), (14, (9, 7), (18, 14)), (4, (8, 8), (4, 4)), ([6], (9, 7), (7, 6))],
)
def test_an_int_is_the_shorter_side_of_a_resized_image(size, shape, expected):
    """As torchvision has it: the longer side is int(size * longer / shorter)."""
    assert Resize(size)(np.zeros((2, 1, *shape))).shape == (2, 1, *expected)


@given(height=st.integers(1, 12), width=st.integers(1, 12), seed=st.integers(0, 99))
def test_a_crop_that_is_resized_is_a_part_of_the_image(height, width, seed):
    """The part that was drawn lies within the image, and the result is that part, resized."""
    transform = RandomResizedCrop((4, 4), (0.2, 0.9), (0.5, 2.0))
    images = RNG(seed).random((3, 2, height, width))
    boxes = transform.draw(images, RNG(seed))
    out = transform(images, RNG(seed))
    for image, made, (top, left, high, wide) in zip(images, out, boxes.tolist(), strict=True):
        assert 0 <= top <= height - high
        assert 0 <= left <= width - wide
        assert high >= 1
        assert wide >= 1
        part = image[None, :, top : top + high, left : left + wide]
        np.testing.assert_allclose(made, Resize((4, 4))(part)[0], atol=1e-12)


def test_parts_have_the_areas_and_proportions_that_are_asked_for():
    boxes = RandomResizedCrop(8, (0.1, 0.5), (0.5, 2.0)).draw(np.zeros((4000, 1, 200, 200)), RNG(0))
    share, ratio = boxes[:, 2] * boxes[:, 3] / 200**2, boxes[:, 3] / boxes[:, 2]
    assert (share.min(), share.max()) == pytest.approx((0.1, 0.5), abs=0.01)
    assert share.mean() == pytest.approx(0.3, abs=0.01)
    assert (ratio.min(), ratio.max()) == pytest.approx((0.5, 2.0), abs=0.03)
    assert np.log(ratio).mean() == pytest.approx(0, abs=0.03)


def test_where_no_part_fits_the_middle_is_taken():
    """torchvision's fallback: the whole height of a wide image, with the largest ratio that is allowed."""
    assert (
        RandomResizedCrop(4, (1, 1), (1, 1.5)).draw(np.zeros((2, 1, 10, 40)), RNG(0)).tolist() == [[0, 12, 10, 15]] * 2
    )
    assert (
        RandomResizedCrop(4, (1, 1), (1, 1.5)).draw(np.zeros((2, 1, 40, 10)), RNG(0)).tolist() == [[15, 0, 10, 10]] * 2
    )
    boxes = RandomResizedCrop(4, (1, 1), (0.5, 0.8)).draw(np.zeros((1, 1, 40, 10)), RNG(0))
    assert boxes.tolist() == [[10, 0, 20, 10]]
    assert RandomResizedCrop(4, (1, 1), (0.9, 1)).draw(np.zeros((1, 1, 8, 8)), RNG(0))[0, 2:].min() >= 7


def test_the_middle_of_an_image():
    images = np.arange(35.0).reshape(1, 1, 7, 5)
    np.testing.assert_array_equal(CenterCrop(3)(images)[0, 0], images[0, 0, 2:5, 1:4])
    np.testing.assert_array_equal(CenterCrop((2, 5))(images)[0, 0], images[0, 0, 2:4])  # round(2.5) is 2
    out = CenterCrop((8, 8))(images)[0, 0]  # torchvision pads (8 - 5) // 2 columns on the left, one more on the right
    np.testing.assert_array_equal(out[:7, 1:6], images[0, 0])
    assert out.sum() == images.sum()


def test_vertical_flips():
    np.testing.assert_array_equal(RandomVerticalFlip(1.0)(IMAGES, RNG(0)), IMAGES[:, :, ::-1])
    np.testing.assert_array_equal(RandomVerticalFlip(0.0)(IMAGES, RNG(0)), IMAGES)


@pytest.mark.parametrize("kernel_size", [3, (5, 3), (1, 7), 1])
def test_blur_is_a_convolution_with_the_gaussian(kernel_size, torch):
    """As torchvision computes it, by PyTorch: reflected edges, kernel_size as (width, height), one sigma an image."""
    images = RNG(0).random((4, 3, 9, 7))
    sigmas = RNG(1).uniform(0.3, 1.5, (4, 1)).ravel()
    out = GaussianBlur(kernel_size, (0.3, 1.5))(images, RNG(1))
    width, height = (kernel_size,) * 2 if isinstance(kernel_size, int) else kernel_size
    for image, sigma, blurred in zip(images, sigmas, out, strict=True):
        lines = []
        for size in (height, width):
            line = np.exp(-0.5 * (np.linspace(-(size - 1) / 2, (size - 1) / 2, size) / sigma) ** 2)
            lines.append(line / line.sum())
        kernel = torch.from_numpy(np.outer(*lines)).expand(3, 1, height, width)
        edges = [width // 2, width // 2, height // 2, height // 2]
        padded = torch.nn.functional.pad(torch.from_numpy(image)[None], edges, mode="reflect")
        expected = torch.nn.functional.conv2d(padded, kernel, groups=3)[0]
        np.testing.assert_allclose(blurred, expected.numpy(), atol=1e-12)


def test_hue_is_that_of_hsv():
    images = RNG(0).random((5, 3, 4, 3))
    images[0, :, 0, 0], images[0, :, 0, 1], images[0, 1:, 0, 2] = 0.3, 0, 0.8  # grey, black, two that are equal
    out = ColorJitter(hue=0.4)(images, RNG(3))
    numbers = RNG(3)
    for _ in range(3):
        numbers.uniform(1, 1, (5, 1, 1, 1))
    for image, made, turn in zip(images, out, numbers.uniform(-0.4, 0.4, 5), strict=True):
        for i, j in np.ndindex(4, 3):
            hue, saturation, value = colorsys.rgb_to_hsv(*image[:, i, j])
            np.testing.assert_allclose(
                made[:, i, j], colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value), atol=1e-9
            )
    grey = images[:, :1]
    np.testing.assert_array_equal(ColorJitter(hue=0.5)(grey, RNG(0)), grey)


def test_no_hue_draws_what_it_drew_before():
    """Runs of before, whose seeds are stored, stay as they were."""
    first, second = RNG(0), RNG(0)
    ColorJitter(0.1, 0.2, 0.3)(IMAGES, first)
    for _ in range(3):
        second.uniform(size=6)
    assert first.random() == second.random()


def test_values_of_erasing():
    ones = np.ones((200, 3, 8, 8), np.float32)
    out = RandomErasing(1.0, (1, 1), (1, 1), value=(0.1, 0.2, 0.3))(ones, RNG(0))
    np.testing.assert_allclose(out.mean(axis=(0, 2, 3)), (0.1, 0.2, 0.3), rtol=1e-5)
    out = RandomErasing(1.0, (1, 1), (1, 1), value="random")(ones, RNG(0))
    assert (out.mean(), out.std()) == pytest.approx((0, 1), abs=0.02)
    assert out.dtype == np.float32


MASKED = [
    RandomCrop((30, 20), padding=(1, 2)),
    CenterCrop((32, 40)),
    RandomHorizontalFlip(),
    RandomVerticalFlip(),
    RandomRotation(40),
    RandomAffine(10, (0.2, 0.2), (0.7, 1.3), 10),
    Resize((20, 50)),
    Resize(30, "nearest"),
    RandomResizedCrop((24, 18)),
    Compose([RandomRotation(20), RandomCrop(28), RandomHorizontalFlip(), Resize(40)]),
]


@pytest.mark.parametrize("transform", MASKED, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, np.float32])
def test_masks_go_where_their_images_go(transform, dtype):
    """Images that are their own masks, of 9 x 7 areas of 0 or 1: within an area the two stay the same."""
    areas = RNG(0).random((16, 1, 4, 4)) < 0.5
    masks = areas.repeat(9, axis=2).repeat(7, axis=3).repeat(2, axis=1)
    images, labels = masks.astype(np.float64), np.arange(16)
    batch = (images, masks.astype(dtype), masks[:, 0].astype(dtype), labels)
    moved, many, one, kept = transform.apply(batch, RNG(5))
    assert moved.shape == many.shape == (16, 2, *one.shape[1:])
    assert many.dtype == one.dtype == dtype
    np.testing.assert_array_equal(many[:, 0], one)
    np.testing.assert_array_equal(kept, labels)
    within = np.abs(moved - 0.5) > 0.4999
    assert within.mean() > 0.4
    np.testing.assert_array_equal(many[within], np.rint(moved[within]))
    np.testing.assert_array_equal(moved, transform.apply((images,), RNG(5))[0])  # masks draw no numbers of their own


def test_nearest_pixels_by_plain_loops():
    """A rotation of masks: each pixel is the one that its place falls on, 0 outside."""
    masks = RNG(0).integers(1, 255, (3, 1, 6, 5), dtype=np.uint8)
    transform = RandomAffine(30, (0.2, 0.2), (0.8, 1.2), 10)
    y, x = transform.draw(masks.astype(np.float64), RNG(1))
    moved = transform.move(masks, (y, x), mask=True)
    for n, i, j in np.ndindex(3, 6, 5):
        row, column = int(np.floor(y[n, i, j] + 0.5)), int(np.floor(x[n, i, j] + 0.5))
        inside = 0 <= row < 6 and 0 <= column < 5
        assert moved[n, 0, i, j] == (masks[n, 0, row, column] if inside else 0)


def test_labels_targets_and_pixels_that_stay_are_no_masks():
    images, labels, soft = IMAGES, np.arange(6), RNG(0).random((6, 9))
    points, other = RNG(0).random((6, 4, 2)), RNG(0).random((6, 3, 9, 8))
    batch = RandomCrop(5).apply((images, labels, soft, points, other, "text"), RNG(0))
    for after, before in zip(batch[1:], (labels, soft, points, other, "text"), strict=True):
        assert after is before
    for transform in (ColorJitter(0.5), GaussianBlur(3), RandomErasing(1.0), Normalize(0.5, 0.5)):
        mask = RNG(0).integers(0, 5, (6, 9, 7))
        assert transform.apply((images, mask), RNG(0))[1] is mask


def test_a_loader_transforms_images_and_masks_together():
    masks = (RNG(0).random((20, 8, 8)) < 0.5).astype(np.int64)
    data = ArrayDataset(masks[:, None].astype(np.float32), masks)
    augment = Compose([RandomHorizontalFlip(), RandomVerticalFlip(), RandomCrop(8, padding=2)])
    for images, targets in DataLoader(data, 5, shuffle=True, transform=augment, prefetch=1):
        np.testing.assert_array_equal(images[:, 0], targets)


def test_functions_and_lists_make_a_composition():
    double = Compose([lambda images: images * 2, RandomHorizontalFlip(1.0)])
    np.testing.assert_array_equal(double(IMAGES, RNG(0)), 2 * IMAGES[..., ::-1])
    _, labels = double.apply((IMAGES, np.arange(6)), RNG(0))
    np.testing.assert_array_equal(labels, np.arange(6))
    np.testing.assert_array_equal(Compose(np.abs)(-IMAGES, RNG(0)), IMAGES)
    np.testing.assert_array_equal(Compose([])(IMAGES, RNG(0)), IMAGES)
    np.testing.assert_array_equal(Compose((Compose([np.negative]), abs))(IMAGES, RNG(0)), IMAGES)
    _, soft = Compose([np.abs, MixUp(6)]).apply((IMAGES, np.arange(6)), RNG(0))
    assert soft.shape == (6, 6)
    with pytest.raises(ValueError, match=r"Compose: <function .*lambda.* must return 6 images, got 3 images"):
        Compose([lambda images: images[:3]])(IMAGES, RNG(0))
    with pytest.raises(TypeError, match=r"Compose: <function .* must return an array of images, got NoneType"):
        Compose([lambda images: None])(IMAGES, RNG(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Resize("big"), "Resize: size must be an integer, got 'big'"),
        (lambda: Resize((3, 0)), "Resize: size must be at least 1"),
        (lambda: Resize(3, "cubic"), "Resize: interpolation must be one of 'bilinear', 'nearest', got 'cubic'"),
        (lambda: Resize(3, antialias=2), "Resize: antialias must be True or False, got 2"),
        (lambda: RandomResizedCrop(3, (0.5, 0.1)), "RandomResizedCrop: scale and ratio must be ranges"),
        (lambda: RandomResizedCrop(3, (0.1, 1.5)), "RandomResizedCrop: scale must be "),
        (lambda: RandomResizedCrop(3, ratio=(0, 1)), "RandomResizedCrop: ratio must be "),
        (lambda: CenterCrop(0), "CenterCrop: size must be at least 1"),
        (lambda: RandomVerticalFlip(2), "RandomVerticalFlip: p must be between"),
        (lambda: GaussianBlur(4), "GaussianBlur: kernel_size must be odd, got 4"),
        (lambda: GaussianBlur(3, 0), "GaussianBlur: sigma must be "),
        (lambda: GaussianBlur(3, (2, 1)), r"GaussianBlur: sigma must be a range, got \(2, 1\)"),
        (lambda: GaussianBlur(19)(IMAGES, RNG(0)), r"GaussianBlur: kernel_size .* is too large for images \(9, 7\)"),
        (lambda: ColorJitter(hue=0.6), "ColorJitter: hue must be between"),
        (lambda: ColorJitter(hue=0.1)(IMAGES[:, :2], RNG(0)), "ColorJitter: hue needs images of 1 or 3 channels, got"),
        (lambda: RandomErasing(value="noise"), "RandomErasing: value must be one of 'random', got 'noise'"),
        (lambda: RandomErasing(value=(1, "x")), "RandomErasing: value must be a number, got 'x'"),
        (lambda: RandomErasing(1.0, value=(1, 2))(IMAGES, RNG(0)), "RandomErasing: 2 values for 3 channels"),
    ],
)  # fmt: skip
def test_what_is_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=f"^{message}"):
        make()


@pytest.mark.parametrize("shape", [(8, 16, 12, 1), (8, 8, 8), (7, 16, 12), (8, 2, 1, 16, 12)])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_masks_that_do_not_fit_the_images_are_refused(shape, dtype):
    images, masks = np.zeros((8, 3, 16, 12), np.float32), np.zeros(shape, dtype)
    wanted = rf"RandomHorizontalFlip: masks must be \(N, H, W\) or \(N, K, H, W\) .*{re.escape(f'{images.shape}')}.*"
    with pytest.raises(ValueError, match=wanted + re.escape(f"{np.dtype(dtype)} beside them is {shape}")):
        Compose([RandomHorizontalFlip()]).apply((images, masks), np.random.default_rng(0))


def test_what_may_be_something_else_than_masks_stays_as_it_is():
    images, rng = np.zeros((8, 3, 16, 12), np.float32), np.random.default_rng(0)
    others = np.arange(8), np.eye(8, dtype=int), rng.standard_normal((8, 5, 4)).astype(np.float32)
    _, *after = RandomHorizontalFlip(1.0).apply((images, *others), rng)
    for one, other in zip(after, others, strict=True):
        np.testing.assert_array_equal(one, other)
