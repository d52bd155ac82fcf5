"""Callback: hooks into a fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from .._core import Array
from ..nn import Module

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["Callback", "StopTraining"]


class StopTraining(Exception):
    """Raise this in a callback to end the fit at once but cleanly: `fit` returns the history.

    Args:
        reason: shown to the user.
    """

    def __init__(self, reason: str = "a callback asked for it") -> None:
        super().__init__(reason)


class Callback:
    """Base class: override the hooks you need. Each gets the Trainer, whose attributes tell where the fit is.

    Callbacks are called in the order in which the Trainer got them: first `on_batch_end` (or `on_epoch_end`) of all
    of them, then `on_save` of all of them. Set ``trainer.stop = True`` to end the fit after the current epoch, or raise
    `StopTraining` to end it at once. Any other exception ends the fit and reaches its caller; `on_fit_end` of every
    callback is still called, and if several raise, the first exception is the one that is raised.

    What a hook finds, and may change:

    - During an epoch the model is in training mode: a forward pass of your own draws dropout masks and moves running
      statistics. `Trainer.evaluate` and `Trainer.predict` run in evaluation mode and restore each module's mode; after
      a ``model.eval()`` of your own, restore it yourself.
    - `backward` works as outside a fit: ``model.backward(...)`` returns the gradient of the input. The next step sets
      every parameter's gradient to None and starts a new forward pass, so nothing that you leave behind enters it.
    - From `on_batch_start` to `on_batch_end` ``trainer.batches`` has the step's inputs, targets, outputs and losses,
      read-only and not copied; of a `Trainer.training_step` of your own only the inputs.
    - In `on_before_step` the gradients are complete: a change of them enters the step, and is clipped; a backward pass
      of your own adds to them. It is not called for a training step that makes its steps itself.
    - In `on_batch_end` each ``parameter.grad`` is what the optimiser used, after clipping; ``trainer.grad_norm`` is the
      norm before it. ``trainer.lr`` is the rate of that step; a schedule may have set the optimiser's to the next.
    - NumPy's settings (``np.errstate``) are the caller's: your own overflows are reported.
    - Another Trainer may fit, the same model too; `fit` of this one raises a RuntimeError.
    - Random numbers that you draw from minidl's generator shift those of the rest of the fit; take one of your own.

    Attributes:
        compared: names of attributes that must be the same when a fit is resumed.
    """

    compared: ClassVar[tuple[str, ...]] = ()

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first epoch."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before the first batch of an epoch; ``trainer.epoch`` counts from 1."""

    def on_batch_start(self, trainer: Trainer) -> None:
        """Before the first forward pass of a step; ``trainer.batches`` has its inputs and targets."""

    def on_before_step(self, trainer: Trainer) -> None:
        """After the backward pass, before gradients are clipped and the optimiser takes its step.

        If this raises, the step is not made.
        """

    def on_batch_end(self, trainer: Trainer) -> None:
        """After the optimiser's step; ``trainer.batch`` counts from 1, ``trainer.batch_loss`` is the loss.

        Not called if there was no step, because a loss was not finite and is skipped, or nothing in the batch counts.
        """

    def on_epoch_trained(self, trainer: Trainer) -> None:
        """After the epoch's last step, before its validation."""

    def on_validation_start(self, trainer: Trainer) -> None:
        """Before the validation, if there are data for it; the model has the weights by which it is judged."""

    def on_validation_end(self, trainer: Trainer) -> None:
        """After the validation; the columns "val_..." are in ``trainer.history.rows[-1]``."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """After the epoch's row, validation included, has been added to ``trainer.history``."""

    def on_save(self, trainer: Trainer) -> None:
        """After `on_batch_end` or `on_epoch_end` of all callbacks: the time to save their states."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, however the fit ended, even after Ctrl-C or an exception."""

    def judged_weights(self, trainer: Trainer) -> Mapping[str, Array] | None:
        """Return the state dict that stands for the model when it is judged; None: the model itself.

        For averages of weights. The model is validated with these weights, they are what `EarlyStopping` and
        `ModelCheckpoint` keep as the best, and the model has them when the fit ends; training goes on with its own.
        They must change only in `on_batch_end` and `on_epoch_trained`: what is kept is then what was validated.
        """
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold for the fit to continue: numbers, text, arrays, lists, dicts."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; called after `on_fit_start`.

        If this raises, the fit is not resumed, and what the callback was is restored with its `state_dict`.
        """
        self._loading(state, None)()

    def _loading(self, state: Any, model: Module | None) -> Callable[[], None]:
        """Check a state of minidl's own callbacks, without changing anything; return what restores it.

        Args:
            state: what `state_dict` returned, or anything.
            model: the fit's, if it is known.

        Raises:
            ValueError, TypeError: the callback cannot have had this state.
        """
        return lambda: None
