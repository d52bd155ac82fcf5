"""Figures as they are seen: what is written fits and does not collide; Axes of one's own; files for dense screens."""

import base64
import itertools
import re

import numpy as np
import pytest

from minidl import models, nn, plotting
from minidl.training import LRFind, reliability

matplotlib = pytest.importorskip("matplotlib")
RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 1, 8, 8), dtype=np.float32)
NORMS = {f"layer{n}.weight": 10.0**-n for n in range(5)}


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    matplotlib.use("agg")


@pytest.fixture
def model():
    return models.digits_cnn(rng=np.random.default_rng(0))


def boxes(figure, texts):
    figure.canvas.draw()
    return [text.get_window_extent() for text in texts if text.get_text()]


def apart(a, b):
    return a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0


def assert_apart(found):
    assert len(found) > 1
    for a, b in itertools.pairwise(found):
        assert apart(a, b), (a, b)


def assert_counts_fit(figure, axes, count):
    found = boxes(figure, axes.texts)
    width, height = (getattr(axes.get_window_extent(), side) / count for side in ("width", "height"))
    for box in found:
        assert box.width <= width, (box.width, width)
        assert box.height <= 1.2 * height, (box.height, height)  # the box has room for letters that go below the line
    assert_apart(boxes(figure, axes.get_xticklabels()))
    assert_apart(boxes(figure, axes.get_yticklabels()))


@pytest.mark.parametrize("largest", [9, 99_999])
@pytest.mark.parametrize(("count", "names"), [(2, 3), (10, 1), (10, 14), (30, 8), (100, 12)])
def test_counts_fit_their_cells_and_names_do_not_collide(count, names, largest):
    matrix = RNG.binomial(2, 4 / (count + 4), (count, count)) + np.diag(np.full(count, largest))
    figure = plotting.confusion_matrix(matrix, ["M" * (names - len(str(n)) + 1) + str(n) for n in range(count)])
    assert_counts_fit(figure, figure.axes[0], count)
    assert all(side <= 14 for side in figure.get_size_inches())
    expected = np.count_nonzero(matrix) if (count, largest) != (100, 99_999) else 0  # too small to be read
    assert len(figure.axes[0].texts) == expected


def test_counts_fit_in_small_axes_too():
    from matplotlib.figure import Figure

    own = Figure(figsize=(9, 3), layout="constrained")
    places = own.subplots(1, 3)
    assert plotting.confusion_matrix(np.full((10, 10), 10**8), ax=places[1]) is own
    assert not places[1].texts  # they would be smaller than 3 points
    plotting.confusion_matrix(np.full((10, 10), 12), ax=places[2])
    assert len(places[2].texts) == 100
    assert_counts_fit(own, places[2], 10)


def test_epochs_are_whole_numbers_and_apart():
    for epochs in (1, 2, 5, 200):
        columns = {"epoch": list(range(1, epochs + 1)), "train_loss": RNG.random(epochs), "lr": [0.1] * epochs}
        figure = plotting.curves(columns)
        figure.canvas.draw()
        for axes in figure.axes:
            ticks = [t for t in axes.get_xticks() if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
            assert ticks
            assert all(tick == round(tick) for tick in ticks)
            shown = [t for t, at in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True) if at in ticks]
            found = boxes(figure, shown)
            assert all(apart(a, b) for a, b in itertools.pairwise(found))


def test_the_names_of_a_hundred_parameters_do_not_collide():
    norms = {f"blocks.{n}.conv.weight": 1.0 for n in range(100)}
    figure = plotting.gradient_flow(norms, figsize=(5, 6))
    assert_apart(boxes(figure, figure.axes[0].get_yticklabels()))


def test_titles_are_no_wider_than_their_images(model):
    names = [f"a very long name of a class, number {n}" for n in range(10)]
    figures = [
        plotting.image_grid(IMAGES, [0] * 6, [1] * 6, names),
        plotting.saliency(model, IMAGES, labels=[3] * 6, classes=names),
        plotting.grad_cam(model, IMAGES, classes=names),
    ]
    for figure in figures:
        found = boxes(figure, [axes.title for axes in figure.axes])
        assert len(found) >= 6
        assert_apart(found)


@pytest.mark.parametrize("draw", [plotting.saliency, plotting.grad_cam])
def test_class_and_prediction_are_named(model, draw):
    guesses = model.eval()(IMAGES).argmax(axis=1)
    names = [f"c{n}" for n in range(10)]
    labels = np.where(np.arange(6) < 3, guesses, (guesses + 1) % 10)
    titles = [axes.get_title() for axes in draw(model, IMAGES, labels=labels, classes=names).axes]
    right, wrong = (
        [f"c{g}" for g in guesses[:3]],
        [f"c{a}\ntaken for c{g}" for a, g in zip(labels, guesses, strict=True)][3:],
    )
    assert titles == [*right, *wrong, *(f"for c{g}" for g in guesses)]
    plain = [axes.get_title() for axes in draw(model, IMAGES, target=7).axes]
    assert plain == [*(f"predicted {g}" for g in guesses), *["for 7"] * 6]
    with pytest.raises(ValueError, match="2 labels for 6 images"):
        draw(model, IMAGES, labels=[1, 2])
    with pytest.raises(ValueError, match="there are 3 names, got class"):
        draw(model, IMAGES, classes=["a", "b", "c"])


def test_feature_maps_and_filters_have_numbers(model):
    figure = plotting.feature_maps(model, IMAGES[0], 1)
    assert [axes.get_title() for axes in figure.axes] == [str(n) for n in range(16)]
    assert figure.get_suptitle() == "layer 1 (ReLU): 16 channels of 8x8"
    assert "layer 4 (MaxPool2d)" in plotting.feature_maps(model, IMAGES[0], "4").get_suptitle()
    assert [axes.get_title() for axes in plotting.filters(model).axes] == [str(n) for n in range(16)]


