"""Figures: what is in them; attributions: beside numerical gradients; the model as it was."""

import numpy as np
import pytest

import minidl
from minidl import models, nn, plotting

matplotlib = pytest.importorskip("matplotlib")
RNG = np.random.default_rng(0)
IMAGES = RNG.random((3, 1, 8, 8), dtype=np.float32)


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    matplotlib.use("agg")


@pytest.fixture
def model():
    return models.digits_cnn(rng=np.random.default_rng(0))


def drawn(figure, tmp_path):
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 300
    from matplotlib import pyplot

    assert not pyplot.get_fignums()
    return figure.axes


def test_curves(tmp_path):
    history = minidl.training.History()
    history.rows = [{"epoch": n, "lr": 0.1, "train_loss": 1 / n, "val_loss": 2 / n, "train_top5": 0.9} for n in (1, 2)]
    axes = drawn(plotting.curves(history), tmp_path)
    assert [a.get_title() for a in axes] == ["loss", "top5", "learning rate"]
    assert [len(a.lines) for a in axes] == [2, 1, 1]
    np.testing.assert_array_equal(axes[0].lines[1].get_ydata(), [2, 1])
    assert len(plotting.curves(history.to_dict()).axes) == 3
    with pytest.raises(ValueError, match="curves: the history has no epochs"):
        plotting.curves(minidl.training.History())


def test_confusion_matrix(tmp_path):
    axes = drawn(plotting.confusion_matrix(np.array([[3, 1], [0, 2]]), ["zebra", "ant"]), tmp_path)
    assert [text.get_text() for text in axes[0].texts] == ["3", "1", "2"]
    assert [t.get_text() for t in axes[0].get_xticklabels()] == ["zebra", "ant"]
    with pytest.raises(ValueError, match="1 names for 2 classes"):
        plotting.confusion_matrix(np.eye(2), ["a"])
    with pytest.raises(ValueError, match=r"expected counts \(C, C\), got shape \(2, 3\)"):
        plotting.confusion_matrix(np.ones((2, 3)))


