"""decision_boundary and its frames: where a line is known to lie; a fit is the same with and without them."""

import numpy as np
import pytest

from minidl import data, nn, optim, plotting
from minidl._core import CLASSES, PALETTE
from minidl.data import ArrayDataset, DataLoader
from minidl.training import Trainer

matplotlib = pytest.importorskip("matplotlib")
to_rgb = pytest.importorskip("matplotlib.colors").to_rgb


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")


def line(*weights, bias=()):
    """A model whose logits are the given combinations of x and y."""
    model = nn.Linear(2, len(weights))
    model.weight.data[...] = weights
    model.bias.data[...] = bias or 0
    return model


POINTS = np.array([[-1, -1], [0.2, 1], [0.4, -1], [1, 1]], np.float32)
LABELS = np.array([0, 0, 1, 0])


@pytest.mark.parametrize(
    "model",
    [
        line([-8, 0], [8, 0], bias=[2.4, -2.4]),
        line([16, 0], bias=[-4.8]),
        nn.Sequential(line([16, 0], bias=[-4.8]), nn.Flatten(0)),
    ],
    ids=["two logits", "one logit", "one number"],
)
def test_the_line_is_where_it_must_be(model):
    figure = plotting.decision_boundary(model, POINTS, LABELS)
    (axes,) = figure.axes
    lines = [path.vertices for c in axes.collections for path in c.get_paths() if len(path.vertices) > 100]
    assert len(lines) == 1
    np.testing.assert_allclose(lines[0][:, 0], 0.3, atol=0.01)
    assert axes.get_title() == "75 % right"
    image = np.asarray(axes.images[0].get_array())
    for side, number in ((0, 0), (-1, 1)):  # pale, but the hue of the class
        shade, full = 1 - image[80, side], 1 - np.array(to_rgb(CLASSES[number]))
        np.testing.assert_allclose(shade / shade.max(), full / full.max(), atol=1e-6)
    assert image[80, 0].min() < image[80, 85].min(), "the surer, the fuller"


def test_the_points_and_what_is_wrong():
    axes = plotting.decision_boundary(line([16, 0], bias=[-4.8]), POINTS, LABELS).axes[0]
    points = axes.collections[-1]
    np.testing.assert_array_equal(points.get_offsets(), POINTS)
    inside = [CLASSES[n] for n in LABELS]
    np.testing.assert_allclose(points.get_facecolors()[:, :3], [to_rgb(c) for c in inside])
    wrong = [tuple(ring[:3]) == to_rgb(PALETTE["wrong"]) for ring in points.get_edgecolors()]
    assert wrong == [False, False, False, True]
    alone = plotting.decision_boundary(line([16, 0]), POINTS).axes[0]
    assert alone.get_title() == ""
    assert len(alone.collections) == 1  # the line


def test_three_classes_meet_in_a_point():
    """Logits (x, y, -x - y): all are equal at the origin, and the largest one's class is drawn everywhere."""
    axes = plotting.decision_boundary(line([9, 0], [0, 9], [-9, -9]), POINTS, np.array([2, 1, 0, 1])).axes[0]
    assert len(axes.collections) == 3 + 1
    image, (left, right, bottom, top) = np.asarray(axes.images[0].get_array()), axes.images[0].get_extent()
    for x, y in np.random.default_rng(0).uniform(-1, 1, (50, 2)):
        logits = np.sort([x, y, -x - y])
        if logits[2] - logits[1] < 0.1:
            continue
        row, column = (int((v - low) / (high - low) * 159) for v, low, high in ((y, bottom, top), (x, left, right)))
        shade, full = 1 - image[row, column], 1 - np.array(to_rgb(CLASSES[int(np.argmax([x, y, -x - y]))]))
        np.testing.assert_allclose(shade / shade.max(), full / full.max(), atol=1e-6)


def test_one_class_everywhere_and_a_single_point():
    axes = plotting.decision_boundary(line([0, 0], [0, 0], bias=[5, 0]), POINTS[:1], LABELS[:1]).axes[0]
    assert axes.get_title() == "100 % right"
    assert len(axes.collections) == 1


