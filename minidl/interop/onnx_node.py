"""A node of an ONNX graph, as the builders see it."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from .._core import Array
from ..nn import Parameter
from .onnx_package import require_onnx

__all__ = ["Constant", "Node"]


class Constant(NamedTuple):
    """An array of the graph.

    Attributes:
        value: the array.
        learnt: whether it is an initializer and therefore a weight.
        name: the initializer's name.
        layout: what was done to it for a layer that wants it in another shape: "T", "flat", ...
    """

    value: Array
    learnt: bool
    name: str = ""
    layout: str = ""


class Node:
    """A node whose module is being built. It records what the builder asks for; what is left over are the inputs.

    Args:
        proto: the onnx.NodeProto.
        constants: the graph's constants by name.
        dims: sizes of its first input, 0 where a size is free; None if they are unknown.
        weights: the Parameters made of initializers so far, by name and layout; this node's are added.
        uses: how many nodes use each initializer.

    Attributes:
        operator, name: the operator's name and the node's.
        rank, channels: number of axes of the first input, and the size of its second axis; None if unknown.
    """

    def __init__(
        self,
        proto: Any,
        constants: dict[str, Constant],
        dims: list[int] | None,
        weights: dict[str, dict[str, Parameter]],
        uses: Counter[str],
    ) -> None:
        get = require_onnx("from_onnx").helper.get_attribute_value
        self.operator: str = proto.op_type
        self.name = str(proto.name or proto.output[0])
        self.rank = None if dims is None else len(dims)
        self.channels = dims[1] if dims is not None and len(dims) > 1 else None
        self._inputs: list[str] = list(proto.input)
        self._constants, self._used = constants, set[int]()
        self._weights, self._uses = weights, uses
        self._attributes = {a.name: get(a) for a in proto.attribute}

    def attribute(self, name: str, default: Any) -> Any:
        """Return an attribute, or its default; ask for each attribute once."""
        value = self._attributes.pop(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def constant(self, index: int) -> Constant | None:
        """Return an input that must be a constant, or None if it is omitted.

        Raises:
            ValueError: it is computed.
        """
        if index >= len(self._inputs) or not self._inputs[index]:
            return None
        if self._inputs[index] not in self._constants:
            raise ValueError(f"input {index} must be a constant, but it is computed")
        self._used.add(index)
        return self._constants[self._inputs[index]]

    def computed(self, index: int) -> bool:
        """Return whether there is such an input, and it is no constant."""
        return index < len(self._inputs) and bool(self._inputs[index]) and self._inputs[index] not in self._constants

    def weighs(self, index: int) -> bool:
        """Return whether an input is a constant of floats, as a layer's weights are."""
        known = self._constants.get(self._inputs[index]) if index < len(self._inputs) else None
        return known is not None and known.value.dtype.kind == "f"

    def place(self, name: str) -> int:
        """Return which input has this name."""
        return self._inputs.index(name)

    def is_shared(self, index: int) -> bool:
        """Return whether an input is an initializer that other nodes use, too."""
        return self._uses[self._inputs[index]] > 1

    def shared(self, constant: Constant, parameter: Parameter) -> Parameter:
        """Return the Parameter that an initializer has become before, else this one.

        Raises:
            ValueError: it has become one in another layout, so that the two would not stay the same.
        """
        if not constant.name:
            return parameter
        known = self._weights.setdefault(constant.name, {})
        if known and constant.layout not in known:
            raise ValueError(f"the initializer {constant.name!r} is used in different shapes, which is not supported")
        return known.setdefault(constant.layout, parameter)

    def operands(self, count: int | None = None) -> list[Constant | None]:
        """Return every input, or the first ``count``: a Constant, or None where it is computed."""
        known = [self._constants.get(name) for name in self._inputs[:count]]
        self._used.update(index for index, constant in enumerate(known) if constant is not None)
        return known

    def ints(self, index: int, attribute: str | None = None) -> list[int] | None:
        """Return a constant input as a list of integers, or the attribute that older versions had in its place."""
        if attribute is not None and attribute in self._attributes:
            return list(self.attribute(attribute, None))
        constant = self.constant(index)
        return None if constant is None else [int(v) for v in constant.value.reshape(-1)]

    def check(self, **expected: Any) -> None:
        """Ask for attributes that are supported with a single value only.

        Raises:
            ValueError: an attribute has another value.
        """
        for name, value in expected.items():
            given = self.attribute(name, value)
            given = given if np.ndim(value) or not np.ndim(given) else given[0] if len(set(given)) == 1 else given
            if given != value:
                raise ValueError(f"{name}={given!r} is not supported, only {value!r}")

    def inputs(self) -> list[str]:
        """Return the names of the inputs that are left once the module is built.

        Raises:
            ValueError: the builder did not ask for one of the attributes.
        """
        if self._attributes:
            raise ValueError(f"attribute {next(iter(self._attributes))!r} is not supported")
        return [name for index, name in enumerate(self._inputs) if name and index not in self._used]
