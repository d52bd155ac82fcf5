"""The picture of a sweep: scales, places, the best one, and what lies far below."""

import itertools

import numpy as np
import pytest

from minidl import plotting

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def no_screen():
    matplotlib.use("agg")


def effects(values, scores=None):
    """The one panel of one option."""
    figure = plotting.option_effects({"an_option": values}, scores or list(np.linspace(0.8, 0.9, len(values))))
    figure.canvas.draw()
    return figure.axes[0]


def marks(axes):
    return [label.get_text() for label in axes.get_xticklabels() if label.get_visible()]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.1, 0.2, 0.3], "linear"),
        ([16, 32, 64], "linear"),
        ([16, 64, 256], "log"),
        ([0.001, 0.01, 0.1], "log"),
        ([0.0, 1e-5, 1e-4, 1e-3], "symlog"),
        ([-1.0, 0.1, 10.0], "linear"),
        ([0.0, 0.9], "linear"),
        (list(np.geomspace(1e-4, 1, 60)), "log"),
    ],
)
def test_values_that_are_spread_over_decades_have_a_logarithmic_axis(values, scale):
    axes = effects(values)
    assert axes.get_xscale() == scale
    if len(values) < 9:
        assert marks(axes) == [f"{value:g}" for value in values]
    low, high = axes.get_xlim()
    assert low < min(values) < max(values) < high


@pytest.mark.parametrize(
    "values", [[0.5, 0.9, 0.95, 0.99, 0.995, 0.999], list(range(1000, 1008)), ["a" * 40, "b"], [*"abcdefghij"]]
)
def test_marks_do_not_collide(values):
    axes = effects(values)
    shown = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_visible()]
    assert shown
    for left, right in itertools.pairwise(shown):
        assert left.x1 <= right.x0


def test_text_and_flags_have_a_place_each_in_the_order_given():
    assert marks(effects(["sgd", "adam", "sgd", "$x$"])) == ["sgd", "adam", r"\$x\$"]
    assert marks(effects([True, False])) == ["true", "false"]
    axes = effects(["a", "a", "b"], [0.5, 0.5, 0.6])
    first, second, _ = axes.collections[0].get_offsets()[:, 0]
    assert first != second  # equal results can be seen beside each other


def test_the_best_has_a_ring_and_those_far_below_are_triangles_at_the_edge():
    scores = [0.90, 0.91, 0.95, 0.92, 0.1]
    axes = effects([1, 2, 3, 4, 5], scores)
    points, below, ring = (collection.get_offsets() for collection in axes.collections)
    assert ring.tolist() == [[3, 0.95]]
    assert points.tolist() == [[n + 1, score] for n, score in enumerate(scores[:4])]
    assert below[0, 0] == 5
    assert axes.get_ylim()[0] < below[0, 1] < 0.9
    assert axes.get_title(loc="left") == "▼ 1 below 0.9"


@pytest.mark.parametrize("scores", [[0.9], [0.9, 0.9, 0.9], [0.9, 0.9, 0.1], [0.5, 0.6, 0.7]])
def test_otherwise_all_are_where_they_are(scores):
    axes = effects(list(range(len(scores))), scores)
    assert axes.collections[0].get_offsets()[:, 1].tolist() == scores
    assert axes.get_title(loc="left") == ""


def test_there_is_a_panel_for_each_option_four_in_a_row():
    options = {f"option{n}": [1, 2, 3] for n in range(5)}
    figure = plotting.option_effects(options, [0.1, 0.2, 0.3], "score")
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_xlabel() for axes in shown] == list(options)
    assert [axes.get_ylabel() for axes in shown] == ["score", "", "", "", "score"]
    assert len({axes.get_ylim() for axes in shown}) == 1


@pytest.mark.parametrize(
    ("options", "scores", "message"),
    [
        ({}, [0.1], "expected options"),
        ({"a": []}, [], "expected options"),
        ({"a": [1, 2]}, [0.1], "expected options"),
        ({"a": [1, 2]}, [0.1, float("nan")], "the results must be finite"),
    ],
)
def test_what_it_refuses(options, scores, message):
    with pytest.raises(ValueError, match=message):
        plotting.option_effects(options, scores)
