"""Docstrings: what holds for every backward function is written once, here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["explain", "explain_pair", "options_of"]

Function = TypeVar("Function", bound=Callable[..., Any])

_NEEDS = "\n    needs_input_grad: False leaves dx out (None); a network's first layer does not need it."


def explain(backward: Function) -> Function:
    """Add the arguments and what is raised to the docstring of a backward function; a decorator."""
    name = backward.__name__.replace("_backward", "_forward")
    needs = _NEEDS if "needs_input_grad" in inspect.signature(backward).parameters else ""
    about, _, returns = inspect.cleandoc(backward.__doc__ or "").partition("\n\n")
    backward.__doc__ = (
        f"{about}\n\nArgs:\n    grad_output: gradient of the output, in its shape and dtype.\n"
        f"    cache: from `{name}`.{needs}\n\n{returns}\n\n"
        "Raises:\n    ValueError, TypeError: grad_output has not the output's shape or dtype."
    )
    return backward


def options_of(value: Callable[..., Any], inputs: int) -> dict[str, Any]:
    """Return the defaults of the options of a function of ``inputs`` arrays."""
    return {name: p.default for name, p in list(inspect.signature(value).parameters.items())[inputs:]}


def explain_pair(
    value: Callable[..., Any],
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    defaults: dict[str, Any],
    forward_doc: str,
    backward_doc: str,
) -> None:
    """Give functions made for ``value`` its name, options and docstring.

    Args:
        value: its docstring is a line about it, and a line for each option.
        forward, backward: the functions; a last parameter ``**options`` stands for the defaults.
        defaults: the options' defaults.
        forward_doc: a docstring's sections, in which {options} and {name} are filled in.
        backward_doc: what `backward` returns, in which {name} is filled in.
    """
    name = value.__name__.strip("_")
    about, _, listed = inspect.cleandoc(value.__doc__ or "").partition("\n\n")
    options = "".join(f"\n    {line}" for line in listed.splitlines())
    for function, suffix in ((forward, "forward"), (backward, "backward")):
        function.__name__ = function.__qualname__ = f"{name}_{suffix}"
    forward.__doc__ = f"{about}\n\n{inspect.cleandoc(forward_doc).format(options=options, name=name)}"
    backward.__doc__ = inspect.cleandoc(backward_doc).format(name=name)
    explain(backward)
    parameters = list(inspect.signature(forward).parameters.values())[:-1]
    parameters += [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, d in defaults.items()]
    forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
