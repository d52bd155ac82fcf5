"""NaN is never right: not in a metric, not in the Trainer, not on the command line."""

import dataclasses
import json

import numpy as np
import pytest

from minidl import nn
from minidl.cli import main, run
from minidl.data import load_digits
from minidl.plotting.attribution import input_gradient
from minidl.training import Trainer
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
    classification_report,
)

CLASSES = np.array([0, 1, 2, 0, 1, 2])


def perfect(*broken):
    """Outputs that are right, with NaN in some samples: everywhere, or beside the right class."""
    output = 5 * np.eye(3)[CLASSES]
    for number in broken:
        output[number, :] = np.nan
    return output


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("part", [slice(None), 0, 1, 2, [0, 1]])
@pytest.mark.parametrize("metric", [Accuracy, TopK, lambda: TopK(2), lambda: TopK(3)])
def test_a_sample_with_a_nan_is_wrong(metric, part, dtype):
    output = perfect().astype(dtype)
    output[:4, part] = np.nan
    measure = metric()
    measure.update(output, CLASSES)
    assert measure.compute() == 2 / 6
    measure.update(np.full((3, 3, 4), np.nan), np.zeros((3, 4), int))
    assert measure.compute() == 2 / 18


@pytest.mark.parametrize("options", [{"task": "binary"}, {"task": "multilabel"}])
def test_a_decision_that_is_nan_is_wrong(options):
    output, yes = np.array([[3.0], [-3], [np.nan], [np.nan]]), np.array([[1], [0], [1], [0]])
    for metric, expected in (
        (Accuracy, 0.5),
        (Precision, 0.5),
        (Recall, 0.5),
        (F1Score, 0.5),
        (ConfusionMatrix, [[1, 1], [1, 1]]),
    ):
        measure = metric(threshold=0, **options)
        measure.update(output, yes)
        np.testing.assert_array_equal(measure.compute(), expected)
    measure = ROCAUC(**options)
    measure.update(output, yes)
    assert np.isnan(measure.compute())


def test_the_confusion_matrix_has_a_column_for_nan_and_the_scores_miss_them():
    matrix, batches = ConfusionMatrix(), ConfusionMatrix()
    matrix.update(perfect(0, 4), CLASSES)
    np.testing.assert_array_equal(matrix.compute(), [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 2, 0]])
    batches.update(perfect()[5:], CLASSES[5:])
    other = ConfusionMatrix()
    other.update(perfect(0, 4)[:5], CLASSES[:5])
    batches.merge(other)
    again = ConfusionMatrix()
    again.load_state_dict(batches.state_dict())
    np.testing.assert_array_equal(again.compute(), matrix.compute())
    for metric, average, expected in (
        (Recall, None, [0.5, 0.5, 1]),
        (Precision, None, [1, 1, 1]),
        (F1Score, None, [2 / 3, 2 / 3, 1]),
        (Recall, "macro", 2 / 3),
        (Recall, "micro", 4 / 6),
        (Precision, "micro", 4 / 6),
        (F1Score, "micro", 4 / 6),
        (Recall, "weighted", 4 / 6),
    ):
        score = metric(average=average)
        score.update(perfect(0, 4), CLASSES)
        np.testing.assert_allclose(score.compute(), expected)
    report = classification_report(matrix.compute(), ["a", "b", "c"])
    assert (report.accuracy, report.nan) == (4 / 6, 2)
    assert "2 of the outputs are NaN, and wrong" in str(report)
    every = F1Score()
    every.update(np.full((6, 3), np.nan), CLASSES)
    np.testing.assert_array_equal(every.compute(), np.zeros(3))


def test_areas_and_means_are_nan():
    for metric, output, target in (
        (ROCAUC(), perfect(0), CLASSES),
        (MeanAbsoluteError(), perfect(0), perfect()),
        (MeanLoss(nn.MSELoss()), perfect(0), perfect()),
    ):
        metric.update(output, target)
        assert np.isnan(metric.compute())
    areas = ROCAUC(None, task="multilabel")
    outputs, yes = np.array([[0.1, 0.2], [0.3, np.nan], [0.5, 0.1]]), np.array([[0, 1], [1, 0], [1, 0]])
    areas.update(outputs, yes)
    np.testing.assert_array_equal(areas.compute(), [1, np.nan])
    with pytest.raises(ValueError, match="a target is NaN"):
        Accuracy(task="multiclass").update(perfect(), perfect(0))


class Broken(nn.Module):
    """Gives NaN for samples whose first number is ``mark``."""

    def __init__(self, inner, mark):
        super().__init__()
        self.inner, self.mark = inner, mark

    def forward(self, x):
        output = self.inner(x).copy()
        output[x.reshape(len(x), -1)[:, 0] == self.mark] = np.nan
        return output


