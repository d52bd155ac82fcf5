"""Whatever dtype labels, indices and options come in, the result is that of int64, or of Python's numbers."""

import numpy as np
import pytest

from minidl import functional, nn, optim, plotting
from minidl.data import ArrayDataset, DataLoader, StratifiedSampler, Subset, WeightedSampler, transforms
from minidl.data.dataset import is_for_testing
from minidl.data.sampling import Sampler
from minidl.data.split import stratified_split
from minidl.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from minidl.training import Trainer
from minidl.training.metrics import (
    ROCAUC,
    Accuracy,
    ConfusionMatrix,
    F1Score,
    MeanAbsoluteError,
    Metric,
    Precision,
    Recall,
    TopK,
    classification_report,
)

INTEGERS = [np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32, np.uint64]
CLASSES, COUNT = 120, 300
LABELS = np.random.default_rng(0).integers(0, CLASSES, COUNT)
OUTPUT = np.random.default_rng(1).standard_normal((COUNT, CLASSES)).astype(np.float32)
IMAGES = np.random.default_rng(2).random((COUNT, 1, 4, 4)).astype(np.float32)
WEIGHTS = np.random.default_rng(3).random(CLASSES) + 0.1
NUMBERS = ArrayDataset(np.arange(1000) * 7)


def metric(make):
    def run(labels):
        measure = make()
        measure.update(OUTPUT[:100], labels[:100])
        measure.update(OUTPUT[100:], labels[100:])
        return measure.compute()

    return run


def loss(make, output=OUTPUT):
    def run(labels):
        own = make()
        return own(output, labels), own.backward()

    return run


def evaluated(labels):
    trainer = Trainer(
        nn.Identity(), nn.CrossEntropyLoss(ignore_index=5), metrics=[ConfusionMatrix(), F1Score()], progress="none"
    )
    return tuple(trainer.evaluate([(OUTPUT[:100], labels[:100]), (OUTPUT[100:], labels[100:])]).values())


def embedded(labels):
    layer = nn.Embedding(CLASSES, 3, rng=np.random.default_rng(0))
    out = layer(labels)
    layer.backward(out)
    return out, layer.weight.grad


def regression(labels):
    own, error = nn.MSELoss(), MeanAbsoluteError()
    value = own(OUTPUT[:, 0], labels)
    error.update(labels, labels[::-1])
    return value, own.backward(), error.compute()


class Given(Sampler):
    """The order that it was given."""

    def __init__(self, order):
        self.order = order

    def __len__(self):
        return len(self.order)

    def indices(self, rng):
        return self.order


def loaded(order):
    return tuple(batch[0] for batch in DataLoader(NUMBERS, 32, sampler=Given(order)))


def mixed(make):
    return lambda labels: make(CLASSES).apply((IMAGES, labels), np.random.default_rng(4))


def subset(indices):
    own = Subset(NUMBERS, indices)
    return own.batch(np.arange(COUNT))[0], own[3][0], Subset(Subset(NUMBERS, np.arange(500)), indices).batch([7])[0]


def split(labels):
    parts = stratified_split(ArrayDataset(OUTPUT), labels, 0.4, rng=np.random.default_rng(5))
    return tuple(part.indices for part in parts)


USES = {
    "Accuracy": metric(Accuracy),
    "TopK": metric(lambda: TopK(3)),
    "ConfusionMatrix": metric(ConfusionMatrix),
    "Precision": metric(Precision),
    "Recall": metric(Recall),
    "F1Score": metric(lambda: F1Score(average="macro")),
    "ROCAUC": metric(lambda: ROCAUC(None)),
    "CrossEntropyLoss": loss(nn.CrossEntropyLoss),
    "CrossEntropyLoss, ignore_index": loss(lambda: nn.CrossEntropyLoss(WEIGHTS, ignore_index=7, label_smoothing=0.1)),
    "CrossEntropyLoss, ignore_index=255": loss(lambda: nn.CrossEntropyLoss(ignore_index=255)),
    "NLLLoss": loss(lambda: nn.NLLLoss(WEIGHTS, ignore_index=7), -abs(OUTPUT)),
    "MultiMarginLoss": loss(lambda: nn.MultiMarginLoss(weight=WEIGHTS)),
    "Trainer.evaluate": evaluated,
    "MSELoss": regression,
    "Embedding": embedded,
    "one_hot": lambda labels: transforms.one_hot(labels, CLASSES),
    "MixUp": mixed(transforms.MixUp),
    "CutMix": mixed(transforms.CutMix),
    "StratifiedSampler": lambda labels: StratifiedSampler(labels).indices(np.random.default_rng(6)),
    "WeightedSampler": lambda weights: WeightedSampler(weights, np.uint8(200)).indices(np.random.default_rng(6)),
    "Subset": subset,
    "DataLoader, sampler": loaded,
    "is_for_testing": is_for_testing,
    "stratified_split": split,
}


def arrays(value):
    return [part for item in value for part in arrays(item)] if isinstance(value, tuple) else [np.asarray(value)]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("use", USES)
def test_labels_and_indices_of_every_integer_dtype(use, dtype):
    expected, got = arrays(USES[use](LABELS)), arrays(USES[use](LABELS.astype(dtype)))
    assert len(got) == len(expected)
    for ours, wanted in zip(got, expected, strict=True):
        assert ours.dtype == wanted.dtype
        np.testing.assert_array_equal(ours, wanted)


