"""Every pass, every batch and every image has random numbers of its own, in every option that is drawn.

Each case varies one option alone, so that a number shared by a whole batch cannot hide behind another one.
"""

import numpy as np
import pytest

from minidl.data import ArrayDataset, DataLoader
from minidl.data.transforms import (
    ColorJitter,
    Compose,
    CutMix,
    Cutout,
    GaussianBlur,
    MixUp,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Transform,
)

RNG = np.random.default_rng
SIZE = 16  # of a batch


class Noise(Transform):
    """The random numbers themselves."""

    def __call__(self, images, rng):
        return rng.random(images.shape)


# The transform, and the shape of the images: where places are drawn, one pixel in the other direction.
CASES = {
    "noise": (Noise(), (1, 4, 4)),
    "crop, rows": (RandomCrop((9, 9), padding=(4, 0)), (1, 9, 9)),
    "crop, columns": (RandomCrop((9, 9), padding=(0, 4)), (1, 9, 9)),
    "flip": (RandomHorizontalFlip(), (1, 9, 9)),
    "rotation": (RandomRotation(40), (1, 9, 9)),
    "affine, along x": (RandomAffine(translate=(0.3, 0)), (1, 9, 9)),
    "affine, along y": (RandomAffine(translate=(0, 0.3)), (1, 9, 9)),
    "affine, scale": (RandomAffine(scale=(0.5, 2)), (1, 9, 9)),
    "affine, shear": (RandomAffine(shear=30), (1, 9, 9)),
    "cutout, rows": (Cutout(5), (1, 40, 1)),
    "cutout, columns": (Cutout(5), (1, 1, 40)),
    "erasing, whether": (RandomErasing(0.5, (1, 1), (1, 1)), (1, 9, 9)),
    "erasing, rows": (RandomErasing(1, (0.1, 0.1), (0.25, 0.25)), (1, 40, 1)),
    "erasing, columns": (RandomErasing(1, (0.1, 0.1), (4, 4)), (1, 1, 40)),
    "erasing, size": (RandomErasing(1, (0.1, 0.9), (1, 1)), (1, 20, 20)),
    "erasing, shape": (RandomErasing(1, (0.1, 0.1), (0.2, 5)), (1, 20, 20)),
    "brightness": (ColorJitter(brightness=0.5), (3, 5, 5)),
    "contrast": (ColorJitter(contrast=0.5), (3, 5, 5)),
    "saturation": (ColorJitter(saturation=0.5), (3, 5, 5)),
    "hue": (ColorJitter(hue=0.5), (3, 5, 5)),
    "vertical flip": (RandomVerticalFlip(), (1, 9, 9)),
    "resized crop, place": (RandomResizedCrop(9, (0.2, 0.2), (1, 1)), (1, 20, 20)),
    "resized crop, size": (RandomResizedCrop(9, (0.1, 1), (1, 1)), (1, 20, 20)),
    "resized crop, shape": (RandomResizedCrop(9, (0.3, 0.3), (0.3, 3)), (1, 20, 20)),
    "blur": (GaussianBlur(5, (0.1, 2)), (1, 9, 9)),
    "erasing, values": (RandomErasing(1, (1, 1), (1, 1), "random"), (1, 9, 9)),
    "both of two": (Compose(Noise(), Noise()), (1, 4, 4)),
}


def batches(transform, images, prefetch=0, passes=2):
    """The batches of some passes over three times the same batch, which nothing but random numbers tells apart."""
    labels = np.arange(SIZE) % 4
    data = ArrayDataset(np.concatenate([images] * 3), np.concatenate([labels] * 3))
    loader = DataLoader(data, SIZE, transform=transform, rng=RNG(0), prefetch=prefetch)
    return [batch for _ in range(passes) for batch in loader]


def assert_all_differ(arrays):
    arrays = [np.asarray(array) for array in arrays]
    assert len({array.tobytes() for array in arrays}) == len(arrays)


def erased(images):
    """Where and of which size the blanked part of each image is: (height, width, area)."""
    return [tuple(np.ptp(place) for place in np.nonzero(image == 0)) for image in images[:, 0]]


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("name", CASES)
def test_batches_passes_and_images_differ(name, prefetch):
    transform, shape = CASES[name]
    image = RNG(1).uniform(0.2, 0.8, shape)
    made = [images for images, _ in batches(transform, np.broadcast_to(image, (SIZE, *shape)), prefetch)]
    assert len(made) == 6
    assert_all_differ(made)
    for images in made:
        distinct = len({one.tobytes() for one in images})
        assert distinct > 1, "all images of a batch have the same random numbers"
        if name in ("noise", "rotation", "brightness") or name.startswith("affine"):  # continuous numbers
            assert distinct == SIZE
    if name in ("erasing, size", "erasing, shape"):
        assert all(len(set(erased(images))) > 2 for images in made)


@pytest.mark.parametrize("mix", [MixUp(4), CutMix(4)], ids=["mixup", "cutmix"])
def test_batches_and_passes_are_mixed_differently(mix):
    made = batches(mix, RNG(1).random((SIZE, 1, 9, 9)))
    assert_all_differ([images for images, _ in made])
    assert_all_differ([labels for _, labels in made])
    shares = [labels.max(axis=1).min() for _, labels in made]
    assert len(set(shares)) > 1


def test_each_batch_has_a_rectangle_of_its_own():
    images = np.broadcast_to(np.arange(SIZE)[:, None, None, None], (SIZE, 1, 20, 20)).astype(float)
    pasted = [(made != images).any(axis=(0, 1)) for made, _ in batches(CutMix(4, alpha=1e6), images)]
    corners = [tuple(place.min() for place in np.nonzero(one)) for one in pasted]
    rows, columns = zip(*corners, strict=True)
    assert len(set(rows)) > 1
    assert len(set(columns)) > 1
    assert len(set(zip(rows, columns, strict=True))) > 3


def test_the_transforms_of_one_composition_do_not_share_their_numbers():
    class Both(Transform):
        def __call__(self, images, rng):
            return np.concatenate([images, rng.random((len(images), 1, 1, 1))], axis=1)

    images = Compose(Both(), Both()).apply((np.zeros((SIZE, 1, 1, 1)),), RNG(0))[0]
    assert len(np.unique(images[:, 1:])) == 2 * SIZE


def test_all_numbers_of_two_passes_differ():
    made = np.concatenate([images for images, _ in batches(Noise(), np.zeros((SIZE, 1, 3, 3)))])
    assert len(np.unique(made)) == made.size


def test_the_same_seed_gives_the_same_batches():
    first, second = (batches(Noise(), np.zeros((SIZE, 1, 3, 3))) for _ in range(2))
    for (one, _), (other, _) in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
