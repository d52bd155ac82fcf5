"""initial_weights: a model begins with the weights of another one, as far as they fit: --init."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import load
from .._core import user_path
from ..modelfile import load_model
from ..nn import Module
from .source import is_model_file

__all__ = ["initial_weights"]

_NAMED = 8  # tensors that a message names; the others it counts


def initial_weights(model: Module, path: str) -> str:
    """Load the tensors of a file that have the name and the shape of one of the model's; return what was done.

    Args:
        model: all others stay as they are, such as a head for other classes.
        path: .npz, .safetensors, or .minidl.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, is no file of weights, or nothing in it fits.
    """
    state: Any = load_model(path).model.state_dict() if is_model_file(path) else load(user_path(path))
    if not isinstance(state, Mapping) or not all(isinstance(value, np.ndarray) for value in state.values()):
        raise ValueError(f"--init {path}: this is no file of weights by name, as model.state_dict() gives them")
    own = model.state_dict()
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    fresh = [
        f"{name} {value.shape}" + (f", there {state[name].shape}" if name in state else "")
        for name, value in own.items()
        if name not in fitting
    ]
    if not fitting:
        raise ValueError(f"--init {path}: none of its tensors fits the model, which has {_some(fresh, '; ')}")
    model.load_state_dict(fitting, strict=False)
    unused = [name for name in state if name not in own]
    parts = [f"initial weights from {path}: {len(fitting)} of {len(own)} tensors"]
    parts += [f"left fresh: {_some(fresh, '; ')}"] * bool(fresh)
    parts += [f"not used: {_some(unused, ', ')}"] * bool(unused)
    return "; ".join(parts)


def _some(items: list[str], between: str) -> str:
    more = [f"and {len(items) - _NAMED} more"] * (len(items) > _NAMED)
    return between.join([*items[:_NAMED], *more])
