"""Folding: layers that do nothing are left out, and batch normalisation becomes part of the layer before it.

In evaluation mode batch normalisation is y = x * s + t for each channel, with s = weight / sqrt(var + eps) and
t = bias - mean * s. Behind a layer that is linear, y = (w * s) x + (b * s + t), each filter with the s of its channel.
The maximum of a rising function's values is its value at the maximum, so activations come after the pooling.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from .._core import Array
from ..nn import (
    AlphaDropout,
    BatchNorm1d,
    BatchNorm2d,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Dropout1d,
    Dropout2d,
    Identity,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    ReLU6,
    Sigmoid,
    SyncBatchNorm2d,
    Tanh,
)
from ..nn.structure import leaves, rebuild
from .calls import Call, Calls, Value

__all__ = ["folded", "scale_and_shift", "weight_and_bias"]

_NOTHING = Identity, Dropout, Dropout1d, Dropout2d, AlphaDropout
_LINEAR = Conv2d, Conv1d, ConvTranspose2d, Linear
_NORMS = BatchNorm1d, BatchNorm2d, SyncBatchNorm2d
_RISING = ReLU, ReLU6, Sigmoid, Tanh


def folded(calls: Calls) -> Calls:
    """Return the calls without those that do nothing, and with normalisations folded where that can be done."""
    kept, renamed = [], dict[int, Any]()

    def current(ref: Any) -> Any:
        return renamed.get(ref.number, ref) if isinstance(ref, Value) else ref

    for call in calls.calls:
        inputs = rebuild(call.inputs, current)
        if type(call.what) in _NOTHING and _is_own(call) and isinstance(inputs[0], Value):
            renamed[call.outputs.number] = inputs[0]
        else:
            kept.append(replace(call, inputs=inputs))
    calls = Calls(kept, calls.inputs, rebuild(calls.output, current))
    return Calls(_joined(calls), calls.inputs, calls.output)


def _joined(calls: Calls) -> list[Call]:
    """Return the calls, normalisations as part of the layer before, and pooling before an activation."""
    uses = Counter(number for call in calls.calls for number in call.numbers())
    uses.update(ref.number for ref in leaves(calls.output) if isinstance(ref, Value))
    makers: dict[int, int] = {}  # which call makes a value, by its number
    found: list[Call] = []
    for call in calls.calls:
        numbers = call.numbers()
        maker = makers.get(numbers[0]) if len(numbers) == 1 and uses[numbers[0]] == 1 and _is_own(call) else None
        if maker is not None and _folds(call.what) and _is_linear(found[maker]):
            found[maker] = replace(found[maker], norms=(*found[maker].norms, call.what), outputs=call.outputs)
            makers[call.outputs.number] = maker
            continue
        if maker is not None and _can_come_before(call, found[maker]):
            between = replace(found[maker].outputs, shape=call.outputs.shape)
            activation = replace(found[maker], inputs=(between,), outputs=call.outputs)
            found[maker], call = replace(call, inputs=found[maker].inputs, outputs=between), activation  # noqa: PLW2901
        if isinstance(call.outputs, Value):
            makers[call.outputs.number] = len(found)
        found.append(call)
    return found


def _folds(layer: Any) -> bool:
    return type(layer) in _NORMS and scale_and_shift(layer) is not None


def _can_come_before(pool: Call, activation: Call) -> bool:
    """Return whether max(f(x)) over windows is f(max(x)): f never falls, and no window sees padding alone."""
    layer = pool.what
    if type(layer) is not MaxPool2d or layer.return_indices or layer.padding not in (0, (0, 0)):
        return False
    return type(activation.what) in _RISING and _is_own(activation) and isinstance(activation.inputs[0], Value)


def _is_own(call: Call) -> bool:
    """Return whether a call runs the layer's own forward."""
    return isinstance(call.what, Module) and getattr(call.function, "__func__", None) is type(call.what).forward


def _is_linear(call: Call) -> bool:
    """Return whether the channels of a layer's output are axis 1, and are its filters."""
    layer = call.what
    if type(layer) not in _LINEAR or not _is_own(call):
        return False
    return len(call.outputs.shape) == 2 if type(layer) is Linear else layer.padding_mode == "zeros"


def scale_and_shift(norm: Any) -> tuple[Array, Array] | None:
    """Return what a batch normalisation multiplies and adds, in float64; None if that depends on the batch."""
    if norm.running_mean is None or norm.running_var is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        factor: Array = 1 / np.sqrt(norm.running_var.astype(np.float64) + norm.eps)
        if norm.weight is not None:
            factor = factor * norm.weight.data
        shift: Array = -norm.running_mean.astype(np.float64) * factor
    return factor, shift if norm.bias is None else shift + norm.bias.data


def weight_and_bias(layer: Any, norms: tuple[Module, ...]) -> tuple[Array, Array | None]:
    """Return the weight and the bias of a layer with the normalisations behind it, in the layer's dtype."""
    weight, bias = layer.weight.data, None if layer.bias is None else layer.bias.data
    if not norms:
        return weight, bias
    w: Array = weight.astype(np.float64)
    b: Any = 0.0 if bias is None else bias.astype(np.float64)
    for norm in norms:
        found = scale_and_shift(norm)
        assert found is not None
        factor, shift = found
        if type(layer) is ConvTranspose2d:  # (C, F/groups, KH, KW)
            grouped = w.reshape(layer.groups, -1, *w.shape[1:])
            w = (grouped * factor.reshape(layer.groups, 1, -1, 1, 1)).reshape(w.shape)
        else:
            w = w * factor.reshape(-1, *(1,) * (w.ndim - 1))
        b = b * factor + shift
    return w.astype(weight.dtype), b.astype(weight.dtype)
