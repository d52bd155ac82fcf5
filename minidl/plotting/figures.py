"""The functions that draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._core import Array, check_images, printable
from ..nn import Conv2d, Module
from ..training import History
from ..training.step import grad_norms
from .attribution import grad_cam_map, input_gradient, layer_output

__all__ = [
    "confusion_matrix",
    "curves",
    "feature_maps",
    "filter_images",
    "filters",
    "first_conv",
    "grad_cam",
    "gradient_flow",
    "image_grid",
    "saliency",
]


def _figure(width: float, height: float) -> Any:
    """Return an empty figure that pyplot does not keep: a notebook shows it once, and it does not stay in memory."""
    try:
        from matplotlib import pyplot  # noqa: PLC0415 - an extra, imported where it is used
    except ImportError as error:
        raise ImportError("minidl.plotting needs an extra: pip install 'minidl[plot]'") from error
    figure = pyplot.figure(figsize=(width, height), layout="constrained")
    pyplot.close(figure)
    return figure


def curves(history: History | Mapping[str, Sequence[float]]) -> Any:
    """Draw loss, accuracy and other measures of training and validation by epoch, and the learning rate.

    Args:
        history: what `Trainer.fit` returned, or a dict of columns as `History.to_dict` returns it.

    Returns:
        A matplotlib Figure with a panel for each measure.

    Raises:
        ValueError: there are no epochs, or no measures.
        ImportError: the extra ``plot`` is not installed.
    """
    given = history.to_dict() if isinstance(history, History) else history
    columns = {name: list(values) for name, values in given.items()}
    if not columns.get("epoch"):
        raise ValueError("curves: the history has no epochs")
    epochs = columns["epoch"]
    measures = list(dict.fromkeys(name.partition("_")[2] for name in columns if name.startswith(("train_", "val_"))))
    panels = [*measures, "lr"] if "lr" in columns else measures
    if not panels:
        raise ValueError("curves: the history has no columns train_..., val_... or lr")
    figure = _figure(4.2 * len(panels), 3.2)
    for axes, measure in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        names = ["lr"] if measure == "lr" else [f"{part}_{measure}" for part in ("train", "val")]
        for name in names:
            if name in columns:
                label = {"train": "training", "val": "validation"}.get(name.partition("_")[0], name)
                axes.plot(epochs[: len(columns[name])], columns[name], marker=".", label=label)
        axes.set(title="learning rate" if measure == "lr" else measure, xlabel="epoch")
        axes.grid(alpha=0.3)
        if measure != "lr":
            axes.legend()
    return figure


def confusion_matrix(matrix: Array, classes: Sequence[str] | None = None) -> Any:
    """Draw a confusion matrix: labels are rows, predictions columns; colours show square roots of fractions of a row.

    Args:
        matrix: counts (C, C), as `minidl.training.metrics.ConfusionMatrix` computes them.
        classes: names; None for numbers.

    Returns:
        A matplotlib Figure.

    Raises:
        ValueError: the matrix is empty or not square, or there is not one name for each class.
        ImportError: the extra ``plot`` is not installed.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        lost = matrix.ndim == 2 and matrix.shape[1] == len(matrix) + 1
        hint = "; if the last column counts outputs that were NaN, matrix[:, :-1] leaves them out" if lost else ""
        raise ValueError(f"confusion_matrix: expected counts (C, C), got shape {matrix.shape}{hint}")
    names = [_plain(name) for name in (range(len(matrix)) if classes is None else classes)]
    if not len(matrix):
        raise ValueError("confusion_matrix: there are no classes")
    if len(names) != len(matrix):
        raise ValueError(f"confusion_matrix: {len(names)} names for {len(matrix)} classes")
    side = max(3.5, 0.5 * len(matrix) + 1)
    figure = _figure(side, side)
    axes = figure.subplots()
    totals = matrix.sum(axis=1, keepdims=True, dtype=np.float64)
    shares = np.sqrt(matrix / np.maximum(1, totals))  # the roots, so that rare mistakes are visible
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="prediction", ylabel="label")
    turned = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 3 else {}
    axes.set_xticks(range(len(names)), names, **turned)
    axes.set_yticks(range(len(names)), names)
    for row, column in np.argwhere(matrix) if len(matrix) <= 30 else ():
        colour = "white" if shares[row, column] > 0.6 else "black"
        axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontsize=8)
    return figure


