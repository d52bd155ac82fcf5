"""Anything with a length and samples is a dataset; what a batch of its samples is, and which samples cannot be one."""

import array
from collections import OrderedDict, UserDict, deque, namedtuple
from pathlib import Path

import numpy as np
import pytest

from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader, Dataset, Subset, random_split
from minidl.training import Trainer


class Given:
    """A user's dataset that knows nothing of minidl."""

    def __init__(self, *samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


class Iterated(Given):
    """The same, which can be iterated over as well, as the datasets of Hugging Face can."""

    def __iter__(self):
        return iter(self.samples)


class Derived(Given, Dataset):
    """The same, as a Dataset."""


@pytest.fixture(params=[Given, Iterated, Derived])
def kind(request):
    return request.param


def trainer():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), 0.1), progress="none")


IMAGES = np.arange(24, dtype=np.float32).reshape(6, 1, 2, 2) / 24
PAIRS = [(image, number % 3) for number, image in enumerate(IMAGES)]


def test_any_object_with_length_and_items_is_a_dataset(kind):
    data = kind(*PAIRS)
    images, labels = next(iter(DataLoader(data, 4)))
    np.testing.assert_array_equal(images, IMAGES[:4])
    assert (labels.tolist(), images.dtype, labels.dtype) == ([0, 1, 2, 0], np.float32, np.int64)
    assert [len(part) for part in random_split(data, [4, 2])] == [4, 2]
    np.testing.assert_array_equal(next(iter(DataLoader(Subset(data, [5, 1]), 2)))[0], IMAGES[[5, 1]])
    assert tuple(Subset(data, [0]).classes) == ()
    fitted = trainer()
    fitted.fit(DataLoader(data, 3, shuffle=True), DataLoader(data, 3), epochs=1)
    assert fitted.evaluate(DataLoader(data, 3))["loss"] > 0
    np.testing.assert_array_equal(fitted.predict(data), fitted.predict(IMAGES))


def test_datasets_of_pytorch_are_datasets(torch):
    from torch.utils import data as theirs

    tensors = theirs.TensorDataset(torch.tensor(IMAGES), torch.arange(6) % 3)
    generator = torch.Generator().manual_seed(0)
    for dataset, order in (
        (tensors, range(6)),
        (theirs.Subset(tensors, [4, 2]), [4, 2]),
        (theirs.ConcatDataset([tensors, theirs.Subset(tensors, [3])]), [*range(6), 3]),
        *((part, part.indices) for part in theirs.random_split(tensors, [4, 2], generator)),
    ):
        images, labels = next(iter(DataLoader(dataset, 9)))
        np.testing.assert_array_equal(images, IMAGES[list(order)])
        assert (labels.tolist(), type(images), labels.dtype) == ([n % 3 for n in order], np.ndarray, np.int64)
        assert trainer().predict(dataset).shape == (len(order), 3)
        assert len(trainer().fit(dataset, batch_size=2)) == 1
    assert trainer().predict(torch.tensor(IMAGES)).shape == (6, 3)
    with pytest.raises(TypeError, match="got Stream; it has no __len__; an iterable of batches goes to the Trainer"):
        DataLoader(type("Stream", (theirs.IterableDataset,), {"__iter__": lambda _: iter(PAIRS)})())


def test_tensors_that_are_no_arrays_are_named(torch):
    needs = torch.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match=r"Given: part 1 of sample 1 cannot be made an array .*requires grad.*detach"):
        next(iter(DataLoader(Given((0.0, needs.detach()), (0.0, needs)), 2)))
    with pytest.raises(TypeError, match="Given: the only part of sample 0 cannot be made an array .*BFloat16"):
        next(iter(DataLoader(Given(torch.ones(2, dtype=torch.bfloat16)), 1)))


