"""A custom training step: what it may return, and the step that is made from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..nn import Module
from ..nn.loss_value import LossValue
from .batches import Batch, BatchForm
from .diagnosis import NonFinite, first_non_finite_parameter
from .hooks import Hooks
from .numbers import Logged, as_numbers
from .objective import Objective, call, total
from .place import Place
from .ranks import Share
from .step import Step, samples_of

__all__ = ["OwnStep", "TrainingStep"]


class TrainingStep(Place):
    """The part of a Trainer that makes a step; a subclass overrides `training_step` to train in its own way."""

    model: Module
    loss: Module
    optimizer: Any
    clip_grad_norm: float | None
    form: BatchForm
    _hooks: Hooks

    def training_step(self, batch: Any) -> Any:
        """Return the loss of a batch; override this to train in another way than by a loss of outputs and targets.

        There are two ways. **Automatic**: return the loss, whose ``backward()`` the Trainer calls before it clips the
        gradients and lets every optimiser take a step; gradients are None before. **Manual**: call ``backward()``, and
        ``zero_grad()`` and ``step()`` of the optimisers, yourself, as often as you like, and return
        ``self.done(loss)``, or None. Then ``accumulate`` and ``clip_grad_norm`` are yours to do as well, and refused.

        Losses are means over the samples of the batch. Validation, `evaluate` and `predict` stay as they are.

        Args:
            batch: what the loader gives, as it is.

        Returns:
            The loss, as losses and their sums give it; or a dict with "loss" and other numbers, each a column of the
            history: "train_NAME"; or, if the step has been made, ``self.done(...)`` or None.
        """
        x, target, *weights = self.form.split(batch)
        objective = Objective(self.loss)
        done = objective.measure(call(self.model, x), target, *weights, walked=True)
        return total(objective.parts, done) if done.counts else LossValue(math.nan, ())

    def done(self, loss: float = math.nan, **numbers: float) -> Logged:
        """Return, from a `training_step` that has made its steps itself, what it has measured.

        Args:
            loss: the column "train_loss", if there is one.
            **numbers: other columns of the history, "train_NAME".
        """
        return Logged(as_numbers({**({} if math.isnan(loss) else {"loss": loss}), **numbers}))

    def _new_step(self, optimizer: Any) -> Step:
        """Return what makes the steps of a fit."""
        if self.state.own_step:
            step: Step = OwnStep(self, optimizer, self.clip_grad_norm)
        else:
            step = Step(self.model, Objective(self.loss), optimizer, self.clip_grad_norm, self.state.group)
        if self._hooks.of("on_before_step"):
            step.before = self._before_step
        return step

    def _before_step(self, done: Sequence[Any]) -> None:
        assert self._step is not None
        (self.state.batch_loss, _), self._done = self._step.whole, done
        self._hooks.call(self, "on_before_step")  # type: ignore[arg-type]


class OwnStep(Step):
    """A step by a Trainer's own `training_step`.

    Args:
        trainer: whose step it is.
        optimizer: one, or several.
        clip_grad_norm: upper limit for the norm of all gradients together; None for no limit.
    """

    def __init__(self, trainer: TrainingStep, optimizer: Any, clip_grad_norm: float | None) -> None:
        super().__init__(trainer.model, Objective(trainer.loss), optimizer, clip_grad_norm, trainer.state.group)
        self.trainer = trainer

    def __call__(self, batches: Sequence[Batch]) -> list[Any]:
        """Make one step from all the batches; return what they have measured.

        Raises:
            NonFinite: a loss or a gradient is not finite.
            TypeError: a training step returned something else than a loss, a dict with one, or what it has done.
        """
        self._buffers.take()
        self._clear()
        before = [parameter.changed for parameter in self._parameters]
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                found, automatic = self._make(batches)
                if self._ranks is None:
                    self.whole = self.mean(found)
                if automatic and self.before is None:
                    self._clip_and_step()
            if automatic and self.before is not None:
                self._ask_and_step(self.before, found)
            return found
        except BaseException:
            if before == [parameter.changed for parameter in self._parameters]:  # otherwise the step is made in part
                self._buffers.restore()
            raise

    def _make(self, batches: Sequence[Batch]) -> tuple[list[Any], bool]:
        """Call the training step on each batch; return what was measured, and whether the Trainer makes the step."""
        found, automatic, share_out = list[Logged](), False, len(batches) > 1 or self._ranks is not None
        whole, total = 0.0, 0.0
        for batch in batches:
            samples = samples_of(batch)
            if not samples:  # of a share
                self._go_along(batch)
                continue
            result = self.trainer.training_step(batch)
            if result is None or isinstance(result, Logged):
                self._check_manual(result)
                found.append(Logged(result.numbers if result else {}, samples))
                continue
            numbers = dict(result) if isinstance(result, Mapping) else {"loss": result}
            loss = self._checked_loss(numbers.get("loss"), result)
            weight = _divisor(loss, samples) if loss.terms else 0.0
            if not weight:  # nothing counts
                continue
            automatic = True
            found.append(Logged(as_numbers({**numbers, "loss": float(loss)}), samples, weight))
            whole, total = whole + weight, total + weight * float(loss)
            (loss * weight if share_out else loss).backward()
        if self._ranks is not None:
            share = Share(whole, total, self._gradients())
            (share,) = self._ranks.add_up([share], sum(map(samples_of, batches)), self._take_problem())
            whole, automatic = share.weight, share.weight > 0
            self.whole = self.objective.mean_of([share])
            for parameter in self._all():
                parameter.grad = share.gradients.get(id(parameter))
        if automatic:
            if share_out:
                for parameter in self._all():
                    if parameter.grad is not None:
                        parameter.grad *= 1 / whole
            self.grad_norm = self._check_gradients()
            if not self._idle_told:
                self._idle_told = True
                self._tell_idle()
        elif not found:
            self._buffers.restore()
        return found, automatic

    def _go_along(self, batch: Batch) -> None:
        """Go through a share without samples as the others do through theirs, if layers wait for each other there."""
        if self._ranks is not None and self._ranks.communicates:
            x, *_ = self.trainer.form.split(batch)
            self._ranks.pass_on(call(self.model, x))

    def _checked_loss(self, loss: Any, result: Any) -> LossValue:
        if not isinstance(loss, LossValue):
            what = f"{type(result).__name__} without a loss" if loss is None else f"{type(loss).__name__} as the loss"
            raise TypeError(
                f"Trainer.training_step: it returned a {what}; return the loss that a loss function gave, or a dict "
                "with 'loss', or self.done(...) if it has made the step itself"
            )
        if loss.terms and not math.isfinite(loss) and _divisor(loss, 1):
            where = first_non_finite_parameter(self.model) or "training_step() returned it"
            problem = NonFinite(f"the loss is {float(loss)}", where)
            if self._ranks is None:
                raise problem
            self._problem = self._problem or problem
        return loss

    def _check_manual(self, result: Logged | None) -> None:
        if self._ranks is not None:
            raise ValueError(
                "Trainer: with several ranks the Trainer makes the steps, from the gradients of all of them; let this "
                "training_step return the loss instead of making steps itself"
            )
        if self.clip_grad_norm is not None:
            raise ValueError(
                "Trainer: clip_grad_norm is for steps that the Trainer makes; this training_step makes them itself, "
                "and calls optim.clip_grad_norm_ where it wants"
            )
        if self.trainer.accumulate > 1:  # type: ignore[attr-defined]
            raise ValueError(
                "Trainer: accumulate is for steps that the Trainer makes; this training_step makes them itself"
            )
        for name, value in (result.numbers if result else {}).items():
            if not math.isfinite(value):
                raise NonFinite(f"{name} is {value}", "training_step() has made the step itself")

    def mean(self, done: Sequence[Any]) -> tuple[float, bool]:
        """Return the loss of several batches together, NaN if it is not known; and whether anything counted."""
        known = [one for one in done if "loss" in one.numbers]
        whole = sum(one.weight for one in known)
        return (sum(one.numbers["loss"] * one.weight for one in known) / whole if whole else math.nan), bool(done)


def _divisor(loss: LossValue, samples: int) -> float:
    """Return what a loss that is a mean was divided by, if it is one loss that tells; otherwise the samples."""
    if len(loss.terms) != 1:
        return samples
    record = loss.terms[0][0][0]()
    divisor = None if record is None else getattr(record.module(), "divisor", None)
    return samples if divisor is None else float(divisor)
