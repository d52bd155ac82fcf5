"""Continuing a fit with other options: the checkpoint gives weights, the optimiser's state, epoch and history.

`FitState.restoring` continues a fit as it was. Here what is not taken from the checkpoint is as the new fit is given
it, and starts over: options of the optimiser, schedule, batches, metrics, callbacks.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ..optim.stored import stored_count, stored_dict, stored_flag, stored_list
from .batches import count_batches
from .restoring import Restoring, check_generator, check_rows, entry
from .state import FitState

__all__ = ["Continuing"]


class Continuing:
    """What a fit takes from a checkpoint of another one; everything is checked before anything is changed.

    Args:
        state: of the new fit.
        saved: the state of a fit of the same model.

    Attributes:
        place: a copy of the state that is where the new fit begins, for checks.
        anew: what does not continue though the checkpoint has it.

    Raises:
        ValueError: it is no such state, or that of another model.
    """

    def __init__(self, state: FitState, saved: Any) -> None:
        if not isinstance(saved, Mapping) or not {"made_of", "model", "optimizer", "history", "rngs"} <= set(saved):
            raise ValueError("Trainer: cannot resume: this is not the state of a fit")
        self._state, self._restoring, self.anew = state, Restoring(), list[str]()
        with entry("epoch"):
            epoch, finished = stored_count("it", saved["epoch"]), stored_flag("_finished", saved["_finished"])
            steps = stored_count("steps", saved["steps"])
        with entry("history"):
            rows = check_rows(saved["history"], epoch, finished)
        done = epoch if finished else epoch - 1  # an epoch that was interrupted is begun again
        self._restoring.add("model", state.model, saved["model"])
        self._add_optimizer(saved)
        with entry("rngs"):
            rng, own = state.generator(), stored_list("it", saved["rngs"])[0]
            check_generator("number 0", rng, own)

        def restore() -> None:
            rng.bit_generator.state = own  # so that the order of the first epoch is not that of the next, too
            state.history.rows, state.epoch, state.steps = rows, done, steps

        self._restoring.then(restore)
        self.place = copy.copy(state)
        self.place.epoch = done
        if (batches := count_batches(state.loader)) is not None:  # as if the epochs had had the new fit's batches
            self.place.steps = done * -(-batches // state.accumulate)

    def carry_out(self) -> None:
        """Take it."""
        self._restoring.carry_out()

    def _add_optimizer(self, saved: Mapping[str, Any]) -> None:
        """Take the optimiser's state, if it is of the same kind, with the same groups; its options are the new ones."""
        optimizer = self._state.optimizer
        if optimizer is None:
            return
        with entry("optimizer"):
            kind = stored_dict("made_of", saved["made_of"]).get("optimizer")
            given = _with_options(saved["optimizer"], optimizer.state_dict())
        if given is None or kind != self._state.kinds()["optimizer"]:
            self.anew.append("the state of the optimizer, which is of another kind or has other groups")
            return
        self._restoring.add("optimizer", optimizer, given)


def _with_options(theirs: Any, ours: Mapping[str, Any]) -> Any:
    """Return the state of an optimiser with the options of another one; None if their groups differ."""
    if "optimizers" in ours:
        given = stored_list("optimizers", stored_dict("it", theirs, "optimizers")["optimizers"])
        parts = [_with_options(one, own) for one, own in zip(given, ours["optimizers"], strict=False)]
        return (
            {"optimizers": parts} if len(parts) == len(ours["optimizers"]) == len(given) and None not in parts else None
        )
    groups = stored_list("param_groups", stored_dict("it", theirs, "param_groups", "state")["param_groups"])
    sizes = [len(stored_dict("a group", group, "params")["params"]) for group in groups]
    if sizes != [len(group["params"]) for group in ours["param_groups"]]:
        return None
    pairs = zip(groups, ours["param_groups"], strict=True)
    return {**theirs, "param_groups": [{**own, "params": group["params"]} for group, own in pairs]}
