"""What a prediction is: multi-class, binary, multi-label or a number; each metric knows it, or refuses."""

import numpy as np
import pytest

from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.training import Callback, ModelCheckpoint, StopTraining, Trainer
from minidl.training.meter import Meter
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

SCORES = {"precision_score": Precision, "recall_score": Recall, "f1_score": F1Score}
BINARY = (Accuracy, ConfusionMatrix, Precision, Recall, F1Score, ROCAUC)


def measured(metric, output, target, cuts=(11, 30)):
    """Update in batches, of which one is merged."""
    other = type(metric).__new__(type(metric))
    other.__dict__.update({**vars(metric), "sums": {}})
    first, *rest = zip(np.split(output, cuts), np.split(target, cuts), strict=True)
    other.update(*first)
    for batch in rest:
        metric.update(*batch)
    metric.merge(other)
    return metric.compute()


def decisions(count, labels=None, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    shape = (count,) if labels is None else (count, labels)
    logits = rng.standard_normal(shape).round(1).astype(dtype)  # rounded: with ties
    return logits, (logits + rng.standard_normal(shape) > 0.2).astype(int)


def test_one_logit_that_is_always_wrong_scores_nothing():
    logits, yes = np.array([[3.0], [-2.0], [1.0], [-0.5]]), np.array([[0.0], [1.0], [0.0], [1.0]])
    for metric, expected in (
        (Accuracy(task="binary", threshold=0), 0),
        (Precision(task="binary", threshold=0), 0),
        (Recall(task="binary", threshold=0), 0),
        (F1Score(task="binary", threshold=0), 0),
        (ConfusionMatrix(task="binary", threshold=0), [[0, 2], [2, 0]]),
        (ROCAUC(task="binary"), 0),
    ):
        metric.update(logits, yes)
        np.testing.assert_array_equal(metric.compute(), expected)
        np.testing.assert_array_equal(measured(type(metric)(**_options(metric)), logits, yes, (1,)), expected)


def _options(metric):
    return {"task": metric.task} if isinstance(metric, ROCAUC) else {"task": metric.task, "threshold": metric.threshold}


@pytest.mark.parametrize("make", [*BINARY, TopK])
@pytest.mark.parametrize(
    "target", [np.zeros((6, 1)), np.zeros(6, int), np.zeros((6, 1), np.int64), np.zeros((6, 1), bool)]
)
def test_one_column_of_which_nothing_is_said_is_refused(make, target):
    with pytest.raises(ValueError, match=rf"{make.__name__}: .*say it: {make.__name__}\(task="):
        make().update(np.ones((6, 1)), target)
    with pytest.raises(ValueError, match="two classes or more.*BCEWithLogitsLoss"):
        make(task="multiclass").update(np.ones((6, 1)), target)


@pytest.mark.parametrize("make", [*BINARY, TopK])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, bool])
def test_targets_in_the_shape_of_the_outputs_may_be_labels_or_probabilities_and_are_refused(make, dtype):
    with pytest.raises(ValueError, match=r"task='multiclass'"):
        make().update(np.eye(3), np.eye(3, dtype=dtype))
    with pytest.raises(ValueError, match=r"task='multiclass'"):
        make().update(np.ones(3), np.ones(3, dtype=dtype))


@pytest.mark.parametrize("shapes", [((60,), (60,)), ((60, 1), (60, 1)), ((60,), (60, 1)), ((60, 1), (60,))])
@pytest.mark.parametrize("dtype", [int, bool, np.float32, np.float64, np.uint8, np.int8, np.float16])
def test_binary_is_scikit_learns(shapes, dtype):
    sk = pytest.importorskip("sklearn.metrics")
    logits, yes = decisions(60)
    output, target, predicted = logits.reshape(shapes[0]), yes.astype(dtype).reshape(shapes[1]), logits > 0
    say = {"task": "binary", "threshold": 0.0}
    assert measured(Accuracy(**say), output, target) == sk.accuracy_score(yes, predicted)
    np.testing.assert_array_equal(measured(ConfusionMatrix(**say), output, target), sk.confusion_matrix(yes, predicted))
    assert measured(ROCAUC(task="binary"), output, target) == pytest.approx(sk.roc_auc_score(yes, logits), abs=1e-15)
    for name, make in SCORES.items():
        score = getattr(sk, name)
        assert measured(make(**say), output, target) == pytest.approx(score(yes, predicted))
        for average in ("macro", "micro", "weighted"):
            got = measured(make(average=average, **say), output, target)
            assert got == pytest.approx(score(yes, predicted, average=average, zero_division=0))


