"""What an output depends on in an image: gradients of a logit, at the input or at a layer inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._core import Array, check_images, check_int
from ..nn import Module
from ..nn.modes import eval_mode, evaluating

__all__ = ["grad_cam_map", "input_gradient", "layer_output"]


@contextmanager
def _as_it_was(model: Module) -> Iterator[None]:
    """Put a model into evaluation mode; restore its modes, its gradients and what it has saved for backward."""
    grads = [(parameter, parameter.grad) for parameter in model.params()]
    kept = [(module, list(module._saved), module._pass) for module in model.modules()]
    wanted = [(module, module.needs_input_grad) for module in model.modules()]
    with eval_mode(model):
        for parameter, _ in grads:
            parameter.grad = None
        for module, _ in wanted:
            module.needs_input_grad = True
        try:
            yield
        finally:
            for module, flag in wanted:
                module.needs_input_grad = flag
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


def grad_cam_map(
    model: Module, images: Array, layer: int | str | Module | None = None, target: int | None = None
) -> Array:
    """Return which regions of the images support a class: Grad-CAM, at the output of a layer inside a model.

        map = relu(sum over channels c of w[c] * A[c]) / its largest value

    A is the layer's output, w[c] the mean of the logit's gradient with respect to A[c].

    Args:
        model: from images (N, C, H, W) to logits (N, K).
        images: (N, C, H, W).
        layer: the layer: its path, such as "layer4.1", itself, or the number of a direct child; None for the last one
            whose output is an image of more than one pixel. If it is called several times the last call counts.
        target: the class of the logit; None for each image's largest logit.

    Returns:
        (N, h, w), the size of the layer's output; for each image from 0 to 1.

    Raises:
        ValueError: there are no images, no such layer or no such class, the layer's output is not an image, or the
            logits do not depend on it.

    Source: Selvaraju et al. 2017, arXiv:1610.02391.
    """
    owner = "grad_cam_map"
    if not len(check_images(images)):
        raise ValueError(f"{owner}: there are no images")
    chosen = _last_image(owner, model, images[:1]) if layer is None else _find(owner, model, layer)
    with _as_it_was(model), _tapped(chosen) as tap:
        output = model(images)
        maps = _image(owner, layer, tap.outputs)
        model.backward(_one_hot(owner, output, target))
    gradient = tap.gradients.get(len(tap.outputs) - 1)
    if gradient is None:
        raise ValueError(f"{owner}: the logits do not depend on the output of layer {layer!r}")
    weighted = np.maximum((gradient.mean(axis=(2, 3), keepdims=True) * maps).sum(axis=1), 0)
    largest = weighted.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(weighted, largest, out=np.zeros_like(weighted), where=largest > 0))


def layer_output(
    owner: str, model: Module, images: Array, layer: int | str | Module | None = None
) -> tuple[str, Array]:
    """Return a layer's path and class, and its output for images in evaluation mode; ``layer`` as in `grad_cam_map`."""
    chosen = _last_image(owner, model, images[:1]) if layer is None else _find(owner, model, layer)
    outputs: list[Any] = []
    handle = chosen.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        with evaluating(model):
            model(images)
    finally:
        handle.remove()
    path = next(path for path, module in model.named_modules() if module is chosen)
    return f"{path} ({type(chosen).__name__})", _image(owner, layer, outputs)


class _Tap(Module):
    """Passes values through, and keeps them and their gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: list[Any] = []
        self.gradients: dict[int, Array] = {}

    def forward(self, x: Any) -> Any:
        self.save_for_backward(len(self.outputs))
        self.outputs.append(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        self.gradients[self.take_saved()] = grad_output
        return grad_output


@contextmanager
def _tapped(layer: Module) -> Iterator[_Tap]:
    """Let a layer's output go through a tap: meanwhile it is of a class whose forward is derived."""
    kind, tap = type(layer), _Tap()

    def forward(self: Module, *inputs: Any, **options: Any) -> Any:
        return tap(kind.forward(self, *inputs, **options))

    layer.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})
    try:
        yield tap
    finally:
        layer.__class__ = kind


def _image(owner: str, layer: Any, outputs: list[Any]) -> Array:
    """Return the last output of a layer, which must be an image."""
    if not outputs:
        raise ValueError(f"{owner}: the model does not call layer {layer!r}")
    if np.ndim(outputs[-1]) != 4:
        shape = np.shape(outputs[-1])
        raise ValueError(f"{owner}: the output of layer {layer!r} is not an image: its shape is {shape}")
    maps: Array = outputs[-1]
    return maps


def _last_image(owner: str, model: Module, images: Array) -> Module:
    """Return the layer whose output is the last image of more than one pixel."""
    found: list[Module] = []

    def look(module: Module, inputs: tuple[Any, ...], output: Any) -> None:
        if module is not model and isinstance(output, np.ndarray) and output.ndim == 4 and output[0, 0].size > 1:
            found.append(module)

    handles = [module.register_forward_hook(look) for module in model.modules()]
    try:
        with evaluating(model):
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ValueError(f"{owner}: no layer of the model gives an image")
    return found[-1]


def _find(owner: str, model: Module, layer: int | str | Module) -> Module:
    """Return a layer inside a model, given by its path, by itself, or as the number of a direct child."""
    paths = {path: module for path, module in model.named_modules() if path}
    if isinstance(layer, Module):
        if all(module is not layer for module in paths.values()):
            raise ValueError(f"{owner}: this {type(layer).__name__} is not in the model")
        return layer
    if isinstance(layer, str):
        if layer not in paths:
            raise ValueError(f"{owner}: there is no layer {layer!r}; known: {', '.join(paths)}")
        return paths[layer]
    children = list(model.children())
    if not -len(children) <= layer < len(children):
        raise ValueError(f"{owner}: there is no layer {layer}; the model has {len(children)}")
    return children[layer]
