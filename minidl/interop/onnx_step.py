"""Step: one note of a traced forward, seen in several dry runs, from which nodes are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..nn.rearranging import axes_of
from ..nn.trace import Fixed, Note, Value
from .onnx_package import require_onnx
from .onnx_trace import equal

if TYPE_CHECKING:
    from .onnx_export import OnnxGraph

__all__ = ["Emitter", "Step"]


class Step:
    """One note of a graph, seen in several dry runs: of another batch size, and on other values.

    Attributes:
        graph: to which the nodes are added.
        note: of the first run.
    """

    def __init__(self, graph: OnnxGraph, notes: Sequence[Note], name: str) -> None:
        self.graph, self.notes, self.note, self.name = graph, notes, notes[0], name

    def refuse(self, why: str) -> ValueError:
        """Return an error that names the operation and the way out."""
        return ValueError(
            f"{self.name} has no ONNX form here: {why}; do it in a Module of its own and give that a form with "
            "@minidl.interop.onnx_nodes"
        )

    @property
    def options(self) -> dict[str, Any]:
        """The options, which must be the same in all runs."""
        for other in self.notes[1:]:
            for name, value in self.note.options.items():
                if not equal(value, other.options.get(name)):
                    raise self.refuse(f"its {name} depends on the batch size or on the input's values")
        return self.note.options

    def shapes(self, index: int = 0) -> list[tuple[int, ...]]:
        """Return the shape of an input in each run."""
        return [np.shape(x.data) if isinstance(x, Fixed) else x.shape for x in (n.inputs[index] for n in self.notes)]

    def sizes(self) -> list[list[int]]:
        """Return the sizes of the output's axes, each in every run."""
        return [list(sizes) for sizes in zip(*(note.outputs.shape for note in self.notes), strict=True)]

    @property
    def ndim(self) -> int:
        """Number of axes of the first input."""
        return len(self.shapes()[0])

    def axes(self) -> Any:
        """Return the axes that are reduced, as a constant."""
        return np.array(axes_of(self.options.get("axis"), self.ndim), np.int64)

    def input(self, index: int, dtype: Any = None, spread: bool = False) -> Any:
        """Return the name of an input, or a constant; of this dtype.

        Args:
            index: which.
            dtype: what it is converted to; None leaves it.
            spread: whether a constant with one equal row for each sample may become a single row, since another input
                has as many.
        """
        refs = [note.inputs[index] for note in self.notes]
        first = refs[0]
        if isinstance(first, Value):
            if any(not isinstance(ref, Value) or ref.number != first.number for ref in refs):
                raise self.refuse("its inputs are others for other values or another batch size")
            name = self.graph.value(first.number)
            return name if dtype in (None, first.dtype) else self.node("Cast", name, to=_kind(dtype))
        if any(isinstance(ref, Value) for ref in refs):
            raise self.refuse("its inputs are others for other values or another batch size")
        return self._constant([ref.data for ref in refs], dtype, spread)

    def _constant(self, found: list[Any], dtype: Any, spread: bool) -> Any:
        data = found[0]
        if not all(equal(data, other) for other in found):
            rows = [np.atleast_1d(x) for x in found]
            one = rows[0][:1]
            free = len({x.shape[0] for x in rows}) > 1 and len({x.shape[1:] for x in rows}) == 1
            if not (free and self.graph.is_batch([len(x) for x in rows]) and all((x == one).all() for x in rows)):
                raise self.refuse(
                    "a value that depends on the input, or on the batch size, was made a constant (by .data, item(), "
                    "an integer dtype, or random numbers)"
                )
            data = one if spread and self._has_batch(rows) else self.graph.repeated(np.asarray(one, dtype))
        if data is None or isinstance(data, str):  # None, a formula, or the name of a value
            return data
        return np.asarray(data, dtype)

    def _has_batch(self, rows: list[Any]) -> bool:
        """Return whether a value among the inputs has the batch axis of a constant with a row for each sample."""
        values = [x for x in self.note.inputs if isinstance(x, Value)]
        return any(len(x.shape) == rows[0].ndim and x.shape[0] == len(rows[0]) for x in values)

    def inputs(self) -> list[Any]:
        """Return all inputs, of the output's dtype, as those of an elementwise operation."""
        dtype = self.note.outputs.dtype
        return [self.input(index, dtype, spread=True) for index in range(len(self.note.inputs))]

    def node(self, operator: str, *inputs: Any, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        return self.graph.node(operator, *inputs, **attributes)

    def number(self, value: float) -> Any:
        """Return a number of the output's dtype."""
        return np.asarray(value, self.note.outputs.dtype)


def _kind(dtype: Any) -> int:
    return int(require_onnx("export_onnx").helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


Emitter = Callable[[Step], Any]  # adds the nodes of a step; gives the name of the output, or a list of names
