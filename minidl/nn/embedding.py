"""Embedding: a table of vectors, looked up by index."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, check_float, check_grad, check_int
from . import init
from .module import Module
from .parameter import Parameter

__all__ = ["Embedding", "embedding_backward", "embedding_forward"]


class EmbeddingCache(NamedTuple):
    """What `embedding_backward` needs: the indices, the weight's shape and dtype, and the row without gradient."""

    indices: Array
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    padding_idx: int | None


def embedding_forward(indices: Array, weight: Array, *, padding_idx: int | None = None) -> tuple[Array, EmbeddingCache]:
    """Look up rows of a table: out[...] = weight[indices[...]].

    indices are integers from 0 to K - 1 of any shape, weight is (K, D); the row padding_idx gets no gradient. Returns
    out (..., D) and the cache for `embedding_backward`. Raises ValueError if an index is out of range, TypeError if the
    indices are not integers.
    """
    check_float(weight, "weight")
    if weight.ndim != 2:
        raise ValueError(f"expected a weight of shape (K, D), got {weight.shape}")
    if not isinstance(indices, np.ndarray) or indices.dtype.kind not in "iu":
        kind = indices.dtype if isinstance(indices, np.ndarray) else type(indices).__name__
        raise TypeError(f"expected an array of integers, got {kind}; convert it with x.astype(np.int64)")
    rows = len(weight)
    wrong = (indices < 0) | (indices >= rows)
    if wrong.any():
        raise ValueError(f"expected indices from 0 to {rows - 1}, got {indices[wrong][0]}")
    return weight[indices], EmbeddingCache(indices, weight.shape, weight.dtype, padding_idx)


def embedding_backward(grad_output: Array, cache: EmbeddingCache) -> Array:
    """Return dweight (K, D): each row gets the sum of the gradients of its occurrences, the padding row none.

    ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache`` is from
    `embedding_forward`. The indices have no gradient.
    """
    indices, shape, dtype, padding_idx = cache
    check_grad(grad_output, (*indices.shape, shape[1]), dtype)
    dw = np.zeros(shape)  # in float64: a row may occur a million times
    np.add.at(dw, indices.reshape(-1), grad_output.reshape(-1, shape[1]))
    if padding_idx is not None:
        dw[padding_idx] = 0
    return dw.astype(dtype, copy=False)


class Embedding(Module):
    """A table of trained vectors, looked up by index: y = weight[x].

    Args:
        num_embeddings: number of rows, K.
        embedding_dim: length of a row, D.
        padding_idx: a row that is initially zero and gets no gradient; a negative index counts from the end.
        dtype: float32 (default) or float64.
        rng: generator for the initial weights; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input: integers of any shape, from 0 to K - 1; output (..., D). `backward` returns None: integers have no
        gradient. ``summary(input_shape, dtype=int)`` describes a net that begins with an Embedding.

    Attributes:
        weight: Parameter (K, D), from N(0, 1).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = check_int("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = check_int("Embedding", "embedding_dim", embedding_dim)
        if padding_idx is not None:
            padding_idx = check_int("Embedding", "padding_idx", padding_idx, minimum=-self.num_embeddings)
            if padding_idx >= self.num_embeddings:
                raise ValueError(f"Embedding: padding_idx must be less than {num_embeddings}, got {padding_idx}")
            padding_idx %= self.num_embeddings
        self.padding_idx = padding_idx
        shape = (self.num_embeddings, self.embedding_dim)
        self.weight = init.normal_(Parameter(np.empty(shape, np.float32 if dtype is None else dtype)), rng=rng)
        if padding_idx is not None:
            self.weight.data[padding_idx] = 0

    def forward(self, x: Array) -> Array:
        """Look up the rows."""
        out, cache = embedding_forward(x, self.weight.data, padding_idx=self.padding_idx)
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> None:
        """Add the gradient of the rows; the input has none."""
        self.weight.add_grad(embedding_backward(grad_output, self.take_saved()))

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
