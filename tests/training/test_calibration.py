"""reliability and fit_temperature: by hand, and against SciPy's minimum."""

import numpy as np
import pytest

from minidl.training import fit_temperature, reliability


def softmax(z):
    weights = np.exp(z - z.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def test_the_error_by_hand():
    """Five samples, bins of a fifth: (0.4, 0.6] has two, one right; (0.6, 0.8] one, wrong; the last two, right."""
    probabilities = np.array([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8], [0.9, 0.1, 0.0], [0.0, 1.0, 0.0]])
    found = reliability(probabilities, [0, 2, 1, 0, 1], bins=5)
    np.testing.assert_array_equal(found.counts, [0, 0, 2, 1, 2])
    np.testing.assert_allclose(found.confidence, [np.nan, np.nan, 0.55, 0.8, 0.95])
    np.testing.assert_allclose(found.accuracy, [np.nan, np.nan, 0.5, 0.0, 1.0])
    np.testing.assert_allclose(found.edges, [0, 0.2, 0.4, 0.6, 0.8, 1])
    assert found.error == pytest.approx((2 * 0.05 + 1 * 0.8 + 2 * 0.05) / 5)


@pytest.mark.parametrize("seed", range(5))
def test_the_error_by_a_loop(seed):
    rng = np.random.default_rng(seed)
    probabilities = softmax(3 * rng.standard_normal((200, 4))).astype(np.float32)
    labels, bins = rng.integers(0, 4, 200), int(rng.integers(1, 30))
    expected = 0.0
    for number in range(bins):
        members = [n for n in range(200) if number / bins < probabilities[n].max() <= (number + 1) / bins]
        if members:
            sure = sum(float(probabilities[n].max()) for n in members) / len(members)
            right = sum(probabilities[n].argmax() == labels[n] for n in members) / len(members)
            expected += len(members) / 200 * abs(sure - right)
    assert reliability(probabilities, labels, bins).error == pytest.approx(expected, abs=1e-7), f"seed {seed}"


@pytest.mark.parametrize("seed", range(5))
def test_the_temperature_is_the_minimum_that_scipy_finds(seed):
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(seed)
    logits, labels = 4 * rng.standard_normal((300, 5)), rng.integers(0, 5, 300)
    labels[:200] = logits[:200].argmax(axis=1)

    def loss(log_t):
        return -np.log(softmax(logits / np.exp(log_t))[np.arange(300), labels]).mean()

    found = optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-10})
    assert fit_temperature(logits, labels) == pytest.approx(np.exp(found.x), rel=1e-5), f"seed {seed}"
    shifted = logits.astype(np.float32) + 100 * rng.standard_normal((300, 1)).astype(np.float32)
    assert fit_temperature(shifted, labels) == pytest.approx(np.exp(found.x), rel=1e-3)


@pytest.mark.parametrize("times", [0.4, 1.0, 3.0])
def test_a_model_that_is_too_sure_is_put_right(times):
    rng = np.random.default_rng(1)
    logits = 2 * rng.standard_normal((20_000, 6))
    labels = (rng.random((20_000, 1)) > softmax(logits).cumsum(axis=1)).sum(axis=1).clip(0, 5)
    temperature = fit_temperature(times * logits, labels)
    assert temperature == pytest.approx(times, rel=0.03)
    before, after = (reliability(softmax(times * logits / t), labels).error for t in (1.0, temperature))
    assert after < 0.015  # what 20,000 samples leave to chance
    assert times == 1.0 or before > 0.05


def test_what_does_not_determine_a_temperature_gives_a_bound():
    logits = 3 * np.eye(4)
    assert fit_temperature(logits, np.arange(4)) == pytest.approx(0.05)
    assert fit_temperature(logits, (np.arange(4) + 1) % 4) == pytest.approx(20)


@pytest.mark.parametrize("function", [reliability, fit_temperature])
@pytest.mark.parametrize(
    ("values", "labels", "kind", "message"),
    [
        (np.ones(3), [0], ValueError, r"expected an array \(N, C\), got shape \(3,\)"),
        (np.ones((0, 3)), [], ValueError, r"expected an array \(N, C\)"),
        ([[np.nan, 1.0], [1.0, 0.0]], [0, 0], ValueError, "1 samples have values not finite"),
        (np.ones((2, 3)), [0.0, 1.0], TypeError, "labels must be integers, got float64"),
        (np.ones((2, 3)), [0], ValueError, r"expected labels of shape \(2,\), got \(1,\)"),
        (np.ones((2, 3)), [0, 3], ValueError, "labels must be from 0 to 2, got 0 to 3"),
    ],
)
def test_what_they_refuse(function, values, labels, kind, message):
    with pytest.raises(kind, match=f"{function.__name__}: {message}"):
        function(values, labels)


def test_logits_are_no_probabilities():
    with pytest.raises(ValueError, match="expected probabilities from 0 to 1, got -2 to 3; of logits take the softmax"):
        reliability([[3.0, -2.0]], [0])
