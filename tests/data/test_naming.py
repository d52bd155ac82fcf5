"""The public functions and classes of minidl.data name themselves in errors, and convert NumPy's scalars."""

import inspect

import numpy as np
import pytest

from minidl import data
from minidl.data import (
    ArrayDataset,
    DataLoader,
    Dataset,
    Sampler,
    StratifiedSampler,
    Subset,
    WeightedSampler,
    one_hot,
    random_split,
    read_image,
    transforms,
)
from minidl.data.transforms import Compose, CutMix, MixUp, Normalize, RandomAffine, RandomCrop, RandomErasing, Transform

DIGITS = ArrayDataset(np.zeros((10, 1, 4, 4), np.float32), np.arange(10))
IMAGES = np.zeros((4, 1, 4, 4), np.float32)
RNG = np.random.default_rng


class Few(Transform):
    def __call__(self, images, rng):
        return images[:2]


class NoTuple(Transform):
    def apply(self, batch, rng):
        return batch[0]


class Samples(Dataset):
    """A user's dataset with some mistake: sample 1 is what was given."""

    def __init__(self, odd):
        self.odd = odd

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return self.odd if index == 1 else (np.zeros((1, 2, 2)), 0)


class Order(Sampler):
    def __len__(self):
        return 2

    def indices(self, rng):
        return np.array([0.0, 1.0])


