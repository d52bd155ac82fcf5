"""compile: a model in evaluation mode as a callable that does nothing but compute."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from .._core import Array, check_kind
from ..engine import Engine, current_engine
from ..nn import Module
from ..nn.naming import layer_at
from ..nn.structure import leaves, rebuild, values_at
from ..nn.summary import filled
from ..nn.unsized import check_sized
from .binders import binder_of
from .calls import calls_of
from .folding import folded
from .plan import Plan, Ready

__all__ = ["Compiled", "compile"]

_KEPT = 16  # shapes whose plans are kept


class _State:
    """A copy of the model as it was when it was compiled, and what has been planned for it."""

    def __init__(self, model: Module, shapes: tuple[Any, ...], dtype: Any) -> None:
        _check(model)
        self.model = _copied(model)
        self.engine: Engine = current_engine()
        self.name = f"compiled {type(model).__name__}"
        self.example = filled(self.model, shapes, dtype, lambda shape, kind: np.broadcast_to(np.zeros((), kind), shape))
        self.dtypes = [x.dtype for x in leaves(self.example)]
        self.types = [np.ndarray] * len(self.dtypes)
        self.flat = all(isinstance(x, np.ndarray) for x in self.example)
        self.ready: dict[Any, list[Ready]] = {}
        self.plans: dict[Any, Plan] = {}

    def check(self, inputs: tuple[Any, ...]) -> list[Ready]:
        """Check the arrays among the inputs; return the list of what is ready for their shapes, empty at first."""
        for x, like in zip(inputs, leaves(self.example), strict=True):
            if type(x) is not np.ndarray:
                raise TypeError(f"{self.name}: expected a NumPy array, got {type(x).__name__}")
            if x.dtype != like.dtype:
                raise TypeError(f"{self.name}: expected {like.dtype}, got {x.dtype}")
            if x.ndim != like.ndim or x.shape[1:] != like.shape[1:]:
                shape = ", ".join(("N", *map(str, like.shape[1:])))
                raise ValueError(
                    f"{self.name}: expected an input of shape ({shape}), got {x.shape}; compile the model for that too"
                )
        return self.ready.setdefault(tuple([x.shape for x in inputs]), [])

    def prepare(self, inputs: tuple[Array, ...]) -> Ready:
        """Make what runs on inputs of these shapes; the plan is made at the first use of a shape."""
        key = tuple([x.shape for x in inputs])
        plan = self.plans.get(key)
        if plan is None:
            plan = Plan(folded(calls_of(self.model, lambda number: self._draw(key, number))), self.engine, binder_of)
            for oldest in list(self.plans)[: 1 - _KEPT]:
                self.plans.pop(oldest, None)
                self.ready.pop(oldest, None)
            self.plans[key] = plan
        return plan.ready()

    def _draw(self, shapes: tuple[tuple[int, ...], ...], number: int) -> tuple[Any, ...]:
        """Return random inputs of both signs, of one, or of the other; of other dtypes than floats 0, 1 and 0."""
        rng, left = np.random.default_rng(number), iter(shapes)

        def draw(like: Array) -> Array:
            shape = next(left)
            if like.dtype.kind != "f":
                return np.full(shape, number % 2, like.dtype)
            kind: Any = np.float32 if like.dtype == np.float32 else np.float64
            values: Array = rng.standard_normal(shape, kind).astype(like.dtype, copy=False)
            return (values, np.abs(values), -np.abs(values))[number]

        return rebuild(self.example, draw)  # type: ignore[no-any-return]


class Compiled:
    """A model as a list of bound calls: what `compile` returns, where it is described.

    Args:
        model: in evaluation mode, without forward hooks.
        shapes: of its inputs, with the batch axis: a tuple with one for each argument of `forward`.
        dtype: of the inputs, or a list with one for each; None means that of the parameters.

    Raises:
        RuntimeError, ValueError: as for `compile`.
    """

    def __init__(self, model: Module, shapes: tuple[Any, ...], dtype: Any) -> None:
        self._model, self._shapes, self._dtype = model, shapes, dtype
        self.refresh()

    def refresh(self) -> None:
        """Take the model's weights, buffers and layers as they are now.

        Raises:
            RuntimeError: the model is in training mode, or has forward hooks; the weights are those of before then.
        """
        state = _State(self._model, self._shapes, self._dtype)
        arrays = tuple(leaves(state.example))
        state.check(arrays).append(state.prepare(arrays))
        self._state = state

    def __call__(self, *inputs: Any) -> Any:
        """Return the model's output: new arrays.

        Raises:
            TypeError: an input is not an array, or not of the dtype.
            ValueError: the number of inputs, or a shape apart from the batch size, is not the one compiled for.
        """
        state = self._state
        if len(inputs) != len(state.example):
            raise ValueError(f"{state.name}: expected {len(state.example)} inputs, got {len(inputs)}")
        arrays = inputs if state.flat else tuple(values_at(state.example, inputs))
        waiting = None
        if [type(x) for x in arrays] == state.types and [x.dtype for x in arrays] == state.dtypes:
            waiting = state.ready.get(tuple([x.shape for x in arrays]))
        if waiting is None:
            waiting = state.check(arrays)
        try:
            ready = waiting.pop()
        except IndexError:  # the first call, or other threads are using all that have been made
            ready = state.prepare(arrays)
        output = ready.run(arrays)
        waiting.append(ready)
        return output

    def __reduce__(self) -> Any:
        # steps know places in memory, which a copy must not have
        return Compiled, (self._state.model, self._shapes, self._dtype)

    def __repr__(self) -> str:
        return f"Compiled({type(self._model).__name__}, {', '.join(map(str, self._shapes))})"


def compile(model: Module, input_shape: Any, *more: Any, dtype: Any = None) -> Compiled:
    """Return the model in evaluation mode as a function that does nothing but compute.

        fast = minidl.compile(model.eval(), (1, 1, 28, 28))
        logits = fast(images)

    The forward pass is run a few times on random values to see which layers and operations it consists of. Batch
    normalisation becomes part of the convolution or linear layer before it, activations come after pooling, dropout
    and identity are left out, and each of the rest is bound to memory that is made once. Outputs are the model's within
    1e-5 of the largest one (float32), and are new arrays. Layers of other classes than minidl's are called as they are,
    and so are modules that do something else for other values, as far as that shows in these runs.

    The result belongs to the weights, buffers and layers that the model had here, of which it keeps a copy; it does not
    see later changes until its `refresh()` is called. It uses the engine that is in use here. Another batch size is
    planned at its first use, which takes as long as a few forward passes, and has memory of its own; the 16 last ones
    are kept. Several threads may call it at once: each call has memory of its own.

    Args:
        model: a model in evaluation mode.
        input_shape: shape of the input with the batch axis, such as (1, 1, 28, 28).
        *more: shapes of further inputs, one for each argument of `forward`.
        dtype: of the inputs, or a list with one for each; None means that of the parameters. A net that begins with an
            Embedding takes int.

    Returns:
        A function of arrays of these shapes, of any batch size; its method ``refresh()`` takes the model as it is now.

    Raises:
        TypeError: ``model`` is not a Module, or cannot be copied; or a shape is not a tuple.
        ValueError: the model does not accept this shape; the message names the layer.
        RuntimeError: the model, or a part of it, is in training mode, has forward hooks, or does not know its size yet.
    """
    return Compiled(check_kind("compile", "model", model, Module), (input_shape, *more), dtype)


def _copied(model: Module) -> Module:
    try:
        return deepcopy(model)
    except MemoryError:
        raise
    except Exception as error:  # whatever its attributes raise
        raise TypeError(
            f"compile: {type(model).__name__} cannot be copied: {error}; keep that out of its attributes"
        ) from error


def _check(model: Module) -> None:
    for path, module in model.named_modules():
        layer = layer_at(type(module).__name__, path)
        if module.training:
            raise RuntimeError(f"compile: {layer} is in training mode; call model.eval() first")
        if module._forward_hooks:
            raise RuntimeError(f"compile: {layer} has a forward hook, which would not be called; remove it first")
    check_sized("compile", *model.params())
