"""How large an ONNX graph says that its values and windows are: known from shapes, before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from .._core import PART, allowed_size, check_size
from .onnx_package import require_onnx

__all__ = ["check_fields", "check_parts", "check_values"]

_FIELD = 512  # bytes for a field of a message of protobuf
_PLACE = 64  # bytes for each place of a window, which are gone through one by one
_ITEM = 8  # bytes of a value's number, at most
_SMALL = 2**16  # bytes of a weight that may be a shape
_BATCH, _SIZE = 1, 256  # what a free first axis, and any other, is taken for


def check_fields(content: bytes, name: str) -> None:
    """Refuse a file of more fields than one of its size should have, before protobuf makes objects of them.

    Args:
        content: the onnx.ModelProto as bytes; what is wrong with it is left for protobuf to say.
        name: of the file, for the message.

    Raises:
        TooLargeError: the message says how to read it all the same.
    """
    most = allowed_size(len(content)) // _FIELD
    at, end, kind = 0, len(content), require_onnx("from_onnx").ModelProto.DESCRIPTOR
    outer: list[tuple[int, int, Any]] = []  # where to go on after a message in a message
    count = 0
    while at < end or outer:
        if at >= end:
            at, end, kind = outer.pop()
            continue
        count += 1
        if count > most:
            check_size(name, count * _FIELD, len(content), f"its first {count:,} fields take")
        key, at = _varint(content, at)
        wire = key & 7
        if wire == 2:  # a message, a text or an array
            length, at = _varint(content, at)
            field = kind.fields_by_number.get(key >> 3) if length else None
            if field is not None and field.message_type is not None:
                outer.append((at + length, end, kind))
                end, kind = min(at + length, end), field.message_type
            else:
                at += length
        elif wire == 0:
            _, at = _varint(content, at)
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:  # of the first version of protobuf, or damaged
            at = end


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a number that protobuf has written, and where it ends."""
    if at < len(content) and content[at] < 128:
        return content[at], at + 1
    value = shift = 0
    while at < len(content) and shift < 70:
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    return value, at


def check_parts(graph: Any, name: str, given: int) -> None:
    """Refuse a graph of more nodes than a file of this size should have.

    Args:
        graph: the onnx.GraphProto.
        name: of the file, for the message.
        given: size of the file, with the files that hold its weights.

    Raises:
        TooLargeError: the message says how to read it all the same.
    """
    count = len(graph.node) + len(graph.initializer)
    check_size(name, count * PART, given, f"its {count:,} nodes and weights take")


def check_values(model: Any, name: str, given: int) -> None:
    """Refuse a graph in which a value, or a window, is larger than is allowed.

    Sizes that are free are taken for 1 (the first axis) and 256; what depends on the numbers in a value is not known.
    What the graph's inputs take is counted as given, because whoever runs the graph has them.

    Args:
        model: the onnx.ModelProto, with the shapes of its values as far as they are known.
        name, given: as for `check_parts`.

    Raises:
        TooLargeError: the message names the value.
    """
    graph = model.graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("kernel_shape", "size"):
                places = math.prod(abs(size) for size in (attribute.ints or [attribute.i]))
                check_size(name, places * _PLACE, given, f"a window of {node.name or node.op_type!r} takes")
    sized = _with_sizes(model)
    sources = {value.name for value in graph.input}
    given += sum(count for value, count in _claims(sized.graph.input) if value in sources)
    allowed = allowed_size(given)
    for value, count in _claims((*sized.graph.value_info, *sized.graph.output)):
        if count > allowed:
            check_size(name, count, given, f"its value {value!r} takes")


def _claims(values: Any) -> Iterator[tuple[str, int]]:
    """Return how many bytes each value takes at most; an unknown size counts as 1."""
    for value in values:
        dims = value.type.tensor_type.shape.dim
        yield value.name, _ITEM * math.prod(max(1, dim.dim_value) for dim in dims)


def _with_sizes(model: Any) -> Any:
    """Return the graph's values with their sizes where the free ones of the inputs have been given some."""
    onnx = require_onnx("from_onnx")
    dims = [(n, dim) for value in model.graph.input for n, dim in enumerate(value.type.tensor_type.shape.dim)]
    if all(dim.HasField("dim_value") for _, dim in dims):
        return model
    graph = onnx.helper.make_graph(model.graph.node, "sized", model.graph.input, model.graph.output)
    for weight in model.graph.initializer:
        if weight.ByteSize() < _SMALL:
            graph.initializer.append(weight)
        else:
            graph.input.append(onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    for value in graph.input:
        for number, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                dim.dim_value = _SIZE if number else _BATCH
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    sized = onnx.helper.make_model(graph, opset_imports=model.opset_import, functions=model.functions)
    return onnx.shape_inference.infer_shapes(sized, data_prop=True)
