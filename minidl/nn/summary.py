"""Shapes without data: a dry run on zeros, and the table of layers made from it.

Shapes are given as inputs are: one for each argument of `forward`, where a dict, or a list or tuple of shapes, stands
for such a structure of arrays. A list of shapes that comes alone is unpacked: one for each argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import check_int, html_table, html_text, plain
from .hooks import ForwardHook, RemovableHandle
from .modes import evaluating
from .structure import leaves, rebuild

if TYPE_CHECKING:
    from .module import Module

__all__ = ["LayerSummary", "Summary", "dry_run", "filled", "model_dtype", "output_shape", "shapes_in", "watched"]

Shapes = Any  # a tuple of integers, or a tuple, list or dict of such


@dataclass(frozen=True)
class LayerSummary:
    """One row of a `Summary`.

    Attributes:
        name: path inside the model, "" for the model itself.
        kind: class name.
        input_shape, output_shape: shapes of the dry run, batch axis included; of several arrays, a structure of shapes.
        params: numbers in the layer's own parameters; 0 if they are counted in an earlier call.
        multiply_adds: multiply-add operations of one forward pass, for the given batch.
        again: whether the model has called this layer before.
    """

    name: str
    kind: str
    input_shape: Shapes
    output_shape: Shapes
    params: int
    multiply_adds: int
    again: bool = False


class Summary(str):
    """The table of a model's layers, as text; its numbers are attributes.

    Attributes:
        rows: one `LayerSummary` for each call of a layer, in the order of the forward pass.
        total_params, trainable_params: numbers in all parameters, and in those not frozen.
        multiply_adds: of one forward pass for the given batch.
        param_bytes: memory of the parameters.
        output_bytes: memory of all layers' outputs.
    """

    rows: list[LayerSummary]
    total_params: int
    trainable_params: int
    multiply_adds: int
    param_bytes: int
    output_bytes: int

    @classmethod
    def of(cls, model: Module, shapes: tuple[Shapes, ...], dtype: Any = None) -> Summary:
        """Run the model on zeros of these shapes and describe each layer."""
        shapes = _checked(model, shapes)
        rows: list[LayerSummary] = []
        names = {id(module): name for name, module in model.named_modules()}
        seen: set[int] = set()

        def record(module: Module, inputs: tuple[Any, ...], output: Any) -> None:
            own = module._own_sizes()
            if own or not any(module.children()):
                given = [np.shape(x) for x in leaves(inputs) if isinstance(x, np.ndarray)]
                before, after = given[0] if len(given) == 1 else tuple(given), rebuild(output, np.shape)
                work = module.multiply_adds(*(tuple(next(shapes_in(s), ())) for s in (before, after)))
                again = id(module) in seen
                seen.add(id(module))
                kind, count = type(module).__name__, 0 if again else sum(own)
                rows.append(LayerSummary(names[id(module)], kind, before, after, count, work, again))

        dry_run(model, shapes, record, dtype)
        params = list(model.params())
        itemsize = model_dtype(model).itemsize
        totals: dict[str, Any] = {
            "rows": rows,
            "total_params": sum(p.data.size for p in params),
            "trainable_params": sum(p.data.size for p in params if p.requires_grad),
            "multiply_adds": sum(row.multiply_adds for row in rows),
            "param_bytes": sum(p.data.nbytes for p in params),
            "output_bytes": itemsize * sum(int(np.prod(s)) for row in rows for s in shapes_in(row.output_shape)),
        }
        summary = cls(_table(rows, totals, shapes))
        summary.__dict__.update(totals)
        return summary

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head, *rows = _cells(self.rows)
        return html_table(head, rows) + f"<p>{'<br>'.join(map(html_text, self.splitlines()[-4:]))}</p>"


def output_shape(model: Module, shapes: tuple[Shapes, ...], dtype: Any = None) -> Any:
    """Return the shape of the model's output for zeros of these shapes; see `Module.output_shape`."""
    shapes = _checked(model, shapes)
    sizes = {shape[0] for shape in shapes_in(shapes)}
    if len(sizes) == 1 and (size := sizes.pop()) > 2:
        # one sample is as good as the batch, if the first axis of all that comes out is the batch axis
        one, two = (
            rebuild(dry_run(model, _map(shapes, lambda s, n=n: (n, *s[1:])), None, dtype), np.shape) for n in (1, 2)
        )
        if all(a[:1] == (1,) and b == (2, *a[1:]) for a, b in zip(shapes_in(one), shapes_in(two), strict=True)):
            return _map(one, lambda s: (size, *s[1:]))
    return rebuild(dry_run(model, shapes, None, dtype), np.shape)


def shapes_in(shapes: Shapes) -> Iterator[tuple[int, ...]]:
    """Yield the shapes in a structure of shapes."""
    if _is_shape(shapes):
        yield shapes
    else:
        for item in shapes.values() if isinstance(shapes, dict) else shapes:
            yield from shapes_in(item)