@pytest.mark.parametrize(
    ("loss", "target", "measure"),
    [
        (nn.CrossEntropyLoss(), np.array([0, 1, 2, 0]), "accuracy"),
        (nn.BCEWithLogitsLoss(), np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], "accuracy"),
        (nn.MSELoss(), np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], "mae"),
    ],
)
def test_evaluate_says_how_many_were_nan(loss, target, measure, capsys):
    x = (6 * np.eye(3, dtype=np.float32) - 3)[[0, 1, 2, 0]]  # right for all labels
    trainer = Trainer(Broken(nn.Identity(), 3), loss, progress="none")
    batches = [(x[:2], target[:2]), (x[2:], target[2:])]  # NaN in samples 0 and 3, of class 0
    result = trainer.evaluate(batches)
    assert result["nan"] == 2
    assert np.isnan(result["loss"])
    assert np.isnan(result["mae"]) if measure == "mae" else result["accuracy"] == 0.5
    assert "nan" not in trainer.evaluate([(x[1:2], target[1:2])])
    Trainer(trainer.model, loss, progress="lines").evaluate(batches)
    assert capsys.readouterr().out == "evaluate: the output is NaN for 2 samples, which count as wrong\n"


def test_no_logit_is_the_largest_if_one_is_nan():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    images = np.ones((3, 1, 2, 2), np.float32)
    images[1, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="input_gradient: the output for image 1 is NaN, it has no largest logit"):
        input_gradient(model, images)
    assert input_gradient(model, images, target=2).shape == images.shape


@pytest.fixture
def broken_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--epochs", "1", "--run", "r", "--quiet"]) == 0
    images = load_digits()[1].arrays[0].copy()
    images[:100, 0, 0, 0] = 0.75
    np.save("images.npy", images[98:102])
    load = run.Run.load_model
    monkeypatch.setattr(run.Run, "load_model", lambda self: Broken(load(self), 0.75).eval())
    test = load_digits()[1]
    test.arrays = (images, test.arrays[1])
    recipe_images = run.Recipe.load_images

    def changed(self):
        return dataclasses.replace(recipe_images(self), test=test)

    monkeypatch.setattr(run.Recipe, "load_images", changed)
    capsys.readouterr()
    return test


def test_the_command_line_counts_nan_as_wrong_and_says_how_many_there_are(broken_run, capsys):
    assert main(["evaluate", "r", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["nan"], result["loss"], result["samples"]) == (100, None, 355)
    assert sum(map(sum, result["confusion"])) == 355
    assert len(result["confusion"][0]) == 11
    right = sum(result["confusion"][number][number] for number in range(10))
    assert result["accuracy"] == right / 355 < 255 / 355
    assert main(["evaluate", "r", "--quiet"]) == 0
    assert "for 100 the output is NaN, which counts as wrong" in capsys.readouterr().out
    assert main(["evaluate", "r"]) == 0
    out = capsys.readouterr().out
    assert "100 of the outputs are NaN, and wrong" in out
    assert "macro average" in out


def test_nan_is_no_guess(broken_run, capsys):
    assert main(["predict", "r", "images.npy", "--json"]) == 0
    assert [len(entry["top"]) for entry in json.loads(capsys.readouterr().out)["predictions"]] == [0, 0, 3, 3]
    assert main(["predict", "r", "images.npy"]) == 0
    assert "images.npy[1]: no class, the output of the model is NaN" in capsys.readouterr().out


def test_the_report_shows_nan_as_mistakes(broken_run, capsys, monkeypatch, tmp_path):
    from minidl.cli.measure import measure
    from minidl.cli.report import write_report

    own = run.Run.read("r")
    model = own.load_model()
    measured = measure(own.loaded(model), broken_run, "none")
    write_report(own, model.inner, "test", broken_run, measured, "chosen")
    page = (tmp_path / "r" / "report.html").read_text()
    assert "For 100 images the output of the model is NaN; they count as wrong." in page
    assert page.count("predicted as<br><span class=wrong>NaN<") == 24
    assert "<th><span>NaN</span></th>" in page


def test_a_net_of_nan_scores_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--epochs", "1", "--run", "r", "--quiet"]) == 0
    with np.load("r/weights.npz") as kept:
        ruined = {name: np.full_like(kept[name], np.nan) for name in kept.files}
    np.savez("r/weights.npz", **ruined)
    capsys.readouterr()
    assert main(["evaluate", "r", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["accuracy"], result["nan"]) == (0, 355)
