"""Optimizers: several optimisers as one, for models whose parts are trained by different ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from ..optim import Optimizer
from ..optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from ..optim.stored import stored_dict, stored_list

__all__ = ["Optimizers", "Schedule", "members", "schedules_of"]

Schedule: TypeAlias = LRScheduler | ReduceLROnPlateau


class Optimizers:
    """Several optimisers, which take a step together; ``optimizers["name"]`` or ``optimizers[0]`` is one of them.

    Iterating over it gives the optimisers, so that ``first, second = trainer.optimizer`` works.

    Args:
        optimizers: by name, or in order.

    Raises:
        TypeError: one of them is not an Optimizer.
        ValueError: there are none, or two have the same parameter.
    """

    def __init__(self, optimizers: Any) -> None:
        named = isinstance(optimizers, Mapping)
        self.members: dict[Any, Optimizer] = dict(optimizers if named else enumerate(optimizers))
        if not self.members:
            raise ValueError("Trainer: there must be at least one optimizer; give None to evaluate and predict only")
        for name, one in self.members.items():
            if not isinstance(one, Optimizer):
                raise TypeError(f"Trainer: optimizer[{name!r}] must be an Optimizer, got {one!r}")
            if named and not isinstance(name, str):
                raise TypeError(f"Trainer: the optimizers' names must be text, got {name!r}")
        seen: dict[int, Any] = {}
        for name, one in self.members.items():
            for parameter in (p for group in one.param_groups for p in group["params"]):
                if seen.setdefault(id(parameter), name) != name:
                    raise ValueError(
                        f"Trainer: optimizer[{seen[id(parameter)]!r}] and optimizer[{name!r}] both have a parameter of "
                        f"shape {parameter.shape}; it would be updated twice"
                    )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all of them."""
        return [group for one in self for group in one.param_groups]

    def zero_grad(self) -> None:
        """Reset the gradients of all parameters."""
        for one in self:
            one.zero_grad()

    def step(self) -> None:
        """Let each take a step."""
        for one in self:
            one.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each."""
        return {"optimizers": [one.state_dict() for one in self]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            ValueError, TypeError: it is the state of something else; nothing has changed then.
        """
        self._loading(state)()

    def _loading(self, state: Mapping[str, Any]) -> Callable[[], None]:
        """Check the state of each, without changing anything; return what restores them."""
        given = stored_list("optimizers", stored_dict("it", state, "optimizers")["optimizers"], len(self))
        parts = [one._loading(own) for one, own in zip(self, given, strict=True)]

        def restore() -> None:
            for part in parts:
                part()

        return restore

    def __getitem__(self, name: Any) -> Optimizer:
        return self.members[name]

    def __iter__(self) -> Iterator[Optimizer]:
        return iter(self.members.values())

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        return f"Optimizers({self.members!r})"


def schedules_of(scheduler: Any, optimizer: Any) -> Any:
    """Return what the Trainer was given as its schedule, checked: None, one, or with several optimisers a list or dict.

    Raises:
        TypeError: it is something else.
    """
    several = isinstance(scheduler, (list, tuple, Mapping))
    for one in members(scheduler):
        if not isinstance(one, (LRScheduler, ReduceLROnPlateau)) or (several and not isinstance(optimizer, Optimizers)):
            hint = "; several at once are a ChainedScheduler" if several else ""
            raise TypeError(f"Trainer: scheduler must be a learning rate schedule, got {scheduler!r}{hint}")
    if not several:
        return scheduler
    return dict(scheduler) if isinstance(scheduler, Mapping) else list(scheduler)


def members(value: Any) -> list[Any]:
    """Return one, several or no optimisers, or schedules, as a list."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple, Optimizers)) else [value]