def filters(layer: Module, columns: int = 8) -> Any:
    """Draw the filters of a convolution: in colour if they have three channels, otherwise the first channel of each.

    Args:
        layer: a Conv2d, or a model, whose first Conv2d is drawn.
        columns: images per row.

    Returns:
        A matplotlib Figure; zero is medium grey.

    Raises:
        ValueError: there is no Conv2d.
        ImportError: the extra ``plot`` is not installed.
    """
    conv = first_conv(layer)
    if conv is None:
        raise ValueError(f"filters: there is no Conv2d in the {type(layer).__name__}")
    images = filter_images(conv)
    return _grid(images, columns, [""] * len(images), size=0.8)


def first_conv(model: Module) -> Conv2d | None:
    """Return the first Conv2d of a model, None if there is none."""
    return next((module for module in model.modules() if isinstance(module, Conv2d)), None)


def filter_images(conv: Conv2d) -> Array:
    """Return filters as images (F, 1 or 3, KH, KW) in [0, 1], zero at 0.5; unless they have 3 channels, the first."""
    weight = conv.weight.data
    scaled: Array = weight / (2 * float(np.abs(weight).max()) or 1.0) + 0.5
    return scaled if weight.shape[1] == 3 else scaled[:, :1]


def feature_maps(model: Module, image: Array, layer: int | str | Module | None = None, columns: int = 8) -> Any:
    """Draw the output of a layer for an image, channel by channel.

    Args:
        model: a model of images.
        image: (C, H, W), or a batch of one.
        layer: the layer: its path, itself, or the number of a direct child; None for the last one whose output is an
            image of more than one pixel.
        columns: images per row.

    Returns:
        A matplotlib Figure; each channel is scaled separately.

    Raises:
        ValueError: there is no such layer, or its output is not an image.
        ImportError: the extra ``plot`` is not installed.
    """
    batch = check_images(image[None] if np.ndim(image) == 3 else image)
    if len(batch) != 1:
        raise ValueError(f"feature_maps: expected one image, got a batch of shape {batch.shape}")
    channels = np.ascontiguousarray(layer_output("feature_maps", model, batch, layer)[0])
    low, high = channels.min(axis=(1, 2), keepdims=True), channels.max(axis=(1, 2), keepdims=True)
    scaled = (channels - low) / np.where(high > low, high - low, 1)
    return _grid(scaled[:, None], columns, [""] * len(scaled), size=1.0, cmap="viridis")


def image_grid(
    images: Array,
    labels: Sequence[int] | Array | None = None,
    predictions: Sequence[int] | Array | None = None,
    classes: Sequence[str] | None = None,
    columns: int = 8,
) -> Any:
    """Draw images with their labels and predictions, mistakes in red.

    Args:
        images: (N, 1 or 3, H, W), values in [0, 1].
        labels: class of each; None to write nothing.
        predictions: predicted class of each; None to write only the label.
        classes: names; None for numbers.
        columns: images per row.

    Returns:
        A matplotlib Figure.

    Raises:
        ValueError: there are no images, they are of the wrong shape, the lengths differ, or a class has no name.
        ImportError: the extra ``plot`` is not installed.
    """
    if not len(check_images(images)) or images.shape[1] not in (1, 3):
        raise ValueError(f"image_grid: expected images (N, 1 or 3, H, W), at least one, got shape {images.shape}")
    for name, values in (("labels", labels), ("predictions", predictions)):
        if values is not None and len(values) != len(images):
            raise ValueError(f"image_grid: {len(values)} {name} for {len(images)} images")

    def called(number: Any) -> str:
        if classes is not None and not 0 <= number < len(classes):
            raise ValueError(f"image_grid: there are {len(classes)} names, got class {number}")
        return _plain(number if classes is None else classes[int(number)])

    titles, colours = [], []
    for index in range(len(images)):
        label = None if labels is None else labels[index]
        guess = None if predictions is None else predictions[index]
        parts = [called(value) for value in (label, guess) if value is not None]
        wrong = label is not None and guess is not None and label != guess
        titles.append("\ntaken for ".join(parts) if wrong else parts[0] if parts else "")
        colours.append("#b91c1c" if wrong else "black")
    return _grid(images, columns, titles, colours=colours)


