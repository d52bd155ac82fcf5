"""Attention: what each query takes of the values, by how it goes with their keys."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._core import check_flag, check_number
from . import operations as op
from .functional_activations import dropout, softmax
from .rearranging import swapaxes
from .recording import apply, plain
from .tensor import operand

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    *,
    rng: np.random.Generator | None = None,
) -> Any:
    """Return softmax(query @ key.T * scale + mask) @ value.

    Args:
        query: (..., L, E).
        key: (..., S, E).
        value: (..., S, V).
        attn_mask: of a shape that is broadcast to (..., L, S): True where a query may take a value, or numbers that
            are added; or None.
        dropout_p: the probability of dropping a weight; give 0.0 in evaluation.
        is_causal: whether query l takes values up to number l alone, instead of ``attn_mask``.
        scale: None means 1 / sqrt(E).
        rng: generator for the dropout; None means minidl's own.

    Returns:
        (..., L, V).

    Raises:
        ValueError: the shapes or options do not fit.

    Source: Vaswani et al. 2017, arXiv:1706.03762;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html
    """
    owner = "scaled_dot_product_attention"
    shapes = [plain(x).shape for x in (query, key, value)]
    if min(map(len, shapes)) < 2 or shapes[0][-1] != shapes[1][-1] or shapes[1][-2] != shapes[2][-2]:
        raise ValueError(
            f"{owner}: expected query (..., L, E), key (..., S, E) and value (..., S, V), got shapes {shapes[0]}, "
            f"{shapes[1]} and {shapes[2]}"
        )
    if check_flag(owner, "is_causal", is_causal):
        if attn_mask is not None:
            raise ValueError(f"{owner}: give attn_mask or is_causal, not both")
        attn_mask = np.tri(shapes[0][-2], shapes[1][-2], dtype=bool)
    factor = 1 / math.sqrt(shapes[0][-1]) if scale is None else check_number(owner, "scale", scale, minimum=-math.inf)
    scores = apply(op.matmul, apply(_MULTIPLY, query, factor), apply(swapaxes, key, axis1=-1, axis2=-2))
    if attn_mask is not None and plain(attn_mask).dtype == bool:
        scores = apply(op.where, attn_mask, scores, -math.inf)
    elif attn_mask is not None:
        scores = apply(op.ELEMENTWISE[np.add], scores, operand(attn_mask).astype(plain(scores).dtype))
    weights = softmax(scores, dim=-1)
    if dropout_p:
        weights = dropout(weights, dropout_p, True, rng=rng)
    return apply(op.matmul, weights, value)


_MULTIPLY = op.ELEMENTWISE[np.multiply]
