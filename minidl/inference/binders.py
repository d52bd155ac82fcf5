"""Binders: how layers and operations become steps; what is not here is called as it is.

A Binder makes the output's memory, notes where it is, and appends steps. It returns False where a layer's options, or
its input's shape, are none that it knows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .._core import Array
from ..engine import Geometry, Step, correlation_geometry, laid_out, linear, output_size, scaled
from ..nn import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    Linear,
    MaxPool1d,
    MaxPool2d,
    ReLU,
    SyncBatchNorm2d,
    Unflatten,
)
from ..nn.activation import Activation
from ..nn.average_pool import average_windows
from ..nn.max_pool import pool_geometry
from ..nn.operations import ELEMENTWISE, FUNCTIONS
from ..nn.rearranging import getitem
from .calls import Call, Fixed, Value
from .folding import scale_and_shift, weight_and_bias
from .plan import Binder, Planner

__all__ = ["binder_of"]


def binder_of(call: Call) -> Binder | None:
    """Return the Binder of a call of minidl's own layers and operations."""
    layer = call.what
    if getattr(call.function, "__func__", None) is getattr(type(layer), "forward", None) and not call.options:
        found = _LAYERS.get(type(layer))
        if found is None and isinstance(layer, Activation) and type(layer).__module__.startswith("minidl.nn."):
            return _activation
        return found
    if callable(layer):
        return _elementwise if layer in _UFUNCS else _OPERATIONS.get(layer)
    return None


def _one(call: Call) -> Value | None:
    """Return a call's only input, if that is a value of floats."""
    ref = call.inputs[0] if len(call.inputs) == 1 else None
    return ref if isinstance(ref, Value) and ref.dtype.kind == "f" and 0 not in ref.shape and ref.shape else None


# Layers


def _conv(planner: Planner, call: Call) -> bool:
    x, layer = _one(call), call.what
    if x is None or layer.padding_mode != "zeros":
        return False
    w, b = weight_and_bias(layer, call.norms)
    source, row = planner.array(x), type(layer) is Conv1d
    if row:
        source, w = source[:, :, None], w[:, :, None]
    geometry, after = _geometry(layer)
    size = output_size(source.shape[2:], geometry, after)
    out, steps = planner.engine.bound.correlate(source, w, b, geometry, size, planner.room)
    return planner.add(call.outputs, out[:, :, 0] if row else out, steps)


def _geometry(layer: Any) -> tuple[Geometry, tuple[int, int]]:
    """Return the geometry of a convolution, and the padding at the end; a sequence is an image with one row."""
    one = (1,) * (2 - len(layer.kernel_size))
    kernel, stride, dilation = (one + sizes for sizes in (layer.kernel_size, layer.stride, layer.dilation))
    padding = layer.padding if isinstance(layer.padding, str) else (0,) * len(one) + layer.padding
    return correlation_geometry(type(layer).__name__, kernel, stride, padding, dilation, layer.groups)


def _transposed(planner: Planner, call: Call) -> bool:
    layer, engine = call.what, planner.engine
    if not call.norms:
        return False
    w, b = weight_and_bias(layer, call.norms)
    geometry, size = _geometry(layer)[0], call.outputs.shape[2:]

    def function(x: Array) -> Array:
        out = engine.input_grad(x, w, geometry, size)
        out += b[:, None, None]  # type: ignore[index]
        return out

    planner.calling(call, function)
    return True


def _linear(planner: Planner, call: Call) -> bool:
    x = _one(call)
    if x is None or len(x.shape) != 2:
        return False
    out, steps = linear(planner.array(x), *weight_and_bias(call.what, call.norms), planner.room)
    return planner.add(call.outputs, out, steps)


def _batch_norm(planner: Planner, call: Call) -> bool:
    x, found = _one(call), scale_and_shift(call.what)
    if x is None or found is None:
        return False
    factor, shift = (number.astype(x.dtype) for number in found)
    source, out = _elements(planner, x, call.outputs, in_place=True)
    planner.steps += scaled(source, factor, shift, out)
    return True