def _is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and not any(isinstance(item, (tuple, list, dict)) for item in value)


def _map(shapes: Shapes, function: Callable[..., Any]) -> Any:
    """Return a structure like that of the shapes, with ``function`` of each shape."""
    if _is_shape(shapes):
        return function(shapes)
    if isinstance(shapes, dict):
        return {key: _map(item, function) for key, item in shapes.items()}
    items = [_map(item, function) for item in shapes]
    return type(shapes)(*items) if hasattr(shapes, "_fields") else type(shapes)(items)


def _checked(model: Module, shapes: tuple[Shapes, ...]) -> tuple[Shapes, ...]:
    owner = type(model).__name__
    if len(shapes) == 1 and isinstance(shapes[0], (tuple, list)) and shapes[0] and not _is_shape(shapes[0]):
        shapes = tuple(shapes[0])

    def check(shape: Any) -> tuple[int, ...]:
        if not shape:
            raise TypeError(f"{owner}: input_shape must be a tuple such as (1, 1, 28, 28), got {shape!r}")
        return tuple(check_int(owner, "input_shape", n) for n in shape)

    for part in shapes:
        if not isinstance(part, (tuple, list, dict)):
            hint = "; give a dtype by name, dtype=..." if isinstance(part, (type, str, np.dtype)) else ""
            raise TypeError(f"{owner}: input_shape must be a tuple such as (1, 1, 28, 28), got {part!r}{hint}")
    return tuple(_map(part, check) for part in shapes)


def model_dtype(model: Module) -> np.dtype[Any]:
    """Return the dtype of a model's parameters; without any, of its buffers, or float32."""
    floats = (buffer.dtype for _, buffer in model.named_buffers() if buffer.dtype.kind == "f")
    return next((p.data.dtype for p in model.params()), next(floats, np.dtype(np.float32)))


def dry_run(model: Module, shapes: tuple[Shapes, ...], record: ForwardHook | None, dtype: Any = None) -> Any:
    """Run zeros through the model with ``record`` as the only hook of every module; return the output.

    Args:
        model: the model.
        shapes: one for each argument of forward, or structures of shapes.
        record: the hook, or None.
        dtype: of the inputs, or a list with one for each input array; None means that of the parameters.
    """
    inputs = filled(model, shapes, dtype, np.zeros)
    with watched(model, record), evaluating(model):
        return model(*inputs)


def filled(model: Module, shapes: tuple[Shapes, ...], dtype: Any, make: Callable[..., Any]) -> tuple[Any, ...]:
    """Return ``make(shape, dtype)`` for each shape, in their structures."""
    shapes = _checked(model, shapes)
    count = sum(1 for _ in shapes_in(shapes))
    each = list(dtype) if isinstance(dtype, (list, tuple)) else [dtype] * count
    if len(each) != count:
        raise ValueError(f"{type(model).__name__}: got {len(each)} dtypes for {count} inputs")
    dtypes = iter([model_dtype(model) if wanted is None else np.dtype(wanted) for wanted in each])
    return tuple(_map(part, lambda shape: make(shape, next(dtypes))) for part in shapes)


@contextmanager
def watched(model: Module, record: ForwardHook | None) -> Iterator[None]:
    """Make ``record`` the only hook of a model and every module inside; restore theirs on exit."""
    hooks = [(module, module._forward_hooks) for module in model.modules()]
    for module, _ in hooks:
        only: dict[RemovableHandle, ForwardHook] = {}
        if record is not None:
            only[RemovableHandle(only)] = record
        module._forward_hooks = only
    try:
        yield
    finally:
        for module, before in hooks:
            module._forward_hooks = before


def _cells(rows: list[LayerSummary]) -> list[tuple[str, str, str, str]]:
    """Return the lines of the table, its head first."""
    cells = [("Layer", "Output shape", "Parameters", "Multiply-adds")]
    for row in rows:
        layer = f"{row.name} ({row.kind})" if row.name else row.kind
        params = "(again)" if row.again else f"{row.params:,}"
        cells.append((layer, str(row.output_shape), params, f"{row.multiply_adds:,}"))
    return cells


def _table(rows: list[LayerSummary], totals: dict[str, Any], shapes: tuple[Shapes, ...]) -> str:
    cells = _cells(rows)
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}".rstrip() for a, b, c, d in cells]
    rule = "-" * max(len(line) for line in lines)
    frozen = totals["total_params"] - totals["trainable_params"]
    return "\n".join(
        [
            lines[0],
            rule,
            *lines[1:],
            rule,
            f"Input shape{'s' if len(shapes) > 1 else ''}: {', '.join(str(_map(s, plain)) for s in shapes)}",
            f"Parameters: {totals['total_params']:,}" + (f" ({frozen:,} frozen)" if frozen else ""),
            f"Multiply-adds: {totals['multiply_adds']:,}",
            f"Memory: {_size(totals['param_bytes'])} parameters, {_size(totals['output_bytes'])} outputs",
        ]
    )


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"
