"""Which pixels and places an output depends on: gradients, which a backward pass that is explicit gives at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from .._core import Array, check_images, check_int
from ..nn import Module, Sequential, no_grad
from ..nn.modes import modes_kept

__all__ = ["grad_cam_map", "input_gradient", "split_at"]


@contextmanager
def _as_it_was(model: Module) -> Iterator[None]:
    """Put a model into evaluation mode; put modes and gradients back."""
    grads = [(parameter, parameter.grad) for parameter in model.params()]
    kept = [(module, list(module._saved)) for module in model.modules()]
    first = model.needs_input_grad
    with modes_kept(model):
        model.eval()
        for parameter, _ in grads:
            parameter.grad = None
        model.needs_input_grad = True
        try:
            yield
        finally:
            model.needs_input_grad = first
            for parameter, grad in grads:
                parameter.grad = grad
            for module, saved in kept:  # a forward pass that waits for its backward pass
                module._saved[:] = saved


def _one_hot(output: Array, target: int | None) -> Array:
    """Return the gradient of the sum of one output of each sample; of its largest if target is None."""
    if output.ndim != 2:
        raise ValueError(f"expected a model that gives logits (N, C), got an output of shape {output.shape}")
    if target is not None:
        check_int("attribution", "target", target, minimum=0)
    if target is not None and not 0 <= target < output.shape[1]:
        raise ValueError(f"target must be from 0 to {output.shape[1] - 1}, got {target}")
    chosen = output.argmax(axis=1) if target is None else np.full(len(output), target)
    rows: Array = np.eye(output.shape[1], dtype=output.dtype)[chosen]
    return rows


def input_gradient(model: Module, images: Array, target: int | None = None) -> Array:
    """Return the gradient of a logit with respect to the images; the model stays as it is.

    Args:
        model: from images (N, C, H, W) to logits (N, K).
        images: (N, C, H, W).
        target: the logit's class; None: the largest of each image.

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: the shapes do not fit, or there is no such class.

    Source: Simonyan, Vedaldi and Zisserman 2014, arXiv:1312.6034.
    """
    if not len(check_images(images)):
        raise ValueError("there are no images")
    with _as_it_was(model):
        gradient: Array = model.backward(_one_hot(model(images), target))
    return gradient


def grad_cam_map(model: Sequential, images: Array, layer: int | str | None = None, target: int | None = None) -> Array:
    """Return where in the images a class is seen: Grad-CAM, by splitting a Sequential after a layer.

    map = relu(sum over channels c of w[c] * A[c]), A the layer's output, w[c] the mean of the logit's gradient at A[c].

    Args:
        model: a Sequential from images (N, C, H, W) to logits (N, K).
        images: (N, C, H, W).
        layer: number or name of the layer; None: the last one whose output is an image.
        target: the logit's class; None: the largest of each image.

    Returns:
        (N, h, w), of the size of the layer's output, from 0 to 1 for each image.

    Raises:
        TypeError: the model is no Sequential.
        ValueError: there is no such layer or class, or the layer's output is no image.

    Source: Selvaraju et al. 2017, arXiv:1610.02391.
    """
    if not len(check_images(images)):
        raise ValueError("there are no images")
    body, head = split_at(model, layer, images.shape)
    with _as_it_was(model):
        with no_grad():
            maps = body(images)
        if maps.ndim != 4:
            raise ValueError(f"the output of layer {layer!r} is no image: its shape is {maps.shape}")
        head.needs_input_grad = True
        gradient = head.backward(_one_hot(head(maps), target))
    weighted = np.maximum((gradient.mean(axis=(2, 3), keepdims=True) * maps).sum(axis=1), 0)
    largest = weighted.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(weighted, largest, out=np.zeros_like(weighted), where=largest > 0))


def split_at(model: Sequential, layer: int | str | None, shape: tuple[int, ...]) -> tuple[Sequential, Sequential]:
    """Return the layers up to one, and those after it; they are the model's own."""
    if not isinstance(model, Sequential):
        raise TypeError(f"expected a Sequential, which can be split, got {type(model).__name__}")
    names = [name for name, _ in model.named_children()]
    if layer is None:
        images = [n for n in range(1, len(names)) if len(model[:n].output_shape((1, *shape[1:]))) == 4]
        if not images:
            raise ValueError("no layer of the model gives an image")
        number = images[-1] - 1
    elif isinstance(layer, str):
        if layer not in names:
            raise ValueError(f"there is no layer {layer!r}; known: {', '.join(names)}")
        number = names.index(layer)
    else:
        if not -len(names) <= layer < len(names):
            raise ValueError(f"there is no layer {layer}; the model has {len(names)}")
        number = layer % len(names)
    return model[: number + 1], model[number + 1 :]