@pytest.mark.parametrize("average", [None, "macro", "micro", "weighted"])
def test_multi_label_is_scikit_learns(average):
    sk = pytest.importorskip("sklearn.metrics")
    logits, yes = decisions(80, 5)
    yes[:, 3], yes[0, 3], yes[:, 4] = 1, 0, 0  # a frequent label, and one that does not occur
    predicted, say = logits > 0.1, {"threshold": 0.1, "task": "multilabel"}
    for name, make in SCORES.items():
        expected = getattr(sk, name)(yes, predicted, average=average, zero_division=0)
        np.testing.assert_allclose(measured(make(average=average, **say), logits, yes), expected, rtol=1e-12)
    known, auc = slice(0, 4), ROCAUC(average, task="multilabel")
    expected = sk.roc_auc_score(yes[:, known], logits[:, known], average=average)
    np.testing.assert_allclose(measured(auc, logits[:, known], yes[:, known]), expected, rtol=1e-12)
    matrix = measured(ConfusionMatrix(**say), logits, yes)
    np.testing.assert_array_equal(matrix, sk.multilabel_confusion_matrix(yes, predicted))
    assert measured(Accuracy(**say), logits, yes) == pytest.approx(1 - sk.hamming_loss(yes, predicted))


def test_a_perfect_multi_label_net_scores_1_everywhere():
    yes = np.random.default_rng(0).integers(0, 2, (50, 6))
    logits = np.where(yes, 4.0, -4.0).astype(np.float32)
    for make in (F1Score, Precision, Recall):
        for target in (yes, yes.astype(np.float32), yes.astype(bool), yes.astype(np.uint8)):
            np.testing.assert_array_equal(measured(make(threshold=0), logits, target), np.ones(6))
    assert measured(Accuracy(threshold=0), logits, yes) == 1


@pytest.mark.parametrize("average", [None, "macro", "micro", "weighted"])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_multi_class_averages_are_scikit_learns(average, classes):
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(classes)
    logits, labels = rng.standard_normal((90, classes)), rng.integers(0, classes, 90)
    for name, make in SCORES.items():
        expected = getattr(sk, name)(labels, logits.argmax(1), average=average, zero_division=0)
        np.testing.assert_allclose(measured(make(average=average), logits, labels), expected, rtol=1e-12)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    score = (p[:, 1],) if classes == 2 else (p,)
    options = {} if classes == 2 else {"multi_class": "ovr", "average": average}
    expected = sk.roc_auc_score(labels, *score, **options)
    for outputs in (p, logits, np.log(p), p.astype(np.float32), p.astype(np.float16)):
        if classes > 2 or average in ("macro", "weighted"):
            rtol = 1e-2 if outputs.dtype == np.float16 else 1e-6
            np.testing.assert_allclose(measured(ROCAUC(average), outputs, labels), expected, rtol=rtol)


def test_roc_auc_counts_pairs_a_tie_one_half_and_a_sure_net_is_no_tie():
    scores, yes = np.array([0.1, 0.4, 0.4, 0.4, 0.9, 0.2]), np.array([0, 1, 0, 1, 1, 1])
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[yes == 1] for b in scores[yes == 0]]
    assert measured(ROCAUC(task="binary"), scores, yes, (2,)) == np.mean(pairs)
    sure = np.array([[300.0, 0], [200, 0], [0, 100], [50, 0]])  # three probabilities are 1 in float64
    assert measured(ROCAUC(), sure, np.array([0, 0, 1, 1]), (2,)) == 1
    assert np.isnan(measured(ROCAUC(task="binary"), scores, np.ones(6), (2,)))  # nothing to compare with
    assert np.isnan(ROCAUC().compute())


