"""What an output depends on in an image: gradients, which come directly out of an explicit backward pass."""

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
    """Put a model into evaluation mode; restore its modes, its gradients and what it has saved for backward."""
    grads = [(parameter, parameter.grad) for parameter in model.params()]
    kept = [(module, list(module._saved), module._pass) for module in model.modules()]
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
            for module, saved, record in kept:  # of a forward pass whose backward pass is still to come
                module._saved[:] = saved
                module.__dict__["_pass"] = record


def _one_hot(owner: str, output: Array, target: int | None) -> Array:
    """Return the gradient of one logit of each sample with respect to all: of the largest if target is None."""
    if output.ndim != 2:
        raise ValueError(f"{owner}: expected a model that gives logits (N, K), got an output of shape {output.shape}")
    if target is not None and check_int(owner, "target", target, minimum=0) >= output.shape[1]:
        raise ValueError(f"{owner}: target must be from 0 to {output.shape[1] - 1}, got {target}")
    if target is None and np.isnan(output).any():
        image = int(np.isnan(output).any(axis=1).argmax())
        raise ValueError(f"{owner}: the output for image {image} is NaN, it has no largest logit")
    chosen = output.argmax(axis=1) if target is None else np.full(len(output), target)
    rows: Array = np.eye(output.shape[1], dtype=output.dtype)[chosen]
    return rows


def input_gradient(model: Module, images: Array, target: int | None = None) -> Array:
    """Return the gradient of a logit with respect to the images; the model is unchanged afterwards.

    Args:
        model: from images (N, C, H, W) to logits (N, K).
        images: (N, C, H, W).
        target: the class of the logit; None for each image's largest logit.

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: the shapes do not match, there are no images, no such class, or no largest logit: a NaN.

    Source: Simonyan, Vedaldi and Zisserman 2014, arXiv:1312.6034.
    """
    owner = "input_gradient"
    if not len(check_images(images)):
        raise ValueError(f"{owner}: there are no images")
    with _as_it_was(model):
        gradient: Array = model.backward(_one_hot(owner, model(images), target))
    return gradient


def grad_cam_map(model: Sequential, images: Array, layer: int | str | None = None, target: int | None = None) -> Array:
    """Return which regions of the images support a class: Grad-CAM, at the output of a layer of a Sequential.

        map = relu(sum over channels c of w[c] * A[c]) / its largest value

    A is the layer's output, w[c] the mean of the logit's gradient with respect to A[c].

    Args:
        model: a Sequential from images (N, C, H, W) to logits (N, K).
        images: (N, C, H, W).
        layer: number or name of the layer; None for the last one whose output is an image.
        target: the class of the logit; None for each image's largest logit.

    Returns:
        (N, h, w), the size of the layer's output; for each image from 0 to 1.

    Raises:
        TypeError: the model is not a Sequential.
        ValueError: there are no images, no such layer or no such class, or the layer's output is not an image.

    Source: Selvaraju et al. 2017, arXiv:1610.02391.
    """
    owner = "grad_cam_map"
    if not len(check_images(images)):
        raise ValueError(f"{owner}: there are no images")
    body, head = split_at(owner, model, layer, images.shape)
    with _as_it_was(model):
        with no_grad():
            maps = body(images)
        if maps.ndim != 4:
            raise ValueError(f"{owner}: the output of layer {layer!r} is not an image: its shape is {maps.shape}")
        head.needs_input_grad = True
        gradient = head.backward(_one_hot(owner, head(maps), target))
    weighted = np.maximum((gradient.mean(axis=(2, 3), keepdims=True) * maps).sum(axis=1), 0)
    largest = weighted.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(weighted, largest, out=np.zeros_like(weighted), where=largest > 0))


def split_at(
    owner: str, model: Sequential, layer: int | str | None, shape: tuple[int, ...]
) -> tuple[Sequential, Sequential]:
    """Return the layers up to and including one, and those after it; they are the model's own, not copies."""
    if not isinstance(model, Sequential):
        raise TypeError(f"{owner}: expected a Sequential, which can be split, got {type(model).__name__}")
    names = [name for name, _ in model.named_children()]
    if layer is None:
        images = [n for n in range(1, len(names)) if len(model[:n].output_shape((1, *shape[1:]))) == 4]
        if not images:
            raise ValueError(f"{owner}: no layer of the model gives an image")
        number = images[-1] - 1
    elif isinstance(layer, str):
        if layer not in names:
            raise ValueError(f"{owner}: there is no layer {layer!r}; known: {', '.join(names)}")
        number = names.index(layer)
    else:
        if not -len(names) <= layer < len(names):
            raise ValueError(f"{owner}: there is no layer {layer}; the model has {len(names)}")
        number = layer % len(names)
    return model[: number + 1], model[number + 1 :]
