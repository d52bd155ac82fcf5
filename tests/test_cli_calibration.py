"""The calibration in report.html: its numbers are those of minidl.training."""

import re
from pathlib import Path

import numpy as np
import pytest

from minidl.cli import main
from minidl.cli.calibration_section import calibration_section
from minidl.cli.measure import Measured
from minidl.cli.run import Run
from minidl.training import fit_temperature, reliability


def softmax(z):
    weights = np.exp(z - z.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def measured(logits, labels):
    return Measured(
        softmax(logits), labels, [str(n) for n in range(logits.shape[1])], np.eye(logits.shape[1], dtype=int)
    )


def test_a_run_is_calibrated_by_its_images_for_validation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--epochs", "2", "--run", "r", "--quiet"]) == 0
    page = Path("r/report.html").read_text()
    told = re.search(
        r"error on the test images: (\S+)\. .*by a temperature of (\S+), found on the images for validation: (\S+)\.<",
        page,
    )
    run = Run.read("r")
    images, model = run.recipe.load_images(), run.load_model()
    (val, val_labels), (test, labels) = (
        (model(part.batch(np.arange(len(part)))[0]), part.batch(np.arange(len(part)))[1])
        for part in (images.val, images.test)
    )
    temperature = fit_temperature(val, val_labels)
    assert float(told.group(1)) == pytest.approx(reliability(softmax(test), labels).error, abs=1e-4)
    assert float(told.group(2)) == pytest.approx(temperature, abs=0.006)
    assert float(told.group(3)) == pytest.approx(reliability(softmax(test / temperature), labels).error, abs=1e-3)


def test_without_images_for_validation_there_is_no_temperature():
    rng = np.random.default_rng(0)
    result = measured(rng.standard_normal((30, 3)), rng.integers(0, 3, 30))
    text = calibration_section("validation", result, None)
    assert "error on the validation images" in text
    assert "temperature" not in text
    assert text.count("<rect") == np.count_nonzero(reliability(result.probabilities, result.labels).counts)


def test_without_a_mistake_no_temperature_is_told():
    right = measured(5 * np.eye(4), np.arange(4))
    assert "do not determine a temperature" in calibration_section("test", right, right)


def test_outputs_that_are_nan_have_no_calibration():
    broken = measured(np.array([[np.nan, 1.0], [0.0, 1.0]]), np.array([0, 1]))
    assert calibration_section("test", broken, None) == ""