def _activation(planner: Planner, call: Call) -> bool:
    x, layer, activate = _one(call), call.what, planner.engine.bound.activate
    if x is None:
        return False
    # compiled loops are made of vectors only where input and output lie apart
    source, out = _elements(planner, x, call.outputs, in_place=activate is None)
    if type(layer) is ReLU:
        formula: Any = ("relu", 0.0, 0.0)
    else:
        formula = layer.formula() if layer._known else None
    if activate is not None and formula is not None:
        planner.steps += activate(*formula, source, out)
    elif type(layer) is ReLU:
        planner.steps.append(partial(np.maximum, source, source.dtype.type(0), out=out))
    else:
        planner.steps.append(partial(_by_value, layer.value, source, out))
    return True


def _by_value(value: Any, x: Array, out: Array) -> None:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        out[...] = value(x)


def _elements(planner: Planner, x: Value, output: Value, in_place: bool) -> tuple[Array, Array]:
    """Return the arrays of an elementwise step's input and output, which lie alike: one, if the input ends here."""
    source = planner.array(x)
    if not source.transpose(_order(source)).flags.c_contiguous:  # part of an array, and loops go along whole ones
        whole = _like(source, planner.room.scratch)
        planner.steps.append(partial(np.copyto, whole, source))
        source = whole
    elif in_place and planner.stays(x) and planner.ends_here(x):
        planner.view(output, source, x)
        return source, source
    out = _like(source, planner.room.make)
    planner.place(output, out)
    return source, out


def _order(x: Array) -> list[int]:
    """Return an array's axes in the order of memory."""
    return sorted(range(x.ndim), key=lambda axis: (-abs(x.strides[axis]), axis))


def _like(x: Array, make: Callable[[tuple[int, ...], Any], Array]) -> Array:
    """Make an array of x's shape in x's order."""
    order = _order(x)
    inverse = [order.index(axis) for axis in range(x.ndim)]
    return make(tuple(x.shape[axis] for axis in order), x.dtype).transpose(inverse)


def _max_pool(planner: Planner, call: Call) -> bool:
    x, layer = _one(call), call.what
    if x is None or layer.return_indices:
        return False
    source, row = planner.array(x), type(layer) is MaxPool1d
    options: Any = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    if row:
        source, options = (
            source[:, :, None],
            [(int(one), size) for one, size in zip((1, 1, 0, 1), options, strict=True)],
        )
    geometry = pool_geometry(type(layer).__name__, *options)
    size = output_size(source.shape[2:], geometry, None, layer.ceil_mode)
    out, steps = planner.engine.bound.max_pool(source, geometry, size, planner.room)
    return planner.add(call.outputs, out[:, :, 0] if row else out, steps)


def _avg_pool(planner: Planner, call: Call) -> bool:
    x = _one(call)
    if x is None:
        return False
    options = [getattr(call.what, name) for name in AvgPool2d._options]
    size: Any = x.shape[2:]
    geometry, divisor = average_windows(size, x.dtype, *options)
    out, steps = planner.engine.bound.avg_pool(planner.array(x), geometry, divisor, planner.room)
    return planner.add(call.outputs, out, steps)


def _adaptive(planner: Planner, call: Call) -> bool:
    x = _one(call)
    if x is None:
        return False
    pixels: Any = x.shape[2:]
    windows = call.outputs.shape[2:]
    if pixels[0] % windows[0] or pixels[1] % windows[1]:
        return False
    kernel = pixels[0] // windows[0], pixels[1] // windows[1]
    geometry, divisor = average_windows(pixels, x.dtype, kernel)
    out, steps = planner.engine.bound.avg_pool(planner.array(x), geometry, divisor, planner.room)
    return planner.add(call.outputs, out, steps)


# Shapes


def _reshape(planner: Planner, call: Call) -> bool:
    x = call.inputs[0]
    if not isinstance(x, Value) or 0 in x.shape or not (x.shape and call.outputs.shape):
        return False
    source, shape = planner.array(x), call.outputs.shape
    if x.shape == shape and planner.stays(x):
        planner.view(call.outputs, source, x)
        return True
    if shape[:1] != x.shape[:1]:
        return False
    # the batch goes last, as in memory: rows of one sample stay rows of numbers
    inner = source.transpose(*range(1, source.ndim), 0)
    last = inner.reshape(*shape[1:], shape[0])
    if np.may_share_memory(last, source) and planner.stays(x):
        planner.view(call.outputs, last.transpose(-1, *range(len(shape) - 1)), x)
        return True
    room = planner.room.make((*shape[1:], shape[0]), x.dtype)
    steps: list[Step] = [partial(np.copyto, room.reshape(inner.shape), inner)]
    return planner.add(call.outputs, room.transpose(-1, *range(len(shape) - 1)), steps)