@pytest.mark.parametrize("make", BINARY)
def test_soft_targets_of_decisions_are_refused(make):
    for target in (np.full(4, 0.3), np.array([0, 1, 2, 1]), np.array([0, 1, np.nan, 1]), np.array([-1, 1, 1, -1])):
        with pytest.raises(ValueError, match=f"{make.__name__}: expected a target of 0 or 1 for each output"):
            make(task="binary").update(np.ones(4), target) if make is ROCAUC else make(
                task="binary", threshold=0
            ).update(np.ones(4), target)


def test_a_decision_needs_a_threshold_and_the_right_number_of_outputs():
    with pytest.raises(ValueError, match=r"Accuracy: a threshold is needed: Accuracy\(threshold=0.0\) for logits"):
        Accuracy(task="binary").update(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="use task='multilabel' for several decisions"):
        F1Score(task="binary", threshold=0).update(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="use task='binary'"):
        F1Score(task="multilabel", threshold=0).update(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="a target of 0 or 1 for each output of shape"):
        F1Score(threshold=0).update(np.ones((3, 2)), np.ones(3))  # nothing is broadcast
    with pytest.raises(ValueError, match="task must be one of 'multiclass', got 'binary'"):
        TopK(2, task="binary")
    with pytest.raises(ValueError, match="a threshold is for task='binary'"):
        Accuracy(task="multiclass", threshold=0.5)
    with pytest.raises(TypeError, match="threshold must be a number"):
        Accuracy(threshold="0.5")
    with pytest.raises(ValueError, match="average must be one of"):
        F1Score(average="samples")
    with pytest.raises(TypeError, match="Accuracy: expected targets of numbers, got <U1"):
        Accuracy().update(np.ones((2, 3)), ["a", "b"])
    matrix = ConfusionMatrix()
    matrix.update(np.eye(3), np.arange(3))
    with pytest.raises(ValueError, match=r"ConfusionMatrix: expected counts of shape \(3, 3\), got \(4, 4\)"):
        matrix.update(np.eye(4), np.arange(4))


def fitted(loss, targets, outputs=1, metrics=(), model=None):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((len(targets), 4)).astype(np.float32)
    model = nn.Linear(4, outputs, rng=rng) if model is None else model
    trainer = Trainer(model, loss, optim.SGD(model.params(), lr=0.1), metrics=metrics, progress="none")
    loader = DataLoader(ArrayDataset(x, targets), 16)
    return trainer, trainer.fit(loader, loader, epochs=1), loader, trainer.predict(x)


@pytest.mark.parametrize(
    ("loss", "threshold"),
    [(nn.BCEWithLogitsLoss(), 0), (nn.BCELoss(), 0.5), (nn.BCEWithLogitsLoss(reduction="sum"), 0)],
)
@pytest.mark.parametrize("labels", [1, 3])
def test_binary_cross_entropy_has_an_accuracy_and_tells_the_metrics(loss, threshold, labels):
    sk = pytest.importorskip("sklearn.metrics")
    yes = np.random.default_rng(1).integers(0, 2, (50, labels)).astype(np.float32)
    model = nn.Linear(4, labels)
    if threshold:
        model = nn.Sequential(model, nn.Sigmoid())
    own = [F1Score(), ConfusionMatrix(), ROCAUC()]
    trainer, history, loader, output = fitted(loss, yes, labels, own, model)
    assert {"train_accuracy", "val_accuracy", "train_roc_auc"} <= set(history.columns())
    result = trainer.evaluate(loader)
    assert result["accuracy"] == history["val_accuracy"][-1] == ((output > threshold) == yes).mean()
    expected = sk.f1_score(yes, output > threshold, average="binary" if labels == 1 else None, zero_division=0)
    np.testing.assert_allclose(result["f1"], expected)
    assert result["roc_auc"] == pytest.approx(sk.roc_auc_score(yes, output))
    assert not any(metric.sums for metric in own)
    with pytest.raises(ValueError, match="say it"):  # the Trainer has told copies
        own[0].update(np.ones((3, 1)), np.ones((3, 1)))


