"""The methods of values that PyTorch has as functions too, ``x.relu()`` for ``relu(x)``: they are these functions."""

from __future__ import annotations

from . import elementwise_functions, functional, tensor_functions
from .tensor import Operand

__all__: list[str] = []

_FIRST_IS_ANOTHER = {"cat", "concat", "concatenate", "einsum", "is_tensor", "stack", "where"}

for _module, _names in (
    (elementwise_functions, elementwise_functions.__all__),
    (tensor_functions, tensor_functions.__all__),
    (functional, ["log_softmax", "prelu", "relu", "sigmoid", "softmax"]),
):
    for _name in _names:
        if not hasattr(Operand, _name) and _name not in _FIRST_IS_ANOTHER:
            setattr(Operand, _name, getattr(_module, _name))