def test_what_does_not_fit_is_refused():
    for points, labels, message in (
        (np.zeros((3, 3)), None, r"expected points \(N, 2\), at least one, got shape \(3, 3\)"),
        (np.zeros((0, 2)), None, "at least one"),
        (POINTS, LABELS[:2], r"expected integer labels \(4,\)"),
        (POINTS, LABELS * 1.0, "expected integer labels"),
    ):
        with pytest.raises(ValueError, match=message):
            plotting.decision_boundary(nn.Linear(2, 2), points, labels)
    with pytest.raises(ValueError, match=r"a model that gives logits \(N, K\), got \(25600, 2, 1\)"):
        plotting.decision_boundary(nn.Sequential(nn.Linear(2, 2), nn.Unflatten(1, (2, 1))), POINTS)


def fitted(*callbacks, epochs=4):
    points, labels = data.make_moons(60, noise=0.1, rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    model = nn.Sequential(nn.Linear(2, 8, rng=rng), nn.ReLU(), nn.Dropout(0.1, rng=rng), nn.Linear(8, 2, rng=rng))
    frames = [callback(points, labels) for callback in callbacks]
    optimizer = optim.Adam(model.params(), lr=0.05)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=frames, progress="none")
    trainer.fit(DataLoader(ArrayDataset(points, labels), 20, shuffle=True, rng=rng), epochs=epochs)
    return trainer, frames, points, labels


def test_a_fit_is_the_same_with_and_without_frames():
    with_frames, (frames,), points, labels = fitted(plotting.BoundaryFrames)
    without, *_ = fitted()
    for a, b in zip(with_frames.model.params(), without.model.params(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert len(frames) == 5
    last = frames.frames[-1]
    hits = with_frames.predict(points).argmax(axis=1) == labels
    assert last.title == f"epoch 4: {100 * hits.mean():.0f} % right"
    assert frames.frames[0].title.startswith("untrained: ")
    with_frames.fit(DataLoader(ArrayDataset(points, labels), 20), epochs=1)
    assert [frame.title.partition(":")[0] for frame in frames.frames] == ["untrained", "epoch 1"]


def test_every_second_epoch():
    _, (frames,), *_ = fitted(lambda *given: plotting.BoundaryFrames(*given, every=2), epochs=5)
    assert [frame.title.partition(":")[0] for frame in frames.frames] == ["untrained", "epoch 2", "epoch 4"]


def test_the_sheet_begins_and_ends_with_the_fit():
    _, (frames,), *_ = fitted(plotting.BoundaryFrames, epochs=12)
    titles = [axes.get_title().partition(":")[0] for axes in frames.sheet(6, columns=3).axes]
    assert (titles[0], titles[1], titles[-1], len(set(titles))) == ("untrained", "epoch 1", "epoch 12", 6)
    assert sum(bool(axes.images) for axes in frames.sheet(100).axes) == 13
    assert len(frames.sheet(1).axes) == 1


def test_the_film_has_a_picture_for_each_frame(tmp_path):
    image = pytest.importorskip("PIL.Image")
    _, (frames,), *_ = fitted(plotting.BoundaryFrames)
    frames.save(tmp_path / "film.gif", seconds=0.5)
    with image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 5
        durations = []
        for number in range(5):
            film.seek(number)
            durations.append(film.info["duration"])
        assert durations == [500, 500, 500, 500, 2000]
        assert film.info["loop"] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["film.gif"]
    with pytest.raises(ValueError, match=r"the name must end in .gif, got 'film.png'"):
        frames.save(tmp_path / "film.png")
    with pytest.raises(ValueError, match="there are no frames"):
        plotting.BoundaryFrames(POINTS, LABELS).save(tmp_path / "film.gif")
    with pytest.raises(ValueError, match="there are no frames"):
        plotting.BoundaryFrames(POINTS, LABELS).sheet()