def test_binary_cross_entropy_on_grey_images_has_no_accuracy():
    for soft in (0.3, 0.9):
        targets = np.where(np.arange(50) % 20, 1, soft).astype(np.float32)[:, None]  # some batches have only 0 and 1
        _, history, _, _ = fitted(nn.BCEWithLogitsLoss(), targets)
        assert history.columns() == ["epoch", "lr", "train_loss", "val_loss", "seconds"]


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.L1Loss(), nn.SmoothL1Loss(), nn.HuberLoss(reduction="sum")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int16])
def test_regression_has_a_mean_absolute_error(loss, dtype):
    sk = pytest.importorskip("sklearn.metrics")
    targets = np.random.default_rng(1).integers(0, 9, (50, 2)).astype(dtype)
    trainer, history, loader, output = fitted(loss, targets, 2)
    assert history.columns()[2:6] == ["train_loss", "train_mae", "val_loss", "val_mae"]
    expected = sk.mean_absolute_error(targets, output.astype(np.float64))
    assert trainer.evaluate(loader)["mae"] == pytest.approx(expected, rel=1e-12)
    metric = MeanAbsoluteError()
    assert measured(metric, output, targets) == pytest.approx(expected, rel=1e-12)


def test_mean_absolute_error_broadcasts_nothing_and_computes_in_float64():
    metric = MeanAbsoluteError()
    metric.update(np.array([[250], [3]], np.uint8), np.array([255, 1], np.uint8))
    assert metric.compute() == 3.5
    metric.update(np.full(4, 60000, np.float16), np.full(4, -60000.0))
    assert metric.compute() == pytest.approx((7 + 4 * 120000) / 6, rel=1e-3)
    with pytest.raises(ValueError, match=r"expected targets of the outputs' shape \(3, 2\), got \(3,\)"):
        metric.update(np.ones((3, 2)), np.ones(3))


@pytest.mark.parametrize("make", [*BINARY, TopK])
def test_what_a_loss_does_not_judge_is_refused_before_the_first_step(make):
    model = nn.Linear(4, 2)
    with pytest.raises(
        ValueError, match=f"{make.__name__}: MSELoss judges numbers, not classes; use MeanAbsoluteError"
    ):
        Trainer(model, nn.MSELoss(), metrics=[make()])
    Trainer(model, nn.MSELoss(), metrics=[make(task="multiclass")])
    if make is TopK:
        with pytest.raises(ValueError, match="TopK: BCELoss judges decisions of yes or no, not classes"):
            Trainer(model, nn.BCELoss(), metrics=[make()])
    for loss in (nn.BCELoss(), nn.CrossEntropyLoss()):
        with pytest.raises(ValueError, match="MeanAbsoluteError: .* judges classes, not numbers"):
            Trainer(model, loss, metrics=[MeanAbsoluteError()])
    with pytest.raises(ValueError, match="for which there is no threshold"):
        Trainer(model, nn.CrossEntropyLoss(), metrics=[Accuracy(threshold=0.5)])


class Custom(nn.Loss):
    """Any loss: the sum of the outputs."""

    def forward(self, prediction, target):
        self.divisor, self.shape = float(len(prediction)), prediction
        return float(prediction.mean())

    def backward(self, grad_output=1.0):
        return np.full_like(self.shape, 1 / self.shape.size)