def gradient_flow(norms: Module | Mapping[str, float]) -> Any:
    """Draw the norm of each parameter's gradient, on a logarithmic scale: where gradients vanish or explode.

    Args:
        norms: norms by name, as in a row of `minidl.training.callbacks.GradientMonitor`; or a model after a backward
            pass.

    Returns:
        A matplotlib Figure; parameters are listed in the order of the model.

    Raises:
        ValueError: there are no gradients.
        ImportError: the extra ``plot`` is not installed.
    """
    if isinstance(norms, Module):
        norms = grad_norms(norms)
    if not norms:
        raise ValueError("gradient_flow: there are no gradients; run a backward pass first")
    figure = _figure(6.4, max(2.4, 0.25 * len(norms) + 1))
    axes = figure.subplots()
    largest = max([value for value in norms.values() if np.isfinite(value)], default=1.0) or 1.0
    finite = [bool(np.isfinite(value)) for value in norms.values()]
    lengths = [max(value, 1e-12) if np.isfinite(value) else largest for value in norms.values()]
    axes.barh(range(len(norms)), lengths, color=["#2563eb" if known else "#b91c1c" for known in finite])
    for row, (value, known) in enumerate(zip(norms.values(), finite, strict=True)):
        if not known:
            axes.text(largest, row, f"{value} ", ha="right", va="center", color="white", fontsize=8)
    axes.set_yticks(range(len(norms)), [_plain(name) for name in norms], fontsize=8)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="norm of the gradient")
    axes.grid(axis="x", alpha=0.3)
    return figure


def saliency(model: Module, images: Array, target: int | None = None) -> Any:
    """Draw how strongly each pixel affects a logit: the largest absolute gradient over the channels.

    Args:
        model: from images (N, C, H, W) to logits (N, K).
        images: (N, C, H, W), values in [0, 1].
        target: the class of the logit; None for each image's largest logit.

    Returns:
        A matplotlib Figure: the images, with their maps below them.

    Raises:
        ValueError: see `input_gradient`.
        ImportError: the extra ``plot`` is not installed.
    """
    _check_drawable("saliency", images)
    return _overlay(images, np.abs(input_gradient(model, images, target)).max(axis=1), blend=0.0)


def grad_cam(model: Module, images: Array, layer: int | str | Module | None = None, target: int | None = None) -> Any:
    """Draw which regions of the images support a class: Grad-CAM, see `grad_cam_map`.

    Args:
        model: from images (N, C, H, W) to logits (N, K).
        images: (N, C, H, W), values in [0, 1].
        layer: see `grad_cam_map`.
        target: the class of the logit; None for each image's largest logit.

    Returns:
        A matplotlib Figure: the images, and below them the same images overlaid with their maps.

    Raises:
        ValueError: see `grad_cam_map`.
        ImportError: the extra ``plot`` is not installed.
    """
    _check_drawable("grad_cam", images)
    return _overlay(images, grad_cam_map(model, images, layer, target), blend=0.5)


def _plain(name: object) -> str:
    """Return a name that matplotlib shows as it is: a dollar sign would start a formula."""
    return printable(name).replace("$", r"\$")


def _check_drawable(owner: str, images: Array) -> None:
    if check_images(images).shape[1] not in (1, 3):
        raise ValueError(f"{owner}: expected images (N, 1 or 3, H, W), got shape {images.shape}")


def _pixels(image: Array) -> Array:
    """Return an image (1 or 3, H, W) in the form that matplotlib draws: (H, W) or (H, W, 3)."""
    return np.clip(image[0] if len(image) == 1 else image.transpose(1, 2, 0), 0, 1)


def _grid(
    images: Array,
    columns: int,
    titles: Sequence[str],
    *,
    size: float = 1.3,
    cmap: str = "gray",
    colours: Sequence[str] | None = None,
) -> Any:
    columns = max(1, min(columns, len(images)))
    rows = -(-len(images) // columns)
    figure = _figure(size * columns, (size + 0.2 * max(title.count("\n") + bool(title) for title in titles)) * rows)
    for index, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.axis("off")
        if index < len(images):
            axes.imshow(_pixels(images[index]), cmap=cmap, vmin=0, vmax=1)
            axes.set_title(titles[index], fontsize=8, color="black" if colours is None else colours[index])
    return figure


def _overlay(images: Array, maps: Array, blend: float) -> Any:
    figure = _figure(1.4 * len(images), 2.9)
    upper, lower = figure.subplots(2, len(images), squeeze=False)
    for image, places, above, below in zip(images, maps, upper, lower, strict=True):
        extent = (0, image.shape[2], image.shape[1], 0)
        above.imshow(_pixels(image), cmap="gray", vmin=0, vmax=1, extent=extent)
        if blend:
            below.imshow(_pixels(image), cmap="gray", vmin=0, vmax=1, extent=extent)
        smooth = "bilinear" if blend else "nearest"
        below.imshow(places, cmap="inferno", alpha=1 - blend, extent=extent, interpolation=smooth)
        for axes in (above, below):
            axes.axis("off")
    return figure
