"""From a forward that somebody wrote to its record as JSON: it is run three times, and what differs is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._core import Array
from ..interop.onnx_trace import SIGNS, SIZES, drawn, equal
from ..nn import Module
from ..nn.modes import evaluating
from ..nn.structure import rebuild
from ..nn.summary import filled, watched
from ..nn.trace import Fixed, Note, Trace, Value
from .functions import name_of
from .values import encoded

__all__ = ["Inputs", "inputs_of_all", "record_of"]

Inputs = dict[int, list[tuple[Any, ...]]]  # of each module, by its id, in each run


def inputs_of_all(model: Module, shapes: tuple[Any, ...], dtype: Any) -> tuple[Inputs, list[tuple[Any, ...]]]:
    """Run a model in three batches of random values; return what each module was first called with, and the model.

    Raises:
        ValueError: it works with one batch size only.
    """
    found: Inputs = {}
    given: list[tuple[Any, ...]] = []
    for run, (size, sign) in enumerate(zip(SIZES, SIGNS, strict=True)):
        rng = np.random.default_rng(run)

        def make(shape: tuple[int, ...], kind: Any, rng: Any = rng, size: int = size, sign: Any = sign) -> Array:
            return drawn((size, *shape[1:]), kind, sign, rng, other=size == SIZES[1])

        def look(module: Module, inputs: tuple[Any, ...], output: Any, run: int = run) -> None:
            runs = found.setdefault(id(module), [])
            if len(runs) == run:
                runs.append(inputs)

        inputs = filled(model, shapes, dtype, make)
        with watched(model, look), evaluating(model), np.errstate(all="ignore"):
            try:
                model(*inputs)
            except MemoryError:
                raise
            except Exception as error:  # whatever forward raises
                if run == 0:
                    raise
                raise ValueError(
                    f"save_model: {type(model).__name__} depends on the batch size: of {size} samples it fails: {error}"
                ) from error
        given.append(inputs)
    return found, given


class _Noting(Trace):
    """A trace of one module's own calls: a module inside it is one call. Notes keep the structure of the inputs."""

    def __init__(self, module: Module) -> None:
        super().__init__(module, lambda part, forward: None if part is module and forward is None else type(part))

    def _noted(self, what: Any, kind: Any, inputs: Any, options: dict[str, Any], output: Any) -> Any:
        count, refs = len(self.notes), rebuild(tuple(inputs), self._ref)
        made = super()._noted(what, kind, inputs, options, output)
        if len(self.notes) > count:
            self.notes[-1].inputs = refs
        return made


@dataclass(frozen=True, eq=False)
class _Array:
    """An array of one run, in place of which the record gets a number."""

    data: Array


def record_of(
    module: Module,
    runs: Sequence[tuple[Any, ...]],
    describe_layer: Callable[[Module], Any],
    store: Callable[[Array], int],
) -> dict[str, Any]:
    """Return the record of a module's forward as JSON.

    Args:
        module: its forward is derived.
        runs: its inputs in each run.
        describe_layer: gives the JSON of a layer that is made within the forward.
        store: takes an array and returns its number.

    Raises:
        ValueError: the forward depends on the batch size or on the values, or does what cannot be stored.
    """
    described = [_Description(module, inputs, describe_layer).json for inputs in runs]
    batches = [_batch(inputs) for inputs in runs]
    first = [len(one["steps"]) for one in described]
    if len(set(first)) > 1:
        raise ValueError("its forward makes other calls for other values, or another batch size")
    whole = dict(described[0])
    for part in ("inputs", "output"):
        whole[part] = _merged(part, [one[part] for one in described], batches, store)
    whole["steps"] = [
        _merged(f"call {number}, {_shown(steps[0])},", list(steps), batches, store)
        for number, steps in enumerate(zip(*(one["steps"] for one in described), strict=True), 1)
    ]
    return whole


