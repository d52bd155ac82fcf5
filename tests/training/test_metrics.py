"""Metrics, beside scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import nn
from minidl.training.meter import Meter
from minidl.training.metrics import (
    ROCAUC,
    Accuracy,
    ConfusionMatrix,
    F1Score,
    MeanAbsoluteError,
    MeanLoss,
    Precision,
    Recall,
    TopK,
)


def samples(count=200, classes=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, classes)).astype(np.float32), rng.integers(0, classes, count)


def test_the_same_as_scikit_learn():
    sk = pytest.importorskip("sklearn.metrics")
    output, labels = samples()
    predicted = output.argmax(1)
    scores = {"average": None, "zero_division": 0}
    expected = [
        (Accuracy(), sk.accuracy_score(labels, predicted)),
        (TopK(3), sk.top_k_accuracy_score(labels, output, k=3)),
        (ConfusionMatrix(), sk.confusion_matrix(labels, predicted)),
        (Precision(), sk.precision_score(labels, predicted, **scores)),
        (Recall(), sk.recall_score(labels, predicted, **scores)),
        (F1Score(), sk.f1_score(labels, predicted, **scores)),
    ]
    for metric, value in expected:
        metric.update(output, labels)
        np.testing.assert_allclose(metric.compute(), value, rtol=1e-12)


def test_classes_that_do_not_occur_score_0():
    output = np.eye(3, dtype=np.float32)[[0, 0, 1]]
    for metric, expected in ((Precision(), [0.5, 0, 0]), (Recall(), [1, 0, 0]), (F1Score(), [2 / 3, 0, 0])):
        metric.update(output, np.array([0, 1, 2]))
        np.testing.assert_allclose(metric.compute(), expected)


@given(cut=st.integers(0, 50), k=st.integers(1, 4))
def test_parts_put_together_are_the_whole(cut, k):
    output, labels = samples(50, 4)
    soft = {"task": "multiclass"}
    for make in (
        lambda: Accuracy(**soft),
        lambda: TopK(k, **soft),
        lambda: ConfusionMatrix(**soft),
        lambda: F1Score(**soft),
        lambda: F1Score(average="macro", task="multilabel", threshold=0.0),
        lambda: ROCAUC(task="multilabel"),
        lambda: ROCAUC(None, **soft),
        MeanAbsoluteError,
        lambda: MeanLoss(nn.MSELoss(), "mse"),
    ):
        target = np.eye(4, dtype=np.float32)[labels]
        whole, first, second = make(), make(), make()
        whole.update(output, target)
        for metric, part in ((first, slice(0, cut)), (second, slice(cut, None))):
            if len(labels[part]):
                metric.update(output[part], target[part])
        first.merge(second)
        np.testing.assert_allclose(first.compute(), whole.compute(), rtol=1e-6)
        again = make()
        again.load_state_dict(first.state_dict())
        np.testing.assert_array_equal(again.compute(), first.compute())
        first.reset()
        assert not first.sums


def test_ties_count_as_argmax_does():
    metric = Accuracy()
    metric.update(np.zeros((2, 3)), np.array([0, 1]))
    assert metric.compute() == 0.5


def test_images_of_labels():
    rng = np.random.default_rng(0)
    output, labels = rng.standard_normal((2, 3, 4, 4)), rng.integers(0, 3, (2, 4, 4))
    metric = Accuracy()
    metric.update(output, labels)
    assert metric.compute() == (output.argmax(1) == labels).mean()
    with pytest.raises(ValueError, match=r"expected labels for an output of shape \(2, 3, 4, 4\), got int64 \(2, 4\)"):
        metric.update(output, labels[:, 0])


def test_one_label_for_an_image_of_outputs_is_not_counted_as_right_or_wrong():
    meter = Meter(nn.MSELoss())
    output = np.arange(24.0).reshape(2, 3, 2, 2)
    meter.add(1.0, 2.0, output, np.array([2, 0]))
    assert meter.losses() == {"loss": 1.0}
    meter.add(4.0, 1.0, output, np.full((2, 2, 2), [[2, 2], [2, 0]]))  # the largest is always class 2
    assert meter.losses() == {"loss": 2.0, "accuracy": 0.75}


def test_counts_that_were_stored_as_lists_are_arrays_again():
    metric = ConfusionMatrix(2)
    metric.load_state_dict({"matrix": [[1, 2], [3, 4]]})
    metric.update(np.array([[1.0, 0.0]]), np.array([0]))
    np.testing.assert_array_equal(metric.compute(), [[2, 2], [3, 4]])