BARE = [
    ([IMAGES, [0, 1]], r"got list; arrays go into ArrayDataset\(images, labels\), a list of samples into Array"),
    (tuple(PAIRS), r"got tuple; .* a list of samples into ArrayDataset\(\*zip\(\*samples\)\)"),
    ({"x": IMAGES}, r"got dict; a dict of arrays goes into ArrayDataset\(arrays\)"),
    (OrderedDict(x=IMAGES), "got OrderedDict; a dict of arrays"),
    (UserDict(x=IMAGES), "got UserDict; a dict of arrays"),
    ("pictures", r"got str; a folder of images is read by ImageFolder\(path\)"),
    (Path("pictures"), r"got \w+Path; a folder of images is read by ImageFolder\(path\)"),
    (IMAGES, r"got ndarray; arrays go into ArrayDataset\(images, labels\)"),
    (array.array("f", [1.0]), "got array; arrays go into"),
    (deque(PAIRS), "got deque; arrays go into"),
    (range(3), "got range; arrays go into"),
    (Given, r"got the class Given; did you mean Given\(\.\.\.\)\?"),
    (None, "got NoneType; it has no __len__ and no __getitem__"),
    ((pair for pair in PAIRS), "got generator; it has no __len__ and no __getitem__; an iterable of batches goes to"),
    (DataLoader(ArrayDataset(IMAGES)), "got DataLoader; it has no __getitem__; give the dataset that it loads"),
]


@pytest.mark.parametrize(("data", "message"), BARE, ids=lambda value: value[:20] if isinstance(value, str) else "")
def test_what_is_bare_is_refused_with_the_fix(data, message):
    for owner, call in (
        ("DataLoader", lambda: DataLoader(data)),
        ("Subset", lambda: Subset(data, [0])),
        ("random_split", lambda: random_split(data, [1, 0])),
    ):
        with pytest.raises(TypeError, match=f"^{owner}: dataset must be a Dataset, {message}"):
            call()


def test_the_fixes_in_the_messages_work():
    np.testing.assert_array_equal(ArrayDataset(*zip(*PAIRS, strict=True)).batch(np.arange(6))[0], IMAGES)
    np.testing.assert_array_equal(ArrayDataset({"x": IMAGES, "y": np.arange(6)}).arrays["y"], np.arange(6))


def test_dicts_become_a_dict_of_arrays(kind):
    data = kind(*({"image": image, "label": label} for image, label in PAIRS))
    for source in (data, Subset(data, range(6))):
        batch = next(iter(DataLoader(source, 4)))
        assert list(batch) == ["image", "label"]
        np.testing.assert_array_equal(batch["image"], IMAGES[:4])
        assert batch["label"].tolist() == [0, 1, 2, 0]
    with pytest.raises(ValueError, match="got a dict of 'image', 'label', which does not say what is the target"):
        trainer().fit(DataLoader(data, 2))
    with pytest.raises(ValueError, match="got a dict of 'image', 'label', which does not say what is the target"):
        trainer().evaluate(DataLoader(data, 2))
    with pytest.raises(TypeError, match=r"Trainer.predict: .* got a dict of 'image', 'label', which .* the input"):
        trainer().predict(data)
    with pytest.raises(TypeError, match=r"DataLoader: transform needs samples \(image, ...\), got a dict"):
        next(iter(DataLoader(data, 2, transform=lambda images: images)))


def test_a_bare_array_is_one_part_and_is_never_split(kind):
    planes = np.arange(2 * 192, dtype=np.float32).reshape(2, 3, 8, 8)
    (batch,) = next(iter(DataLoader(kind(*planes), 2)))
    np.testing.assert_array_equal(batch, planes)
    data = kind(*IMAGES)
    same = trainer()
    np.testing.assert_array_equal(same.predict(data), same.predict(IMAGES))
    np.testing.assert_array_equal(same.predict(DataLoader(data, 4)), same.predict(IMAGES))
    for method in ("fit", "evaluate"):
        with pytest.raises(ValueError, match="got the input alone: a target is lacking"):
            getattr(trainer(), method)(DataLoader(data, 2))
    np.testing.assert_array_equal(next(iter(DataLoader(data, 2, transform=np.negative)))[0], -IMAGES[:2])
    assert next(iter(DataLoader(kind(3, 4), 2)))[0].tolist() == [3, 4]


def test_lists_and_named_tuples_hold_parts(kind):
    pair = namedtuple("Pair", "x y")
    for made in ([0.5, 2], pair(0.5, 2)):
        x, y = next(iter(DataLoader(kind(made, made), 2)))
        assert (x.dtype, y.dtype) == (np.float64, np.int64)


def pillow_image(mode):
    return pytest.importorskip("PIL.Image").new(mode, (2, 2))