def test_a_custom_loss_has_an_accuracy_only_where_the_targets_can_only_be_labels():
    labels = np.random.default_rng(0).integers(0, 2, 50)
    columns = {}
    for name, targets, outputs in (
        ("labels", labels, 2),
        ("one column", labels, 1),
        ("numbers", labels[:, None], 1),
        ("floats", np.eye(2, dtype=np.float32)[labels], 2),
        ("one-hot", np.eye(2, dtype=int)[labels], 2),
    ):
        columns[name] = set(fitted(Custom(), targets, outputs)[1].columns()) & {"val_accuracy", "val_mae"}
    assert columns == {
        "labels": {"val_accuracy"},
        **{key: set() for key in ("one column", "numbers", "floats", "one-hot")},
    }
    loss = Custom()
    loss.task, loss.threshold = "binary", 0.5
    trainer, _, loader, output = fitted(loss, labels, 1, [F1Score()])
    assert trainer.evaluate(loader)["accuracy"] == ((output[:, 0] > 0.5) == labels).mean()
    loss.task = "ranking"
    with pytest.raises(ValueError, match="Custom: task must be one of multiclass, binary, regression or None"):
        Trainer(nn.Linear(4, 1), loss)


def test_every_loss_says_what_it_judges():
    tasks = {
        name: getattr(nn, name).task
        for name in dir(nn)
        if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Loss)
    }
    unknown = {name for name, task in tasks.items() if task is None}
    assert unknown == {"Loss", "ElementwiseLoss", "KLDivLoss"}  # distributions may be over classes, or over anything


def test_a_fit_resumes_in_the_middle_of_an_epoch_with_what_the_metrics_have_seen(tmp_path):
    yes = np.random.default_rng(1).integers(0, 2, (50, 2)).astype(np.float32)

    class Stop(Callback):
        def on_batch_end(self, trainer):
            if trainer.steps == 6:
                raise StopTraining

    def fit(folder, *callbacks, **options):
        rng = np.random.default_rng(0)
        model = nn.Linear(4, 2, rng=rng)
        trainer = Trainer(
            model,
            nn.BCEWithLogitsLoss(),
            optim.SGD(model.params(), lr=0.1),
            metrics=[ROCAUC(), F1Score(average="macro")],
            callbacks=[ModelCheckpoint(tmp_path / folder, every=1), *callbacks],
            progress="none",
        )
        x = rng.standard_normal((50, 4)).astype(np.float32)
        loader = DataLoader(ArrayDataset(x, yes), 16, shuffle=True, rng=np.random.default_rng(3))
        return trainer.fit(loader, epochs=2, **options)

    whole = fit("whole")
    first = Stop()
    fit("parts", first)
    first.on_batch_end = lambda trainer: None
    again = fit("parts", first, resume=tmp_path / "parts")
    names = ("train_loss", "train_accuracy", "train_roc_auc", "train_f1")
    assert {name: again[name] for name in names} == {name: whole[name] for name in names}


def test_soft_targets_of_classes_work_as_before():
    soft = np.random.default_rng(0).dirichlet(np.ones(3), 50).astype(np.float32)
    metrics = [Accuracy(), TopK(2), F1Score(), ConfusionMatrix()]
    trainer, history, loader, output = fitted(nn.CrossEntropyLoss(), soft, 3, metrics)
    expected = (output.argmax(1) == soft.argmax(1)).mean()
    assert history["val_accuracy"] == [expected] == [trainer.evaluate(loader)["accuracy"]]
    assert Meter(nn.CrossEntropyLoss()).losses().keys() == {"loss"}


def test_images_of_decisions():
    rng = np.random.default_rng(0)
    logits, yes = rng.standard_normal((3, 2, 4, 4)), rng.integers(0, 2, (3, 2, 4, 4))
    metric = F1Score(threshold=0)
    metric.update(logits, yes)
    by_label = [F1Score(threshold=0) for _ in range(2)]
    for label, own in enumerate(by_label):
        own.update(logits[:, label].reshape(-1), yes[:, label].reshape(-1))
    np.testing.assert_allclose(metric.compute(), [own.compute() for own in by_label])
    mask = Accuracy(task="binary", threshold=0)
    mask.update(logits[:, :1], yes[:, 0])
    assert mask.compute() == ((logits[:, 0] > 0) == yes[:, 0]).mean()