def test_filters_maps_and_images(model, tmp_path):
    assert len(drawn(plotting.filters(model), tmp_path)) == 16
    assert len(drawn(plotting.filters(nn.Conv2d(3, 4, 3)), tmp_path)) == 4
    assert len(drawn(plotting.feature_maps(model, IMAGES[0], 0), tmp_path)) == 16
    assert len(plotting.feature_maps(model, IMAGES[:1]).axes) == 32
    axes = drawn(plotting.image_grid(IMAGES, [0, 1, 2], [0, 2, 2], ["a", "b", "c"]), tmp_path)
    assert [a.get_title() for a in axes] == ["a", "b\ntaken for c", "c"]
    assert len(plotting.image_grid(np.repeat(IMAGES, 3, axis=1)).axes) == 3
    for wrong, message in (
        (lambda: plotting.filters(nn.ReLU()), "there is no Conv2d in the ReLU"),
        (lambda: plotting.feature_maps(model, IMAGES), "feature_maps: expected one image"),
        (
            lambda: plotting.feature_maps(model, IMAGES[0], "last"),
            "feature_maps: there is no layer 'last'; known: 0, 1",
        ),
        (lambda: plotting.feature_maps(model, IMAGES[0], 5), "feature_maps: the output of layer 5 is not an image"),
        (lambda: plotting.feature_maps(model, IMAGES[0], 9), "feature_maps: there is no layer 9; the model has 8"),
        (lambda: plotting.image_grid(IMAGES, [1]), "1 labels for 3 images"),
        (lambda: plotting.image_grid(IMAGES, [0, 1, -1], classes=["a", "b"]), "there are 2 names, got class -1"),
        (lambda: plotting.image_grid(IMAGES[:0]), "image_grid: .* at least one, got shape"),
        (lambda: plotting.image_grid(np.repeat(IMAGES, 2, axis=1)), r"image_grid: expected images \(N, 1 or 3, H, W\)"),
        (lambda: plotting.saliency(model, IMAGES.repeat(2, 1)), r"saliency: expected images \(N, 1 or 3, H, W\)"),
        (lambda: plotting.grad_cam(model, IMAGES.repeat(2, 1)), r"grad_cam: expected images \(N, 1 or 3, H, W\)"),
        (lambda: plotting.saliency(model, IMAGES[:0]), "input_gradient: there are no images"),
        (lambda: plotting.confusion_matrix(np.zeros((0, 0))), "there are no classes"),
        (lambda: plotting.curves({"epoch": [1]}), "no columns train_..., val_... or lr"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()


def test_gradient_flow(model, tmp_path):
    with pytest.raises(ValueError, match="there are no gradients; run a backward pass first"):
        plotting.gradient_flow(model)
    model.backward(np.ones_like(model(IMAGES)))
    axes = drawn(plotting.gradient_flow(model), tmp_path)
    assert [t.get_text() for t in axes[0].get_yticklabels()] == [name for name, _ in model.named_params()]
    axes = drawn(plotting.gradient_flow({"a": 1.0, "b": 0.0, "c": float("nan"), "$d$": float("inf")}), tmp_path)
    assert [text.get_text().strip() for text in axes[0].texts] == ["nan", "inf"]
    assert axes[0].get_yticklabels()[3].get_text() == r"\$d\$"


def test_the_input_gradient_is_the_numerical_one(model):
    model.astype(np.float64).eval()
    images = IMAGES[:1].astype(np.float64)
    gradient = plotting.input_gradient(model, images, target=3)
    for place in ((0, 0, 2, 3), (0, 0, 7, 7)):
        step = np.zeros_like(images)
        step[place] = 1e-5
        difference = (model(images + step) - model(images - step))[0, 3] / 2e-5
        assert gradient[place] == pytest.approx(difference, rel=1e-5, abs=1e-9)


def test_grad_cam_finds_where_the_class_is(tmp_path):
    # the first output is the sum of what the filter sees; the second of nothing
    conv = nn.Conv2d(1, 1, 1, bias=False)
    conv.weight.data[...] = 1
    head = nn.Linear(64, 2, bias=False)
    head.weight.data[...] = [[1.0], [-1.0]]
    model = nn.Sequential(conv, nn.Flatten(), head)
    images = np.zeros((2, 1, 8, 8), np.float32)
    images[0, 0, 2, 5], images[1, 0, 6, 1] = 1, 2
    maps = plotting.grad_cam_map(model, images, target=0)
    np.testing.assert_array_equal(maps, (images > 0)[:, 0].astype(np.float32))
    assert not plotting.grad_cam_map(model, images, target=1).any()
    drawn(plotting.grad_cam(model, images), tmp_path)
    drawn(plotting.saliency(model, images), tmp_path)
    with pytest.raises(ValueError, match="grad_cam_map: no layer of the model gives an image"):
        plotting.grad_cam_map(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), images)
    with pytest.raises(ValueError, match="input_gradient: target must be from 0 to 1, got 2"):
        plotting.input_gradient(model, images, 2)


def test_a_forward_pass_waits_for_its_backward_pass(model):
    out = model(IMAGES)
    plotting.input_gradient(model, IMAGES)
    model.backward(np.ones_like(out))


def test_the_model_is_as_it_was(model):
    model[6].eval()
    model.needs_input_grad = False
    model(IMAGES)
    model.backward(np.ones((3, 10), np.float32))
    grads = [p.grad.copy() for p in model.params()]
    modes = [m.training for m in model.modules()]
    plotting.grad_cam_map(model, IMAGES)
    plotting.input_gradient(model, IMAGES)
    plotting.feature_maps(model, IMAGES[0])
    assert [m.training for m in model.modules()] == modes
    assert not model.needs_input_grad
    for parameter, grad in zip(model.params(), grads, strict=True):
        np.testing.assert_array_equal(parameter.grad, grad)