FOUND = LRFind(list(np.geomspace(1e-4, 10, 30)), [*np.linspace(3, 1, 25), 2.0, 9.0, 50.0, 1e3, 1e5])
RELIABLE = reliability(np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), [0, 1, 1])
DRAWN = {
    "decision_boundary": (
        1,
        lambda model, **where: plotting.decision_boundary(
            nn.Linear(2, 2), np.eye(2, dtype=np.float32), np.arange(2), **where
        ),
    ),
    "curves": (
        2,
        lambda model, **where: plotting.curves({"epoch": [1, 2], "train_loss": [2, 1], "lr": [1, 1]}, **where),
    ),
    "confusion_matrix": (1, lambda model, **where: plotting.confusion_matrix(np.eye(3, dtype=int), **where)),
    "gradient_flow": (1, lambda model, **where: plotting.gradient_flow(NORMS, **where)),
    "lr_curve": (1, lambda model, **where: plotting.lr_curve(FOUND, **where)),
    "reliability_diagram": (1, lambda model, **where: plotting.reliability_diagram(RELIABLE, **where)),
    "filters": (16, plotting.filters),
    "feature_maps": (16, lambda model, **where: plotting.feature_maps(model, IMAGES[0], 0, **where)),
    "image_grid": (6, lambda model, **where: plotting.image_grid(IMAGES, **where)),
    "saliency": (12, lambda model, **where: plotting.saliency(model, IMAGES, **where)),
    "grad_cam": (12, lambda model, **where: plotting.grad_cam(model, IMAGES, **where)),
}


def used(axes):
    return bool(axes.images or axes.lines or axes.patches)


@pytest.mark.parametrize("name", DRAWN)
def test_axes_and_sizes_are_accepted_everywhere(model, name):
    from matplotlib.figure import Figure

    count, draw = DRAWN[name]
    np.testing.assert_array_equal(draw(model, figsize=(5, 4)).get_size_inches(), (5, 4))
    own = Figure(layout="constrained")
    left, right = own.subplots(1, 2)
    assert draw(model, ax=right) is own
    assert sum(map(used, own.axes)) == count
    assert not used(left)
    own.canvas.draw()
    place = left.get_window_extent()
    assert all(axes.get_window_extent().x0 > place.x0 for axes in own.axes if used(axes))
    free = Figure()
    assert draw(model, ax=free.add_axes((0.5, 0.5, 0.4, 0.4))) is free
    free.canvas.draw()
    inside = [axes.get_position() for axes in free.axes if used(axes)]
    assert len(inside) == count
    assert all(box.x0 > 0.49 and box.x1 < 0.91 and box.y0 > 0.49 and box.y1 < 0.91 for box in inside)
    several = Figure().subplots(4, 5)
    figure = draw(model, ax=several)
    assert figure is several[0, 0].figure
    assert [used(axes) for axes in several.flat] == [True] * count + [False] * (20 - count)
    with pytest.raises(ValueError, match=f"{name}: figsize is for a new figure"):
        draw(model, ax=right, figsize=(2, 2))
    if count > 1:
        with pytest.raises(ValueError, match=f"{name}: {count} Axes are needed, got 1"):
            draw(model, ax=[right])


def pixels(png):
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def test_files_and_notebooks_are_sharp_on_dense_screens(tmp_path):
    figure = plotting.gradient_flow(NORMS, figsize=(4, 3))
    figure.savefig(tmp_path / "a.png")
    assert pixels((tmp_path / "a.png").read_bytes()) == (800, 600)
    figure.savefig(tmp_path / "b.png", dpi=50)
    assert pixels((tmp_path / "b.png").read_bytes()) == (200, 150)
    with matplotlib.rc_context({"savefig.dpi": 72}):
        figure.savefig(tmp_path / "c.png")
    assert pixels((tmp_path / "c.png").read_bytes()) == (288, 216)
    width, content = re.search(r'base64,([^"]+)" width="(\d+)"', figure._repr_html_()).group(2, 1)
    assert width == "400"
    assert pixels(base64.b64decode(content)) == (800, 600)


def test_training_and_validation_have_the_same_colours_everywhere():
    from minidl._core import PALETTE

    columns = {"epoch": [1, 2], "train_loss": [2, 1], "val_loss": [2, 1], "val_accuracy": [0, 1]}
    loss, accuracy = plotting.curves(columns).axes
    assert [line.get_color() for line in loss.lines] == [PALETTE["training"], PALETTE["validation"]]
    assert [line.get_color() for line in accuracy.lines] == [PALETTE["validation"]]


def test_a_layer_without_images_is_refused_as_before():
    with pytest.raises(ValueError, match="there is no Conv2d in the ReLU"):
        plotting.filters(nn.ReLU(), figsize=(2, 2))


def test_the_losses_over_rates_are_shown_as_far_as_they_matter():
    figure = plotting.lr_curve(FOUND)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), FOUND.smooth)
    assert set(axes.lines[2].get_xdata()) == {FOUND.suggestion}
    low, high = axes.get_ylim()
    assert low < 1
    assert 3 < high < 9
    assert f"suggested: {FOUND.suggestion:.2g}" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_bars_of_a_reliability_diagram_are_the_accuracies():
    (axes,) = plotting.reliability_diagram(RELIABLE).axes
    bars = {round(bar.get_x(), 3): bar.get_height() for bar in axes.patches}
    assert bars == {0.667: 1.0, 0.733: 0.0, 0.867: 1.0}
    assert axes.get_title() == f"expected calibration error {RELIABLE.error:.3f}"