def test_labels_beyond_the_range_of_int64_are_out_of_range():
    huge = np.full(2, 2**64 - 1, np.uint64)
    for make in (Accuracy, ConfusionMatrix, ROCAUC):
        with pytest.raises(ValueError, match="expected labels from 0 to 2, got 18446744073709551615"):
            make().update(np.zeros((2, 3)), huge)
    with pytest.raises(ValueError, match="got 18446744073709551615"):
        nn.CrossEntropyLoss()(np.zeros((2, 3)), huge)
    with pytest.raises(IndexError, match="got 18446744073709551615"):
        Subset(NUMBERS, huge)
    with pytest.raises(ValueError, match="got 18446744073709551615"):
        transforms.one_hot(huge, 3)


def test_twenty_classes_in_uint8_all_right():
    labels = np.tile(np.arange(20, dtype=np.uint8), 3)
    matrix, score = ConfusionMatrix(), F1Score()
    for own in (matrix, score):
        own.update(np.eye(20)[labels], labels)
    assert matrix.compute().trace() == 60
    np.testing.assert_array_equal(score.compute(), np.ones(20))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.uint8, bool])
def test_outputs_of_any_dtype(dtype):
    output = np.eye(5)[[0, 1, 2, 3, 4, 0]].astype(dtype)
    labels = np.array([0, 1, 2, 3, 4, 1], np.uint8)
    for make, expected in ((Accuracy, 5 / 6), (lambda: TopK(1), 5 / 6), (lambda: F1Score(average="micro"), 5 / 6)):
        own = make()
        own.update(output, labels)
        assert own.compute() == pytest.approx(expected)
    wide, narrow = ROCAUC(), ROCAUC()
    wide.update(output.astype(np.float64), labels)
    narrow.update(output, labels)
    assert narrow.compute() == wide.compute()


class Sums(Metric):
    """Adds what it is given."""

    def compute(self):
        return self.sums["x"]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.uint32, np.float16, np.float32])
def test_a_metric_of_ones_own_adds_in_a_wide_dtype(dtype):
    metric = Sums()
    for _ in range(3):
        metric.add(x=np.array([100, 1]).astype(dtype), y=dtype(100), z=True)
    np.testing.assert_array_equal(metric.compute(), 3 * np.array([100, 1]).astype(dtype).astype(int))
    assert metric.sums["y"] == 3 * int(dtype(100))
    assert metric.sums["z"] == 3
    big, other = Sums(), Sums()
    big.add(x=np.float16(60000))
    other.add(x=np.float16(60000))
    big.merge(other)
    assert big.compute() == 2 * float(np.float16(60000))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float16])
def test_counts_of_a_confusion_matrix_may_be_small_integers(dtype):
    matrix = np.array([[100, 120], [3, 90]]).astype(dtype)
    if dtype != np.float16:
        expected = classification_report(matrix.astype(np.int64)).as_dict()
        assert classification_report(matrix).as_dict() == expected
    pytest.importorskip("matplotlib")
    shown = plotting.confusion_matrix(matrix).axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, np.sqrt(matrix / matrix.astype(float).sum(axis=1, keepdims=True)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_options_that_are_numpy_integers_are_pythons(dtype):
    x = np.random.default_rng(0).standard_normal((2, 4, 60, 60))
    w = np.random.default_rng(0).standard_normal((6, 4, 3, 3))
    for run in (
        lambda i: functional.conv2d_forward(x, w, None, stride=i(3), padding=i(200), dilation=i(100)),
        lambda i: functional.max_pool2d_forward(x, i(40), stride=i(20), padding=i(20)),
        lambda i: functional.avg_pool2d_forward(x, i(40), stride=i(20), padding=i(20), divisor_override=i(7)),
        lambda i: functional.unfold_forward(x, i(20), stride=i(10), padding=i(10)),
        lambda i: functional.unflatten_forward(np.zeros((2, 10000)), i(1), (i(100), i(100))),
        lambda i: functional.pixel_shuffle_forward(np.zeros((1, 512, 2, 2)), i(16)),
    ):
        np.testing.assert_array_equal(run(dtype)[0], run(int)[0])
    assert repr(nn.MaxPool2d(dtype(3), stride=dtype(2))) == repr(nn.MaxPool2d(3, stride=2))
    assert "Input shape: (200, 3, 20, 20)" in str(nn.Conv2d(3, 8, 3).summary((dtype(200), 3, dtype(20), dtype(20))))


def test_soft_labels_are_mixed_in_the_dtype_of_the_images():
    soft = np.eye(3)[[0, 1, 2, 0]]
    for mix in (transforms.MixUp(3), transforms.CutMix(3)):
        expected = mix.apply((IMAGES[:4], soft.astype(np.float32)), np.random.default_rng(0))[1]
        for dtype in (np.float16, np.float64, np.uint8, bool):
            got = mix.apply((IMAGES[:4], soft.astype(dtype)), np.random.default_rng(0))[1]
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got, expected)


def test_a_learning_rate_in_half_precision_is_scheduled_in_float64():
    for make in (lambda o: ReduceLROnPlateau(o, factor=0.3, patience=0), lambda o: StepLR(o, 1, 0.3)):
        rates = []
        for kind in (float, np.float16):
            optimizer = optim.SGD([nn.Parameter(np.ones(3, np.float32))], lr=0.5)
            optimizer.param_groups[0]["lr"] = kind(np.float16(0.1))
            schedule = make(optimizer)
            for _ in range(3):
                optimizer.step()
                schedule.step(*((1.0,) if isinstance(schedule, ReduceLROnPlateau) else ()))
            rates.append(optimizer.param_groups[0]["lr"])
        assert rates[0] == rates[1]
        assert type(rates[1]) is float
