"""Shapes without data: a dry run on zeros, and the table of layers made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from .._core import check_int, plain
from .hooks import ForwardHook, RemovableHandle
from .modes import evaluating

if TYPE_CHECKING:
    from .module import Module

__all__ = ["LayerSummary", "Summary", "dry_run", "output_shape"]


@dataclass(frozen=True)
class LayerSummary:
    """One row of a `Summary`.

    Attributes:
        name: path inside the model, "" for the model itself.
        kind: class name.
        input_shape, output_shape: shapes of the dry run, batch axis included.
        params: numbers in the layer's own parameters.
        multiply_adds: multiply-add operations of one forward pass, for the given batch.
    """

    name: str
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    params: int
    multiply_adds: int


class Summary(str):
    """The table of a model's layers, as text; its numbers are attributes.

    Attributes:
        rows: one `LayerSummary` for each layer, in the order of the forward pass.
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
    def of(cls, model: Module, input_shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Summary:
        """Run the model on zeros of ``input_shape`` and describe each layer."""
        rows: list[LayerSummary] = []
        names = {id(module): name for name, module in model.named_modules()}

        def record(module: Module, inputs: tuple[Any, ...], output: Any) -> None:
            own = module._own_sizes()
            if own or not any(module.children()):
                shapes = np.shape(inputs[0]), np.shape(output)
                kind, work = type(module).__name__, module.multiply_adds(*shapes)
                rows.append(LayerSummary(names[id(module)], kind, *shapes, sum(own), work))

        dry_run(model, input_shape, record, dtype)
        params = list(model.params())
        itemsize = _dtype(model).itemsize
        totals: dict[str, Any] = {
            "rows": rows,
            "total_params": sum(p.data.size for p in params),
            "trainable_params": sum(p.data.size for p in params if p.requires_grad),
            "multiply_adds": sum(row.multiply_adds for row in rows),
            "param_bytes": sum(p.data.nbytes for p in params),
            "output_bytes": itemsize * sum(int(np.prod(row.output_shape)) for row in rows),
        }
        summary = cls(_table(rows, totals, input_shape))
        summary.__dict__.update(totals)
        return summary

    def __repr__(self) -> str:
        return str(self)


def output_shape(model: Module, input_shape: tuple[int, ...], dtype: DTypeLike | None = None) -> tuple[int, ...]:
    """Return the shape of the model's output for zeros of ``input_shape``; see `Module.output_shape`."""
    shape = _check_shape(model, input_shape)
    # one sample is as good as the batch, if the first axis stays the batch axis
    single = np.shape(dry_run(model, (1, *shape[1:]), None, dtype))
    if single[:1] == (1,):
        return (shape[0], *single[1:])
    return np.shape(dry_run(model, shape, None, dtype))


def _check_shape(model: Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    owner = type(model).__name__
    if not isinstance(shape, (tuple, list)) or not shape:
        raise TypeError(f"{owner}: input_shape must be a tuple such as (1, 1, 28, 28), got {shape!r}")
    return tuple(check_int(owner, "input_shape", n) for n in shape)


def _dtype(model: Module) -> np.dtype[Any]:
    floats = (buffer.dtype for _, buffer in model.named_buffers() if buffer.dtype.kind == "f")
    return next((p.data.dtype for p in model.params()), next(floats, np.dtype(np.float32)))


def dry_run(
    model: Module, input_shape: tuple[int, ...], record: ForwardHook | None, dtype: DTypeLike | None = None
) -> Any:
    """Run zeros through the model with ``record`` as the only hook of every module; return the output."""
    zeros = np.zeros(_check_shape(model, input_shape), _dtype(model) if dtype is None else dtype)
    hooks = [(module, module._forward_hooks) for module in model.modules()]
    for module, _ in hooks:
        only: dict[RemovableHandle, ForwardHook] = {}
        if record is not None:
            only[RemovableHandle(only)] = record
        module._forward_hooks = only
    try:
        with evaluating(model):
            return model(zeros)
    finally:
        for module, before in hooks:
            module._forward_hooks = before


def _table(rows: list[LayerSummary], totals: dict[str, Any], input_shape: tuple[int, ...]) -> str:
    cells = [("Layer", "Output shape", "Parameters", "Multiply-adds")]
    for row in rows:
        layer = f"{row.name} ({row.kind})" if row.name else row.kind
        cells.append((layer, str(row.output_shape), f"{row.params:,}", f"{row.multiply_adds:,}"))
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
            f"Input shape: {plain(tuple(input_shape))}",
            f"Parameters: {totals['total_params']:,}" + (f" ({frozen:,} frozen)" if frozen else ""),
            f"Multiply-adds: {totals['multiply_adds']:,}",
            f"Memory: {_size(totals['param_bytes'])} parameters, {_size(totals['output_bytes'])} outputs",
        ]
    )


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"
