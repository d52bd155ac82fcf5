"""Modes: no_grad, training or evaluation, and whether the input's gradient is wanted; all are restored afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from .._core import check_flag

if TYPE_CHECKING:
    from .module import Module
    from .record import Record

__all__ = [
    "enable_grad",
    "eval_mode",
    "evaluating",
    "inference_mode",
    "is_grad_enabled",
    "mode",
    "modes_kept",
    "no_grad",
    "set_grad_enabled",
    "without_input_grad",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Mode(threading.local):
    def __init__(self) -> None:
        self.enabled = True
        self.record: Record | None = None  # of the derived forward that is running
        # what modules have saved in the explicit forward that is running; () in a derived one; None outside of passes
        self.log: list[tuple[Module, Any]] | tuple[()] | None = None
        self.outer: Record | None = None  # of the pass that is running
        self.walking = False  # whether a backward pass is running
        self.training: dict[int, bool] | None = None  # by the module's id, of those that this thread is evaluating


mode = _Mode()


def is_grad_enabled() -> bool:
    """Return False inside `no_grad`, True elsewhere. Each thread has its own state."""
    return mode.enabled


class no_grad(ContextDecorator):
    """Context manager and decorator inside which layers save nothing for a backward pass.

    This uses less memory when predicting. backward() after a forward pass in here raises a RuntimeError.
    """

    _enabled = False

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(mode.enabled)
        mode.enabled = self._enabled

    def __exit__(self, *error: object) -> None:
        mode.enabled = self._before[-1]  # no call before it is restored: Ctrl-C is raised after calls
        self._before.pop()

    def _recreate_cm(self) -> no_grad:
        fresh = type(self).__new__(
            type(self)
        )  # a decorated function may run in several threads, each with its own state
        fresh._before, fresh._enabled = [], self._enabled
        return fresh


class enable_grad(no_grad):
    """Context manager and decorator inside which layers save what backward passes need, also inside `no_grad`."""

    _enabled = True


class inference_mode(no_grad):
    """Same as `no_grad`; with ``mode=False`` as `enable_grad`."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self._enabled = not check_flag("inference_mode", "mode", mode)


class set_grad_enabled(ContextDecorator):
    """Switch saving for backward passes on or off, from now on; as a context manager or a decorator, inside it only.

    Args:
        mode: True for on.

    Raises:
        TypeError: it is not True or False.
    """

    def __init__(self, mode: bool) -> None:
        self._enabled, self._before = check_flag("set_grad_enabled", "mode", mode), is_grad_enabled()
        _switch(self._enabled)

    def __enter__(self) -> None:
        _switch(self._enabled)

    def __exit__(self, *error: object) -> None:
        _switch(self._before)

    def __call__(self, function: _Function) -> _Function:
        """Decorate a function: outside of it nothing is switched."""
        _switch(self._before)
        return inference_mode(not self._enabled)(function)


def _switch(enabled: bool) -> None:
    mode.enabled = enabled


@contextmanager
def modes_kept(model: Module) -> Iterator[None]:
    """Restore each module's mode, training or evaluation, on exit."""
    modes = [(module, module._mode()) for module in model.modules()]
    try:
        yield
    finally:
        try:
            _restore(modes)
        except KeyboardInterrupt:  # all of them, before it is raised
            _restore(modes)
            raise


def _restore(modes: list[tuple[Module, bool]]) -> None:
    for module, training in modes:
        module.training = training


@contextmanager
def eval_mode(model: Module) -> Iterator[None]:
    """Put a model and its descendants into evaluation mode, in this thread and in here only.

    Their own modes stay as they are: other threads may use the model at the same time. What a forward in here sets
    with `train` or `eval` holds until the end.
    """
    modules = list(model.modules())  # kept: their ids are theirs
    before = mode.training
    mode.training = {**(before or {}), **dict.fromkeys(map(id, modules), False)}
    try:
        yield
    finally:
        mode.training = before


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Put a model into evaluation mode as `eval_mode` does, without gradients."""
    with eval_mode(model), no_grad():
        yield


@contextmanager
def without_input_grad(module: Module) -> Iterator[None]:
    """Set a module's `needs_input_grad` to False; restore it on exit."""
    if not module.needs_input_grad:
        yield
        return
    module.needs_input_grad = False
    try:
        yield
    finally:
        module.needs_input_grad = True
