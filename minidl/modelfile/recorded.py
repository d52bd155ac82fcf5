"""Recorded: a module whose forward is not code but a list of calls, which was noted when somebody's forward ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..nn import Module, Parameter
from ..nn.recording import apply_layer, plain
from ..nn.structure import rebuild, values_at
from .functions import function_of

__all__ = ["At", "Batch", "Recorded", "Ref", "StoredRecord", "StoredStep", "at_path"]


@dataclass(frozen=True)
class Ref:
    """A value by its number."""

    number: int


@dataclass(frozen=True)
class At:
    """A Parameter or a buffer of the module, or of one inside it, by its path."""

    path: str


@dataclass(frozen=True)
class Batch:
    """The batch size times a number; or, with rows (1, ...), an array with one of them for each sample."""

    times: int = 1
    row: Any = None


@dataclass(frozen=True)
class StoredStep:
    """One call: of a "child" at a path, a "layer" of the step's own, or a function by kind and name."""

    kind: str
    what: Any
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    outputs: Any

    def run(self, module: Module, settled: Callable[[Any], Any]) -> Any:
        """Make the call; ``settled`` gives the values of what inputs and options refer to."""
        inputs, options = rebuild(self.inputs, settled), rebuild(self.options, settled)
        if self.kind == "child":
            return at_path(module, self.what)(*inputs, **options)
        if self.kind == "layer":
            return apply_layer(self.what, *inputs)
        return function_of(self.kind, self.what)(*inputs, **options)


@dataclass(frozen=True)
class StoredRecord:
    """The calls of one forward pass, and what went in and came out of it."""

    inputs: tuple[Any, ...]
    steps: tuple[StoredStep, ...]
    output: Any


class Recorded(Module):
    """A module with the children, parameters and buffers of another one, and what its forward did, in evaluation mode.

    It is trained, exported and saved like any other. A choice that the forward made by the mode, such as
    ``F.dropout(x, training=self.training)``, is that of evaluation.

    Args:
        kind: name of the class that the forward is from.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind
        self._record: StoredRecord | None = None

    def remember(self, record: StoredRecord) -> None:
        """Set the record, when the children that it calls are there; without one the module cannot be called."""
        self._record = record

    def forward(self, *inputs: Any) -> Any:
        """Make the calls again."""
        if self._record is None:
            raise RuntimeError(f"the forward of {self._kind} was not used when the model was saved, and is not stored")
        values: dict[int, Any] = {}
        given = list(_leaves_at(self._record.inputs, inputs))
        values.update((ref.number, value) for ref, value in given if isinstance(ref, Ref))
        size = len(plain(given[0][1])) if given else 0

        def settled(item: Any) -> Any:
            if isinstance(item, Ref):
                return values[item.number]
            if isinstance(item, At):
                return at_path(self, item.path)
            if isinstance(item, Batch):
                return item.times * size if item.row is None else item.row.repeat(size, axis=0)
            if isinstance(item, slice):
                return slice(*map(settled, (item.start, item.stop, item.step)))
            return item

        for step in self._record.steps:
            made = _leaves_at(step.outputs, step.run(self, settled))
            values.update((ref.number, value) for ref, value in made if isinstance(ref, Ref))
        return rebuild(self._record.output, settled)

    def extra_repr(self) -> str:
        """Name the class that the forward is from."""
        return self._kind


def _leaves_at(form: Any, value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the leaves of a structure, each with what is in its place in another one."""
    found = values_at(rebuild(form, lambda leaf: None if leaf is None else True), value)
    flat: list[Any] = []
    rebuild(form, flat.append)
    return zip((leaf for leaf in flat if leaf is not None), found, strict=True)


def at_path(module: Any, path: str) -> Any:
    """Return the member of a module at a path: through children, lists and dicts.

    Raises:
        ValueError: there is none.
    """
    found = module
    for name in path.split("."):
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, (list, tuple)):
            found = found[int(name)] if name.isdigit() and int(name) < len(found) else None
        elif isinstance(found, Module) and name in vars(found):
            found = vars(found)[name]
        else:
            found = None
    if found is None or not (isinstance(found, (Module, Parameter)) or hasattr(found, "dtype")):
        raise ValueError(f"there is nothing at {path!r}")
    return found