LETTERS = ["a", "b"]
REFUSED = [
    (lambda: ArrayDataset([[1, 2], [3]]), "ArrayDataset: "),
    (lambda: ArrayDataset([1], classes="ab"), "ArrayDataset: classes must be a list of names, got 'ab'"),
    (lambda: ArrayDataset([1], classes=[1]), r"ArrayDataset: classes must be a list of names, got \[1\]"),
    (lambda: Subset(np.zeros(3), [0]), "Subset: dataset must be a Dataset, got ndarray; arrays go into ArrayDataset"),
    (lambda: Subset(DIGITS, [[1, 2], [3]]), "Subset: "),
    (lambda: Subset(DIGITS, [10]), "Subset: indices must be from 0 to 9, got 10 to 10"),
    (lambda: random_split(np.zeros(10), [5, 5]), "random_split: dataset must be a Dataset, got ndarray"),
    (lambda: random_split(DIGITS, 5), "random_split: lengths must be a list of numbers, got 5"),
    (lambda: random_split(DIGITS, "55"), "random_split: lengths must be a list of numbers, got '55'"),
    (lambda: random_split(DIGITS, LETTERS), "random_split: each length must be a number, got 'a'"),
    (lambda: random_split(DIGITS, [np.nan, 1]), "random_split: each length must be "),
    (lambda: random_split(DIGITS, [np.inf, 1]), "random_split: each length must be finite"),
    (lambda: random_split(DIGITS, np.array([5, 4])), r"random_split: lengths must add up .* got \[5, 4\]"),
    (lambda: random_split(DIGITS, []), r"random_split: lengths must add up to the dataset's 10"),
    (lambda: random_split(DIGITS, [5, 5], rng=0), "random_split: rng must be a numpy.random.Generator"),
    (lambda: WeightedSampler(LETTERS), "WeightedSampler: "),
    (lambda: WeightedSampler([1, 2], 1.5), "WeightedSampler: num_samples must be an integer, got 1.5"),
    (lambda: StratifiedSampler([[1, 2], [3]]), "StratifiedSampler: "),
    (lambda: DataLoader(DIGITS, rng=0), "DataLoader: rng must be a numpy.random.Generator"),
    (lambda: DataLoader(DIGITS).load_state_dict({}), "DataLoader: cannot load state: missing seed, batch, rng"),
    (lambda: list(DataLoader(DIGITS, sampler=Order())), "DataLoader: the sampler must give 2 indices .* of float64"),
    (
        lambda: list(DataLoader(Samples(np.zeros((1, 2, 2))), 3)),
        "Samples: one sample has 2 parts, another one 1 part, a ndarray: samples 0 and 1",
    ),
    (lambda: list(DataLoader(Samples((np.zeros((1, 2, 2)),)), 3)), "Samples: one sample has 2 parts, another one 1"),
    (
        lambda: list(DataLoader(Samples((np.zeros((1, 3, 2)), 0)), 3)),
        r"Samples: samples of one batch must have the same shape, got \(1, 2, 2\) and \(1, 3, 2\)",
    ),
    (lambda: read_image("x.png", channels=2), "read_image: channels must be 1 or 3, got 2"),
    (lambda: read_image("x.png", size="big"), "read_image: size must be an integer or a pair of integers, got 'big'"),
    (lambda: read_image("nothing.png"), "read_image: cannot read the image nothing.png"),
    (
        lambda: Compose([RandomCrop(2)], [RandomCrop(2)]),
        r"Compose: expected transforms, got \[.*; pass all of them as one list: Compose\(\[first",
    ),
    (lambda: Compose(RandomCrop), r"Compose: expected transforms, got <class .*; pass an instance: RandomCrop\(...\)"),
    (lambda: Compose(3), "Compose: expected transforms, got 3$"),
    (lambda: Compose(Few())(IMAGES, RNG(0)), r"Compose: Few.apply\(\) must return a tuple with 4 images first, got 2"),
    (lambda: Compose(NoTuple())(IMAGES, RNG(0)), r"Compose: NoTuple.apply\(\) must return a tuple .* got ndarray"),
    (lambda: Compose(RandomCrop(9))(IMAGES, RNG(0)), "RandomCrop: size .* is larger than the padded image"),
    (lambda: Normalize("a", 1), "Normalize: "),
    (lambda: Normalize([1, 2, 3], [1, 2]), r"Normalize: mean and std must have one value .* got \(3, 2\) values"),
    (lambda: Normalize([], 1), r"Normalize: mean and std must have one value .* got \(0, 1\) values"),
    (lambda: RandomAffine(translate=0.1), "RandomAffine: translate must be a pair of numbers, got 0.1"),
    (
        lambda: RandomAffine(translate=(0.1, 0, 0)),
        r"RandomAffine: translate must be a pair of numbers, got \(0.1, 0, 0",
    ),
    (lambda: RandomAffine(scale="ab"), "RandomAffine: scale must be a pair of numbers, got 'ab'"),
    (lambda: RandomAffine(scale=()), r"RandomAffine: scale must be a pair of numbers, got \(\)"),
    (lambda: RandomErasing(scale=0.1), "RandomErasing: scale must be a pair of numbers, got 0.1"),
    (lambda: RandomErasing(ratio=(2, 1)), "RandomErasing: scale and ratio must be ranges"),
    (lambda: one_hot([0], 2.5), "one_hot: num_classes must be an integer, got 2.5"),
    (lambda: one_hot([0], 2, dtype="colour"), "one_hot: "),
    (lambda: MixUp(2).apply((IMAGES,), RNG(0)), r"MixUp: expected a batch \(images, labels\), got images only"),
    (
        lambda: CutMix(2).apply((IMAGES, [0, 1, 2, 0]), RNG(0)),
        "CutMix: one_hot: expected labels from 0 to 1, got 0 to 2",
    ),
    (
        lambda: MixUp(2).apply((IMAGES, [0, 1]), RNG(0)),
        r"MixUp: expected labels of shape \(4,\) or \(4, 2\), got \(2,\)",
    ),
    (lambda: MixUp(2).apply((IMAGES, np.ones((4, 3))), RNG(0)), r"MixUp: expected labels .* got \(4, 3\)"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=lambda value: value[:50] if isinstance(value, str) else "")
def test_errors_begin_with_the_name_that_was_called(call, message):
    with pytest.raises((ValueError, TypeError, IndexError), match=f"^{message}"):
        call()


TRANSFORMS = [name for name in transforms.__all__ if name not in ("Compose", "Transform", "one_hot")]
ARGUMENTS = {"Normalize": (0.5, 0.5), "RandomRotation": (9,), "Cutout": (2,), "GaussianBlur": (3,)}
ARGUMENTS.update(dict.fromkeys(("RandomCrop", "CenterCrop", "Resize", "RandomResizedCrop"), (2,)))
ARGUMENTS.update(dict.fromkeys(("MixUp", "CutMix"), (3,)))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_names_itself_when_it_is_given_no_images(name):
    transform = getattr(transforms, name)(*ARGUMENTS.get(name, ()))
    for images in (IMAGES[0], IMAGES.astype(int), "images"):
        with pytest.raises((ValueError, TypeError), match=f"^{name}: expected "):
            transform.apply((images, np.zeros(len(images), int)), RNG(0))


def scalar(value):
    """The value, with each number in it as NumPy's scalar of its own kind."""
    if isinstance(value, tuple):
        return tuple(map(scalar, value))
    if isinstance(value, (str, bool)):
        return value
    return np.float64(value) if isinstance(value, float) else np.int64(value)


def plain(value):
    values = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
    return all(type(one) in (int, float, bool, str) for one in values)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_numpys_scalars_are_converted(name):
    kind = getattr(transforms, name)
    given = dict(zip(inspect.signature(kind).parameters, ARGUMENTS.get(name, ()), strict=False))
    for argument, parameter in inspect.signature(kind).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            given[argument] = parameter.default
    transform = kind(**{argument: scalar(value) for argument, value in given.items()})
    if name != "Normalize":  # it keeps arrays
        assert all(plain(value) for value in vars(transform).values()), vars(transform)
    images = np.full((3, 3, 6, 6), 0.5, np.float32)
    out, labels = transform.apply((images, np.arange(3)), RNG(0))
    assert out.dtype == np.float32
    assert labels.dtype in (np.int64, np.float32)


def test_other_options_are_converted():
    loader = DataLoader(DIGITS, np.int64(4), np.bool_(False), drop_last=np.bool_(True), prefetch=np.int8(1))
    values = (loader.batch_size, loader.shuffle, loader.drop_last, loader.prefetch)
    assert [type(value) for value in values] == [int, bool, bool, int]
    assert type(WeightedSampler([1, 2], np.int64(5)).num_samples) is int
    assert [len(part) for part in random_split(DIGITS, np.array([7, 3]))] == [7, 3]
    assert [len(part) for part in random_split(DIGITS, np.array([0.8, 0.2], np.float32))] == [8, 2]
    assert one_hot([1], np.int64(3)).shape == (1, 3)


def test_datasets_know_their_classes():
    named = ArrayDataset(np.zeros((4, 1)), [0, 1, 0, 1], classes=("cat", "dog"))
    assert named.classes == ["cat", "dog"]
    assert Subset(named, [2]).classes == random_split(named, [2, 2])[1].classes == ["cat", "dog"]
    assert list(DIGITS.classes) == list(Samples(0).classes) == []
    assert data.load_digits()[1].classes == [str(digit) for digit in range(10)]
