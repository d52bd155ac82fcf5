"""One training step: forward, loss, backward for one or more batches, then clipping and the optimiser."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._core import Array
from ..distributed import Group
from ..nn import Module, Parameter
from ..nn.batch_loss import BatchLoss
from ..nn.buffers import BufferSnapshot
from ..nn.modes import without_input_grad
from ..nn.record import has_backward
from ..nn.structure import leaves, rebuild
from ..optim import Optimizer, clip_grad_norm_
from .batches import Batch
from .diagnosis import NonFinite, first_non_finite
from .objective import Done, Objective, call, total
from .optimizers import Optimizers
from .ranks import Ranks, Share

__all__ = ["Step", "grad_norms", "samples_of"]


class Step:
    """One step of the optimiser from one or more batches: several small ones give what one large one would.

    Except with batch normalisation, which takes its statistics from each batch by itself.

    Args:
        model, objective, optimizer: what is trained, and by what.
        clip_grad_norm: upper limit for the norm of all gradients together; None for no limit.
        group: the ranks that make each step together, from their shares of the batches; None: one process.

    Attributes:
        whole: the loss of the last step, of all batches and ranks together, and whether anything counted.
        grad_norm: norm of all gradients together in the last step, before clipping.
        before: called with what the batches gave, when the gradients are complete and not clipped yet; or None.
    """

    before: Callable[[Sequence[Any]], None] | None = None

    def __init__(
        self,
        model: Module,
        objective: Objective,
        optimizer: Optimizer | Optimizers,
        clip_grad_norm: float | None,
        group: Group | None = None,
    ) -> None:
        self.model, self.objective, self.optimizer, self.clip_grad_norm = model, objective, optimizer, clip_grad_norm
        self.loss = objective.loss
        self._explicit = len(objective.parts) == 1 and has_backward(self.loss)
        self._sums: list[dict[int, Array]] = []
        self._idle_told = False
        self.grad_norm = math.nan
        # found once: searching the model takes as long as a small layer
        self._buffers, self._parameters = BufferSnapshot(model), list(model.params())
        self._ranks = None if group is None else Ranks(group, model, self._all(), self._buffers)
        self._problem: NonFinite | None = None
        self.whole = (math.nan, False)

    def __call__(self, batches: Sequence[Batch]) -> list[Done]:
        """Make one step from all the batches; return the losses, output and target of each that is not empty.

        The gradient of the training data is not computed, and an overflow is reported with the loss, not as a warning;
        both for the duration of the step only, so that callbacks and loaders see nothing of it.

        Batches of which nothing counts add nothing. If there are no others there is no step, and running statistics
        stay as they were. If the step fails, for whatever reason, parameters, buffers and optimiser are as they were
        before it.

        Raises:
            NonFinite: a loss or a gradient is not finite.
        """
        self._buffers.take()
        self._clear()
        with without_input_grad(self.model), np.errstate(over="ignore", invalid="ignore"):
            done = self._run(batches)
            complete = self.whole[1]
            if complete and self.before is None:
                self._clip_and_step()
        if complete and self.before is not None:
            self._ask_and_step(self.before, done)
        return done

    def mean(self, done: Sequence[Any]) -> tuple[float, bool]:
        """Return the loss of several batches together, and whether anything counted in them."""
        return self.objective.mean(done)

    def _clear(self) -> None:
        self.optimizer.zero_grad()
        for parameter in self._parameters:  # including those that the optimiser does not have
            parameter.grad = None

    def _run(self, batches: Sequence[Batch]) -> list[Done]:
        try:
            share_out = len(batches) > 1 or self._ranks is not None
            if share_out:
                self._sums = [{} for _ in self.objective.parts]
            done = [one for batch in batches if (one := self._backward(batch, share_out)) is not None]
            shares = self._shares(done) if share_out else []
            if self._ranks is not None:
                shares = self._ranks.add_up(shares, sum(map(samples_of, batches)), self._take_problem())
                self.whole = self.objective.mean_of(shares)
            else:
                self.whole = self.objective.mean(done)
            if not self.whole[1]:
                self._buffers.restore()
                return done
            if share_out:
                self._share_out(shares)
            self.grad_norm = self._check_gradients()
            if not self._idle_told and all(loss.weight for one in done for loss in one.losses):
                self._idle_told = True
                self._tell_idle()
        except BaseException:  # also Ctrl-C: running statistics and parameters belong together
            self._buffers.restore()
            raise
        return done

    def _ask_and_step(self, before: Callable[[Sequence[Any]], None], done: Sequence[Any]) -> None:
        """Call `before`, where nothing holds that is for the duration of a step only; then make the step.

        Several ranks make it if `before` has let all of them.
        """
        try:
            before(done)
            if self._ranks is not None:
                self._ranks.group.meet("a step")
        except BaseException:
            self._buffers.restore()
            raise
        with np.errstate(over="ignore", invalid="ignore"):
            self._clip_and_step()

    def _clip_and_step(self) -> None:
        if self.clip_grad_norm is not None:
            clip_grad_norm_(self._trained(), self.clip_grad_norm)
        self.optimizer.step()

    def _tell_idle(self) -> None:
        """Warn if parameters that are to be trained got no gradient from the first step."""
        trained = {id(parameter) for parameter in self._trained()}
        idle = [
            name
            for name, parameter in self.model.named_params()
            if parameter.grad is None and parameter.requires_grad and id(parameter) in trained
        ]
        if idle:
            more = f" and {len(idle) - 6} more" if len(idle) > 6 else ""
            warnings.warn(
                f"Trainer.fit: no gradient came to {', '.join(map(repr, idle[:6]))}{more} in the first step: the loss "
                "does not depend on them, and they are not trained; use them in forward, or leave them out",
                UserWarning,
                stacklevel=2,
            )

    def _backward(self, batch: Batch, share_out: bool) -> Done | None:
        """Go through a batch, there and back; return what it gave, None if it is a share without samples."""
        x, target, *weights = batch
        if self._ranks is not None and not samples_of(batch):
            if self._ranks.communicates:
                self._ranks.pass_on(call(self.model, x))
            return None
        output = self.model(x) if type(x) is np.ndarray else call(self.model, x)
        explicit = self._explicit and type(output) is np.ndarray
        done = self.objective.measure(output, target, *weights, walked=not explicit)
        for number, loss in enumerate(done.losses):
            if loss.weight and not math.isfinite(loss.mean):
                key = self.objective.parts[number].key
                of = "" if key is None else f" of {key!r}"
                self._note(f"the loss{of} is {loss.mean}", x)
        if self._problem is not None and self._ranks is not None and not self._ranks.communicates:
            return done
        if self._ranks is not None and not done.counts:
            self._walk_back_with_nothing(output)
        elif explicit:
            self._walk_back(done.losses[0], output, share_out)
        elif done.counts and (len(done.losses) == 1 or not share_out):
            total(self.objective.parts, done, shared_out=share_out).backward()
        else:
            self._walk_back_each(done)
        return done

    def _note(self, what: str, x: Any) -> None:
        """Raise that something is not finite; or keep it until all ranks have come so far: they wait for each other.

        The search is a pass of its own, after which there is no way back through the one before.
        """
        searches = self._ranks is None or not self._ranks.communicates
        where = first_non_finite(self.model, x) if searches else "in its share of the batch"
        if self._ranks is None:
            raise NonFinite(what, where)
        self._problem = self._problem or NonFinite(what, where)

    def _take_problem(self) -> NonFinite | None:
        problem, self._problem = self._problem, None
        return problem

    def _walk_back(self, loss: BatchLoss, output: Array, share_out: bool) -> None:
        """Go back from one loss, with a backward pass of its own, of one output."""
        if not loss.weight:
            return
        gradient = loss.gradient
        if share_out and loss.is_mean:
            # of the sum, to be divided once all batches are done
            gradient = gradient * np.asarray(loss.weight, np.asarray(gradient).dtype)
        grad_output = self.loss.backward(gradient)
        if grad_output.dtype != output.dtype:
            name = type(self.loss).__name__
            raise TypeError(f"Trainer: {name}.backward() gives {grad_output.dtype} for {output.dtype} predictions")
        self.model.backward(grad_output)

    def _walk_back_with_nothing(self, output: Any) -> None:
        """Go back from a share of which nothing counts: its samples use parameters, whose gradients are 0, not None."""
        self.model.backward(rebuild(output, np.zeros_like))
        if len(self.objective.parts) > 1:
            for number, gradient in self._gradients().items():
                self._sums[0].setdefault(number, gradient)
            for parameter in self._all():
                parameter.grad = None

    def _walk_back_each(self, done: Done) -> None:
        """Go back from each loss by itself, of one batch of several: each is to be divided by another number."""
        counting = [n for n, loss in enumerate(done.losses) if loss.weight]
        for number in counting:
            loss = done.losses[number]
            ((loss.weight if loss.is_mean else 1.0) * loss.value).backward(retain_graph=number != counting[-1])
            sums = self._sums[number]
            for parameter in self._all():
                if parameter.grad is not None:
                    before = sums.get(id(parameter))
                    sums[id(parameter)] = parameter.grad if before is None else before + parameter.grad
                    parameter.grad = None

    def _shares(self, done: Sequence[Done]) -> list[Share]:
        """Return what the batches have given, for each loss: of one, gradients are in the parameters."""
        if len(self.objective.parts) == 1:
            self._sums = [self._gradients()]
        shares = []
        for number, sums in enumerate(self._sums):
            losses = [one.losses[number] for one in done if one.losses[number].weight]
            weight = float(sum(loss.weight for loss in losses))
            shares.append(Share(weight, float(sum(loss.mean * loss.weight for loss in losses)), sums))
        return shares

    def _share_out(self, shares: Sequence[Share]) -> None:
        """Divide the gradients of the sums of losses, of all batches, by what their means are divided by."""
        for part, one in zip(self.objective.parts, shares, strict=True):
            scale = 1 / one.weight if one.weight and getattr(part.loss, "is_mean", True) else 1.0
            for parameter in self._all():
                if (grad := one.gradients.get(id(parameter))) is None:
                    continue
                if len(shares) > 1:
                    parameter.add_grad(grad * grad.dtype.type(part.weight * scale))
                    continue
                parameter.grad = grad
                if scale != 1.0:
                    parameter.grad *= scale

    def _gradients(self) -> dict[int, Array]:
        return {id(p): p.grad for p in self._all() if p.grad is not None}

    def _all(self) -> list[Parameter]:
        """Return the parameters of the model, and what else the optimiser has, such as the loss's."""
        return list({id(p): p for p in (*self._parameters, *self._trained())}.values())

    def _trained(self) -> list[Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def _check_gradients(self) -> float:
        """Return the norm of all gradients together; raise NonFinite if one is not finite."""
        grads = [p.grad.reshape(-1) for p in self._trained() if p.grad is not None]
        total = sum(float(np.vdot(grad, grad)) for grad in grads)
        if not math.isfinite(total):  # perhaps only the squares overflow
            broken = [name for name, p in self.model.named_params() if p.grad is not None and not _finite(p.grad)]
            if broken:
                raise NonFinite(
                    "a gradient is not finite",
                    f'the first in the backward pass is that of "{broken[-1]}"; norms by parameter: '
                    + ", ".join(f"{name} {norm:.3g}" for name, norm in grad_norms(self.model).items()),
                )
            return math.sqrt(sum(float(np.vdot(g, g)) for g in (grad.astype(np.float64) for grad in grads)))
        return math.sqrt(total)


def samples_of(batch: Any) -> int:
    """Return the number of samples in a batch, 1 if it does not tell."""
    first: Any = next(leaves(batch), None)
    return len(first) if np.ndim(first) else 1


def _finite(array: Array) -> bool:
    return bool(np.isfinite(array).all())


def grad_norms(model: Module) -> dict[str, float]:
    """Return the Euclidean norm of each parameter's gradient by name, without those that have none."""
    return {
        name: float(np.linalg.norm(p.grad.astype(np.float64))) for name, p in model.named_params() if p.grad is not None
    }
