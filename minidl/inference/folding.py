"""Folding: layers that do nothing are left out, and batch normalisation becomes part of the layer before it.

In evaluation mode batch normalisation is y = x * s + t for each channel, with s = weight / sqrt(var + eps) and
t = bias - mean * s. Behind a layer that is linear, y = (w * s) x + (b * s + t), each filter with the s of its channel.
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
    Module,
)
from ..nn.structure import leaves, rebuild
from .calls import Call, Calls, Value

__all__ = ["folded", "scale_and_shift", "weight_and_bias"]

_NOTHING = Identity, Dropout, Dropout1d, Dropout2d, AlphaDropout
_LINEAR = Conv2d, Conv1d, ConvTranspose2d, Linear
_NORMS = BatchNorm1d, BatchNorm2d


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
    return Calls(_with_norms(calls), calls.inputs, calls.output)


def _with_norms(calls: Calls) -> list[Call]:
    uses = Counter(number for call in calls.calls for number in call.numbers())
    uses.update(ref.number for ref in leaves(calls.output) if isinstance(ref, Value))
    makers: dict[int, int] = {}  # which call makes a value, by its number
    found: list[Call] = []
    for call in calls.calls:
        if type(call.what) in _NORMS and _is_own(call) and scale_and_shift(call.what) is not None:
            number = call.numbers()[0]
            maker = makers.get(number)
            if maker is not None and uses[number] == 1 and _is_linear(found[maker]):
                found[maker] = replace(found[maker], norms=(*found[maker].norms, call.what), outputs=call.outputs)
                makers[call.outputs.number] = maker
                continue
        if isinstance(call.outputs, Value):
            makers[call.outputs.number] = len(found)
        found.append(call)
    return found


def _is_own(call: Call) -> bool:
    """Return whether a call runs the layer's own forward."""
    return getattr(call.function, "__func__", None) is type(call.what).forward


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