REFUSED = [
    (
        ValueError,
        (np.zeros((3, 9, 8)), 1),
        r"the same shape, got \(3, 8, 8\) and \(3, 9, 8\): part 0 of samples 5 and 7",
    ),
    (ValueError, (np.zeros((3, 8, 8)), [1]), r"the same shape, got \(\) and \(1,\): part 1 of samples 5 and 7"),
    (ValueError, (np.zeros((3, 8, 8)),), "one sample has 2 parts, another one 1 part: samples 5 and 7"),
    (ValueError, np.zeros((3, 8, 8)), "one sample has 2 parts, another one 1 part, a ndarray: samples 5 and 7"),
    (ValueError, {"x": 1}, "one sample has 2 parts, another one the keys x: samples 5 and 7"),
    (ValueError, ([[1, 2], [3]], 1), "part 0 of sample 7 cannot be made an array of numbers: .*inhomogeneous"),
    (TypeError, (np.zeros((3, 8, 8)), "cat"), r"part 1 of sample 7 is text, 'cat'; give classes as numbers, such as"),
    (TypeError, (np.zeros((3, 8, 8)), b"cat"), "part 1 of sample 7 is text, b'cat'"),
    (TypeError, (np.zeros((3, 8, 8)), ["a", "b"]), "part 1 of sample 7 is text"),
    (TypeError, (np.zeros((3, 8, 8)), None), "part 1 of sample 7 is not a number or an array of numbers, but None"),
    (TypeError, (np.zeros((3, 8, 8)), [1, None]), r"part 1 of sample 7 is not a number .* but a list \(object\)"),
    (TypeError, (np.zeros((3, 8, 8)), {"y": 1}), r"part 1 of sample 7 is not a number .* but a dict \(object\)"),
    (TypeError, (object(), 1), r"part 0 of sample 7 is not a number .* but a object \(object\)"),
    (TypeError, (np.zeros((3, 8, 8)), np.datetime64("2026-01-01")), r"part 1 of sample 7 .* datetime64"),
    (ValueError, None, "one sample has 2 parts, another one 1 part, a NoneType"),
    (TypeError, (np.zeros((3, 8, 8), np.float32), 1), "same dtype, got float64 and float32: part 0 of samples 5 and 7"),
    (TypeError, (np.zeros((3, 8, 8)), 0.5), "the same dtype, got int64 and float64: part 1 of samples 5 and 7"),
    (TypeError, (np.zeros((3, 8, 8)), True), "the same dtype, got int64 and bool: part 1 of samples 5 and 7"),
]


@pytest.mark.parametrize(
    ("error", "sample", "message"), REFUSED, ids=lambda value: value[:40] if isinstance(value, str) else ""
)
def test_samples_that_do_not_fit_are_named(kind, error, sample, message):
    good = (np.zeros((3, 8, 8)), 0)
    data = Subset(kind(*[good] * 7, sample), [5, 6, 7])
    with pytest.raises(error, match=f"^{kind.__name__}: .*{message}"):
        next(iter(DataLoader(data, 3)))


def test_images_of_pillow_are_refused_with_the_line_that_converts_them(kind):
    for mode, fix in (("L", "[None]"), ("RGB", ".transpose(2, 0, 1)"), ("1", "[None]")):
        with pytest.raises(TypeError) as error:
            next(iter(DataLoader(kind((pillow_image(mode), 3)), 1)))
        assert str(error.value) == (
            f"{kind.__name__}: part 0 of sample 0 is an image of Pillow, mode {mode}; "
            f"return np.asarray(image, np.float32){fix} / 255"
        )


def test_python_floats_are_float64_and_images_of_float64_are_refused_by_a_net_of_float32(kind):
    data = kind(*((image.astype(np.float64), label) for image, label in PAIRS))
    with pytest.raises(TypeError, match=r"expected float32 input, .* got float64; use x.astype\(np.float32\)"):
        trainer().predict(data)


def test_the_trainer_makes_batches_of_a_dataset_and_names_what_is_none(kind):
    own = trainer()
    assert own.evaluate(kind(*PAIRS), batch_size=4) == own.evaluate(DataLoader(kind(*PAIRS), 4))
    for method in ("fit", "evaluate", "predict"):
        for bare, got in (("images", "str"), (3, "int"), (Given, "the class Given")):
            with pytest.raises(TypeError, match=f"Trainer.{method}: expected .*, a dataset, or batches, .*; got {got}"):
                getattr(trainer(), method)(bare)


def test_objects_in_arrays_are_refused():
    with pytest.raises(TypeError, match=r"ArrayDataset: array 1 holds objects \(object\), not numbers"):
        ArrayDataset(IMAGES, [None] * 6)
    with pytest.raises(ValueError, match="ArrayDataset: "):
        ArrayDataset([np.zeros((1, 2)), np.zeros((1, 3))])