class _Description:
    """One run's record as JSON, in which arrays are still arrays."""

    def __init__(self, module: Module, inputs: tuple[Any, ...], describe_layer: Callable[[Module], Any]) -> None:
        self._module, self._describe_layer = module, describe_layer
        self._children = {id(part): path for path, part in module.named_modules() if path}
        self._parameters = {id(parameter): path for path, parameter in module.named_params()}
        self._buffers = {id(buffer): path for path, buffer in module.named_buffers()}
        self._trace = trace = _Noting(module)
        with watched(module, None), evaluating(module), np.errstate(all="ignore"):
            given, output = trace.run(module, inputs)
        self.json: dict[str, Any] = {
            "inputs": self._of(given),
            "steps": [self._step(note) for note in trace.notes],
            "output": self._of(output),
        }

    def _step(self, note: Note) -> dict[str, Any]:
        options = {name: self._of(value) for name, value in note.options.items()}
        return {**self._call(note), "with": self._of(note.inputs), "options": options, "gives": self._of(note.outputs)}

    def _call(self, note: Note) -> dict[str, Any]:
        what = note.what
        if not isinstance(what, Module):
            name = name_of(what)
            if name is None:
                raise ValueError(f"its forward uses {getattr(what, '__name__', what)}, which cannot be stored")
            return dict(name)
        if what is self._module:
            raise ValueError("its forward calls that of a layer which it derives from: make that layer a child of it")
        if id(what) in self._children:
            return {"child": self._children[id(what)]}
        return {"layer": self._describe_layer(what)}

    def _of(self, value: Any) -> Any:
        """Return inputs, options or outputs as JSON."""
        if isinstance(value, (tuple, list)):
            items = [self._of(item) for item in value]
            return {"tuple": items} if isinstance(value, tuple) else items
        if isinstance(value, dict):
            return {"dict": [[key, self._of(item)] for key, item in value.items()]}
        return self._of_leaf(value.data if isinstance(value, Fixed) else value)

    def _of_leaf(self, value: Any) -> Any:
        if isinstance(value, Value):
            parameter = self._trace.parameters_by_number.get(value.number)
            return {"value": value.number} if parameter is None else {"at": self._parameters[id(parameter)]}
        if isinstance(value, np.ndarray):
            return {"at": self._buffers[id(value)]} if id(value) in self._buffers else _Array(value)
        if isinstance(value, np.generic):
            return {"scalar": _Array(np.asarray(value))}
        try:
            return encoded(value, lambda array: 0)
        except TypeError as error:
            raise ValueError(f"its forward uses what cannot be stored: {error}") from error


def _merged(where: str, found: list[Any], batches: list[int], store: Callable[[Array], int]) -> Any:
    """Return what several runs have in common; numbers that are a multiple of the batch size as such."""
    first = found[0]
    if isinstance(first, dict) and all(isinstance(one, dict) and one.keys() == first.keys() for one in found):
        scalar = set(first) == {"scalar"}
        merged = {name: _merged(where, [one[name] for one in found], batches, store) for name in first}
        return {"scalar": merged["scalar"]["array"]} if scalar and "array" in merged["scalar"] else merged
    if isinstance(first, list) and all(isinstance(one, list) and len(one) == len(first) for one in found):
        return [_merged(where, list(items), batches, store) for items in zip(*found, strict=True)]
    if all(_same(first, one) for one in found):
        return {"array": store(first.data)} if isinstance(first, _Array) else first
    if all(type(one) is int for one in found):
        times = {divmod(one, size) for one, size in zip(found, batches, strict=True)}
        if len(times) == 1 and (pair := times.pop())[1] == 0:
            return {"batch": pair[0]}
    if all(
        isinstance(one, _Array) and one.data.ndim and len(one.data) == n for one, n in zip(found, batches, strict=True)
    ):
        row = first.data[:1]
        if all(one.data.dtype == row.dtype and np.array_equal(one.data, row.repeat(len(one.data), 0)) for one in found):
            return {"rows": store(row)}
    raise ValueError(
        f"its forward depends on the batch size or on the values: {where} has {_shown(first)} in one run and "
        f"{_shown(next(one for one in found if not _same(first, one)))} in another"
    )


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, _Array) and isinstance(b, _Array):
        return equal(a.data, b.data)
    return type(a) is type(b) and bool(a == b)


def _shown(value: Any) -> str:
    if isinstance(value, _Array):
        return f"an array {value.data.shape}"
    if isinstance(value, dict):
        return next(
            (str(name) for kind, name in value.items() if kind in ("child", "operation", "pair", "constant")), "a layer"
        )
    return f"{value!r:.60}"


def _batch(inputs: tuple[Any, ...]) -> int:
    arrays: list[Array] = []
    rebuild(inputs, lambda x: arrays.append(x) if isinstance(x, np.ndarray) and x.ndim else None)
    return len(arrays[0]) if arrays else 0
