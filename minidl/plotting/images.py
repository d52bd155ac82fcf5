"""Images, with what is said of them: grids, filters, feature maps, saliency and Grad-CAM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import PALETTE, Array, check_images
from ..nn import Conv2d, Module
from ..nn.modes import evaluating
from .attribution import grad_cam_map, input_gradient, layer_output
from .canvas import cut, panels, plain

__all__ = ["feature_maps", "filter_images", "filters", "first_conv", "grad_cam", "image_grid", "saliency"]

_FONT = 8.0


def filters(layer: Module, columns: int = 8, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
    """Draw the filters of a convolution: in colour if they have three channels, otherwise the first channel of each.

    Args:
        layer: a Conv2d, or a model, whose first Conv2d is drawn.
        columns: images per row.
        ax: None for a new figure; a matplotlib Axes, whose place is divided, or one for each filter.
        figsize: width and height of a new figure in inches.

    Returns:
        A matplotlib Figure, with the filters' numbers; zero is medium grey.

    Raises:
        ValueError: the model has no Conv2d.
        ImportError: the extra ``plot`` is not installed.
    """
    conv = first_conv(layer)
    if conv is None:
        raise ValueError(f"filters: there is no Conv2d in the {type(layer).__name__}")
    images = filter_images(conv)
    return _grid("filters", images, columns, _numbers(images), size=0.8, ax=ax, figsize=figsize)


def first_conv(model: Module) -> Conv2d | None:
    """Return the first Conv2d of a model, None if there is none."""
    return next((module for module in model.modules() if isinstance(module, Conv2d)), None)


def filter_images(conv: Conv2d) -> Array:
    """Return filters as images (F, 1 or 3, KH, KW) in [0, 1], zero at 0.5; unless they have 3 channels, the first."""
    weight = conv.weight.data
    scaled: Array = weight / (2 * float(np.abs(weight).max()) or 1.0) + 0.5
    return scaled if weight.shape[1] == 3 else scaled[:, :1]


def feature_maps(
    model: Module,
    image: Array,
    layer: int | str | Module | None = None,
    columns: int = 8,
    *,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Draw the output of a layer for an image, channel by channel.

    Args:
        model: a model of images.
        image: (C, H, W), or a batch of one.
        layer: the layer: its path, itself, or the number of a direct child; None for the last one whose output is an
            image of more than one pixel.
        columns: images per row.
        ax: None for a new figure; a matplotlib Axes, whose place is divided, or one for each channel.
        figsize: width and height of a new figure in inches.

    Returns:
        A matplotlib Figure with the channels' numbers, a new one also with the layer's name; each channel is scaled
        separately.

    Raises:
        ValueError: there is no such layer, or its output is not an image.
        ImportError: the extra ``plot`` is not installed.
    """
    batch = check_images(image[None] if np.ndim(image) == 3 else image)
    if len(batch) != 1:
        raise ValueError(f"feature_maps: expected one image, got a batch of shape {batch.shape}")
    name, outputs = layer_output("feature_maps", model, batch, layer)
    channels = np.ascontiguousarray(outputs[0])
    low, high = channels.min(axis=(1, 2), keepdims=True), channels.max(axis=(1, 2), keepdims=True)
    scaled = ((channels - low) / np.where(high > low, high - low, 1))[:, None]
    options: dict[str, Any] = {"size": 1.0, "cmap": "viridis", "ax": ax, "figsize": figsize}
    figure = _grid("feature_maps", scaled, columns, _numbers(scaled), **options)
    if ax is None:
        about = f"layer {name}: {len(channels)} channels of {channels.shape[1]}x{channels.shape[2]}"
        figure.suptitle(plain(about), fontsize=_FONT + 2)
    return figure


def _numbers(images: Array) -> list[str]:
    return [str(number) for number in range(len(images))]


