"""HealthMonitor: the callback that watches the layers while they train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .._core import Array, check_int
from ..nn import Module
from ..nn.hooks import RemovableHandle
from ..optim.stored import stored_count, stored_dict, stored_list
from .callback import Callback
from .layer_health import LayerHealth, LayerSums
from .verdicts import Verdict, health_text, judge

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["HealthMonitor"]


class HealthMonitor(Callback):
    """Watch each layer while it trains, and say what is out of the ordinary and what helps.

    Of each module without children, and each with parameters of its own: range, mean and standard deviation of its
    outputs; the share of dead units of a ReLU and of saturated outputs of a sigmoid or tanh; the norm of its gradient;
    and the size of a step relative to its weights. When the fit ends, a table of the last epoch is printed with the
    verdicts: dead, saturated, vanishing, exploding, not learning. Activations that are functions, as `F.relu`, are seen
    in what comes behind them only. The training stays the same, bit for bit.

    Args:
        every: one of so many steps is watched, and the first of each epoch.

    Attributes:
        rows: for each epoch a list of `LayerHealth`, one for each layer.

    Raises:
        TypeError, ValueError: ``every`` is not a positive integer.
    """

    compared = ("every",)

    def __init__(self, every: int = 10) -> None:
        self.every = check_int("HealthMonitor", "every", every)
        self.rows: list[list[LayerHealth]] = []
        self._sums: list[LayerSums] = []
        self._watched = 0  # steps of this epoch
        self._handles: list[RemovableHandle] = []
        self._before: list[list[Array]] = []

    @property
    def layers(self) -> list[LayerHealth]:
        """The layers in the last finished epoch; before the end of the first, so far."""
        return self.rows[-1] if self.rows else [sums.result() for sums in self._sums] if self._watched else []

    @property
    def verdicts(self) -> list[Verdict]:
        """What is out of the ordinary in them: (layer, what, text), and ``helps``, what helps."""
        return judge(self.layers)

    def report(self) -> str:
        """Return the table of the layers and the verdicts as text."""
        return health_text(self.layers)

    def on_fit_start(self, trainer: Trainer) -> None:
        """Start over."""
        self.rows, self._sums = [], []
        for name, module in trainer.model.named_modules():
            own = [parameter for path, parameter in module.named_params() if "." not in path]
            if own or not any(module.children()):
                trained = [parameter for parameter in own if parameter.requires_grad]
                self._sums.append(LayerSums(name, module, trained))
        self._clear()

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Start the epoch's sums."""
        self._clear()

    def on_batch_start(self, trainer: Trainer) -> None:
        """Watch the step if it is its turn."""
        self._look_away()
        if self._watched and trainer.steps % self.every:
            return
        self._watched += 1
        for sums in self._sums:

            def see(module: Module, inputs: tuple[Any, ...], output: Any, sums: LayerSums = sums) -> None:
                sums.see(output)

            self._handles.append(sums.module.register_forward_hook(see))

    def on_before_step(self, trainer: Trainer) -> None:
        """Measure the gradients, and keep the weights for a moment."""
        if not self._handles:
            return
        self._look_away()
        for sums in self._sums:
            if sums.parameters:
                sums.see_gradient()
        self._before = [[parameter.data.copy() for parameter in sums.parameters] for sums in self._sums]

    def on_batch_end(self, trainer: Trainer) -> None:
        """Measure the step."""
        for sums, before in zip(self._sums, self._before, strict=False):
            if sums.parameters:
                sums.see_update(before)
        self._look_away()

    def on_epoch_trained(self, trainer: Trainer) -> None:
        """Leave the validation alone."""
        self._look_away()

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Record the epoch."""
        self.rows.append([sums.result() for sums in self._sums])
        self._clear()

    def on_fit_end(self, trainer: Trainer) -> None:
        """Print the table and the verdicts."""
        self._look_away()
        if self.layers:
            trainer.progress.line(f"the layers in epoch {len(self.rows) or 1}:\n{self.report()}")

    def state_dict(self) -> dict[str, Any]:
        """The rows, and the sums of the current epoch."""
        rows = [[asdict(layer) for layer in row] for row in self.rows]
        return {"rows": rows, "watched": self._watched, "sums": [sums.state_dict() for sums in self._sums]}

    def _loading(self, state: Any, model: Module | None) -> Callable[[], None]:
        name = "HealthMonitor"
        own = stored_dict(name, state, "rows", "watched", "sums")
        rows = [
            [LayerHealth.restored(f"{name}: rows", layer) for layer in stored_list(f"{name}: rows", row)]
            for row in stored_list(f"{name}: rows", own["rows"])
        ]
        watched = stored_count(f"{name}: watched", own["watched"])
        # before the fit has begun, the layers are not known yet
        known = len(self._sums) if self._sums else None
        stored = stored_list(f"{name}: sums", own["sums"], known)
        parts = [sums.restoring(f"{name}: sums", one) for sums, one in zip(self._sums, stored, strict=False)]

        def restore() -> None:
            self.rows, self._watched = rows, watched
            for part in parts:
                part()

        return restore

    def _look_away(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._before = [], []

    def _clear(self) -> None:
        self._look_away()
        self._watched = 0
        for sums in self._sums:
            sums.clear()