def _view(planner: Planner, call: Call) -> bool:
    """Bind what only rearranges the axes of a value, or takes a part of it: no step at all."""
    x = call.inputs[0]
    if len(call.inputs) > 1 or not isinstance(x, Value) or not planner.stays(x) or not isinstance(call.outputs, Value):
        return False
    source = planner.array(x)
    part = call.function(source, **call.options)
    if 0 in part.shape or not np.may_share_memory(part, source):
        return False
    planner.view(call.outputs, part, x)
    return True


def _concatenate(planner: Planner, call: Call) -> bool:
    if any(not isinstance(ref, Value) or ref.dtype != call.outputs.dtype for ref in call.inputs):
        return False
    axis = call.options.get("axis", 0) % len(call.outputs.shape)
    sources = [planner.array(ref) for ref in call.inputs]
    out = laid_out(call.outputs.shape, call.outputs.dtype, planner.room)
    steps: list[Step] = []
    start = 0
    for source in sources:
        part = out[(slice(None),) * axis + (slice(start, start + source.shape[axis]),)]
        steps.append(partial(np.copyto, part, source))
        start += source.shape[axis]
    return planner.add(call.outputs, out, steps)


# Arithmetic


def _elementwise(planner: Planner, call: Call) -> bool:
    output, ufunc = call.outputs, _UFUNCS[call.what]
    if not isinstance(output, Value) or call.options or not output.shape or output.dtype.kind != "f":
        return False
    operands: list[Any] = []
    for ref in call.inputs:
        if isinstance(ref, Value):
            if ref.dtype != output.dtype or not ref.shape:
                return False
            operands.append(planner.array(ref))
        elif isinstance(ref, Fixed) and isinstance(ref.data, np.ndarray) and ref.data.ndim:
            if ref.data.dtype != output.dtype:
                return False
            operands.append(ref.data)
        else:
            operands.append(output.dtype.type(ref.data))
    like = next((x for x in operands if x.shape == output.shape), None)
    ending = [
        ref
        for ref in call.inputs
        if isinstance(ref, Value) and ref.shape == output.shape and planner.stays(ref) and planner.ends_here(ref)
    ]
    if ending:
        out = planner.array(ending[0])
        if any(x is not out and np.may_share_memory(x, out) for x in operands if isinstance(x, np.ndarray)):
            ending = []
        else:
            planner.view(output, out, ending[0])
    if not ending:
        out = laid_out(output.shape, output.dtype, planner.room) if like is None else _like(like, planner.room.make)
        planner.place(output, out)
    planner.steps.append(partial(ufunc, *operands, out=out))
    return True


_UFUNCS: dict[Any, np.ufunc] = {operation: function for function, operation in ELEMENTWISE.items()}
_REARRANGING = np.transpose, np.swapaxes, np.moveaxis, np.expand_dims, np.squeeze, np.flip
_OPERATIONS: dict[Any, Binder] = {
    FUNCTIONS[np.concatenate]: _concatenate,
    FUNCTIONS[np.reshape]: _reshape,
    getitem: _view,
    **{FUNCTIONS[function]: _view for function in _REARRANGING},
}
_LAYERS: dict[type, Binder] = {
    Conv1d: _conv,
    Conv2d: _conv,
    ConvTranspose2d: _transposed,
    Linear: _linear,
    BatchNorm1d: _batch_norm,
    BatchNorm2d: _batch_norm,
    SyncBatchNorm2d: _batch_norm,
    MaxPool1d: _max_pool,
    MaxPool2d: _max_pool,
    AvgPool2d: _avg_pool,
    AdaptiveAvgPool2d: _adaptive,
    Flatten: _reshape,
    Unflatten: _reshape,
}