@pytest.mark.parametrize("labels", [None, 1, 3])
def test_classification_report_is_scikit_learns(labels):
    sk = pytest.importorskip("sklearn.metrics")
    if labels is None:
        rng = np.random.default_rng(0)
        logits, target = rng.standard_normal((70, 4)), rng.integers(0, 4, 70)
        metric, predicted = ConfusionMatrix(), logits.argmax(1)
    else:
        logits, target = decisions(70, labels)
        metric, predicted = ConfusionMatrix(threshold=0), logits > 0
        target, predicted = (target[:, 0], predicted[:, 0]) if labels == 1 else (target, predicted)
    metric.update(logits, target)
    names = ["cat", "dog", "a horse", "bird"][: {None: 4, 1: 2, 3: 3}[labels]]
    report = classification_report(metric.compute(), names)
    expected = sk.classification_report(target, predicted, target_names=names, output_dict=True, zero_division=0)

    def same(row, theirs):
        ours = {
            "precision": row["precision"],
            "recall": row["recall"],
            "f1-score": row["f1"],
            "support": row["support"],
        }
        assert ours == pytest.approx(theirs)

    for row, name in zip(report.as_dict()["classes"], names, strict=True):
        assert row["class"] == name
        same(row, expected[name])
    assert set(report.averages) == {"macro", "weighted"} | ({"micro"} if labels == 3 else set())
    for name, row in report.averages.items():
        same(row, expected[f"{name} avg"])
    assert report.accuracy == (None if labels == 3 else pytest.approx(expected["accuracy"]))
    text = str(report)
    assert all(name in text for name in [*names, "macro average", "weighted average", "support"])
    assert ("accuracy" in text) == (labels != 3)
    assert len({len(line) for line in text.splitlines()}) == 1


def test_what_is_no_confusion_matrix_is_refused():
    for matrix in (np.ones((2, 4), int), np.ones(3, int), np.eye(2), np.ones((3, 3, 3), int)):
        with pytest.raises(ValueError, match="classification_report: expected the counts"):
            classification_report(matrix)
    with pytest.raises(ValueError, match="2 names for 3 classes"):
        classification_report(np.eye(3, dtype=int), ["a", "b"])
    assert classification_report(np.eye(2, dtype=np.uint8) * 200).accuracy == 1


@pytest.mark.parametrize(
    "name", ["loss", "accuracy", "mae", "nan", "epoch", "lr", "seconds", "skipped", "grad_norm", "val_loss", "train_lr"]
)
def test_names_of_minidls_own_columns_are_reserved(name):
    class Mine(Metric):
        def update(self, output, target):
            self.add(n=1)

        def compute(self):
            return 1.0

    metric, model = Mine(), nn.Linear(4, 2)
    metric.name = name
    with pytest.raises(
        ValueError, match=f"'{name}' is a column of minidl's own, Mine needs another name; set metric.name"
    ):
        Trainer(model, nn.CrossEntropyLoss(), metrics=[metric])
    metric.name = "mine"
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), metrics=[metric], progress="none"
    )
    metric.name = name  # later
    with pytest.raises(ValueError, match="a column of minidl's own"):
        trainer.evaluate([(np.ones((2, 4), np.float32), np.zeros(2, int))])
    metric.name = 3
    with pytest.raises(TypeError, match="the name of a metric must be text, Mine has 3"):
        Trainer(model, nn.CrossEntropyLoss(), metrics=[metric])


def test_accuracy_may_be_called_accuracy_and_the_error_mae():
    labels = np.random.default_rng(0).integers(0, 2, 50)
    trainer, _, loader, output = fitted(
        nn.MSELoss(), np.eye(2, dtype=np.float32)[labels], 2, [Accuracy(task="multiclass"), MeanAbsoluteError()]
    )
    result = trainer.evaluate(loader)
    assert result["accuracy"] == (output.argmax(1) == labels).mean()
    assert result["mae"] == pytest.approx(abs(output - np.eye(2)[labels]).mean())