def image_grid(
    images: Array,
    labels: Sequence[int] | Array | None = None,
    predictions: Sequence[int] | Array | None = None,
    classes: Sequence[str] | None = None,
    columns: int = 8,
    *,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Draw images with their labels and predictions, mistakes in red.

    Args:
        images: (N, 1 or 3, H, W), values in [0, 1].
        labels: class of each; None to write nothing.
        predictions: predicted class of each; None to write only the label.
        classes: names; None for numbers.
        columns: images per row.
        ax: None for a new figure; a matplotlib Axes, whose place is divided, or one for each image.
        figsize: width and height of a new figure in inches.

    Returns:
        A matplotlib Figure.

    Raises:
        ValueError: there are no images, they are of the wrong shape, the lengths differ, or a class has no name.
        ImportError: the extra ``plot`` is not installed.
    """
    if not len(check_images(images)) or images.shape[1] not in (1, 3):
        raise ValueError(f"image_grid: expected images (N, 1 or 3, H, W), at least one, got shape {images.shape}")
    titles, colours = _titles("image_grid", len(images), labels, predictions, classes)
    return _grid("image_grid", images, columns, titles, colours=colours, ax=ax, figsize=figsize)


def saliency(
    model: Module,
    images: Array,
    target: int | None = None,
    labels: Sequence[int] | Array | None = None,
    classes: Sequence[str] | None = None,
    *,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Draw how strongly each pixel affects a logit: the largest absolute gradient over the channels.

    Args:
        model: from images (N, C, H, W) to logits (N, K).
        images: (N, C, H, W), values in [0, 1].
        target: the class of the logit; None for each image's largest logit.
        labels: class of each image; None to write only the predicted one.
        classes: names; None for numbers.
        ax: None for a new figure; a matplotlib Axes, whose place is divided, or 2 * N of them.
        figsize: width and height of a new figure in inches.

    Returns:
        A matplotlib Figure: the images with label and prediction, below them their maps with the class of the logit.

    Raises:
        ValueError: see `input_gradient`; the lengths differ, or a class has no name.
        ImportError: the extra ``plot`` is not installed.
    """
    _check_drawable("saliency", images)
    maps = np.abs(input_gradient(model, images, target)).max(axis=1)
    said = _said("saliency", model, images, target, labels, classes)
    return _overlay("saliency", images, maps, 0.0, said, ax, figsize)


def grad_cam(
    model: Module,
    images: Array,
    layer: int | str | Module | None = None,
    target: int | None = None,
    labels: Sequence[int] | Array | None = None,
    classes: Sequence[str] | None = None,
    *,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Draw which regions of the images support a class: Grad-CAM, see `grad_cam_map`.

    Args:
        model: from images (N, C, H, W) to logits (N, K).
        images: (N, C, H, W), values in [0, 1].
        layer: see `grad_cam_map`.
        target: the class of the logit; None for each image's largest logit.
        labels: class of each image; None to write only the predicted one.
        classes: names; None for numbers.
        ax: None for a new figure; a matplotlib Axes, whose place is divided, or 2 * N of them.
        figsize: width and height of a new figure in inches.

    Returns:
        A matplotlib Figure: the images with label and prediction, and below them the same images overlaid with their
        maps, with the class of the logit.

    Raises:
        ValueError: see `grad_cam_map`; the lengths differ, or a class has no name.
        ImportError: the extra ``plot`` is not installed.
    """
    _check_drawable("grad_cam", images)
    maps = grad_cam_map(model, images, layer, target)
    said = _said("grad_cam", model, images, target, labels, classes)
    return _overlay("grad_cam", images, maps, 0.5, said, ax, figsize)


def _check_drawable(owner: str, images: Array) -> None:
    if check_images(images).shape[1] not in (1, 3):
        raise ValueError(f"{owner}: expected images (N, 1 or 3, H, W), got shape {images.shape}")


def _called(owner: str, number: Any, classes: Sequence[str] | None) -> str:
    """Return the name of a class."""
    if classes is not None and not 0 <= number < len(classes):
        raise ValueError(f"{owner}: there are {len(classes)} names, got class {number}")
    return plain(number if classes is None else classes[int(number)])


def _titles(
    owner: str,
    count: int,
    labels: Sequence[int] | Array | None,
    predictions: Sequence[int] | Array | None,
    classes: Sequence[str] | None,
) -> tuple[list[str], list[str]]:
    """Return what is written above each image, and its colour."""
    for name, values in (("labels", labels), ("predictions", predictions)):
        if values is not None and len(values) != count:
            raise ValueError(f"{owner}: {len(values)} {name} for {count} images")
    titles, colours = [], []
    for index in range(count):
        label = None if labels is None else labels[index]
        guess = None if predictions is None else predictions[index]
        parts = [_called(owner, value, classes) for value in (label, guess) if value is not None]
        wrong = label is not None and guess is not None and label != guess
        titles.append("\ntaken for ".join(parts) if wrong else parts[0] if parts else "")
        colours.append(PALETTE["wrong"] if wrong else "black")
    return titles, colours


def _said(
    owner: str,
    model: Module,
    images: Array,
    target: int | None,
    labels: Sequence[int] | Array | None,
    classes: Sequence[str] | None,
) -> tuple[list[str], list[str], list[str]]:
    """Return what is written above each image and above each map, and the colours of the former."""
    with evaluating(model):
        predictions = model(images).argmax(axis=1)
    titles, colours = _titles(owner, len(images), labels, predictions, classes)
    if labels is None:
        titles = [f"predicted {title}" for title in titles]
    explained = predictions if target is None else [target] * len(images)
    return titles, [f"for {_called(owner, number, classes)}" for number in explained], colours


def _pixels(image: Array) -> Array:
    """Return an image (1 or 3, H, W) in the form that matplotlib draws: (H, W) or (H, W, 3)."""
    return np.clip(image[0] if len(image) == 1 else image.transpose(1, 2, 0), 0, 1)


def _write(figure: Any, places: list[Any], titles: Sequence[str], colours: Sequence[str]) -> None:
    """Write titles above images that are drawn, no wider than these."""
    figure.draw_without_rendering()
    for axes, title, colour in zip(places, titles, colours, strict=True):
        width = 72 * axes.get_window_extent().width / axes.figure.dpi
        lines = [cut(line, width, _FONT) for line in title.split("\n")]
        axes.set_title("\n".join(lines), fontsize=_FONT, color=colour)


def _grid(
    owner: str,
    images: Array,
    columns: int,
    titles: Sequence[str],
    *,
    size: float = 1.3,
    cmap: str = "gray",
    colours: Sequence[str] | None = None,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    columns = max(1, min(columns, len(images)))
    rows = -(-len(images) // columns)
    height = size + 0.2 * max(title.count("\n") + bool(title) for title in titles)
    figure, places = panels(owner, len(images), columns, (size * columns, height * rows), ax, figsize)
    for index, axes in enumerate(places):
        axes.axis("off")
        axes.imshow(_pixels(images[index]), cmap=cmap, vmin=0, vmax=1)
    _write(figure, places, titles, ["black"] * len(images) if colours is None else colours)
    return figure


def _overlay(
    owner: str,
    images: Array,
    maps: Array,
    blend: float,
    said: tuple[list[str], list[str], list[str]],
    ax: Any,
    figsize: tuple[float, float] | None,
) -> Any:
    count, (titles, explained, colours) = len(images), said
    figure, places = panels(owner, 2 * count, count, (1.5 * count, 3.5), ax, figsize)
    for index, (image, places_of) in enumerate(zip(images, maps, strict=True)):
        above, below = places[index], places[count + index]
        extent = (0, image.shape[2], image.shape[1], 0)
        above.imshow(_pixels(image), cmap="gray", vmin=0, vmax=1, extent=extent)
        if blend:
            below.imshow(_pixels(image), cmap="gray", vmin=0, vmax=1, extent=extent)
        smooth = "bilinear" if blend else "nearest"
        below.imshow(places_of, cmap="inferno", alpha=1 - blend, extent=extent, interpolation=smooth)
    for axes in places:
        axes.axis("off")
    _write(figure, places, [*titles, *explained], [*colours, *["black"] * count])
    return figure
