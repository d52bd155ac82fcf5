"""Learning: which parts of a module are trained, and whether it is in training mode. The part of Module about modes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from .._core import check_flag
from .modes import mode

if TYPE_CHECKING:
    from .parameter import Parameter

__all__ = ["Learning"]

Self = TypeVar("Self", bound="Learning")


class Learning:
    """What `Module` is about modes: it adds `modules` and `params`."""

    _frozen: bool = False

    def modules(self) -> Iterator[Any]:
        """Yield this module and every descendant."""
        raise NotImplementedError

    def params(self) -> Iterator[Parameter]:
        """Yield every Parameter of this module and its descendants."""
        raise NotImplementedError

    @property
    def training(self) -> bool:
        """True in training mode, False in evaluation mode (see `train` and `eval`) and while frozen (see `freeze`)."""
        return self._mode() and not self._frozen

    @training.setter
    def training(self, training: bool) -> None:
        here = mode.training
        if here is not None and id(self) in here:
            here[id(self)] = training
        else:
            self.__dict__["training"] = training

    def _mode(self) -> bool:
        """Return the mode that was set last, which holds while the module is not frozen."""
        own: bool = self.__dict__.get("training", True)
        here = mode.training
        return own if here is None else here.get(id(self), own)

    def train(self: Self, mode: bool = True) -> Self:
        """Set training mode (or evaluation mode with False) here and in every descendant; return self.

        A module that is frozen notes the mode, which holds once it is no longer frozen.
        """
        check_flag(type(self).__name__, "train mode", mode)
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Set evaluation mode here and in every descendant; return self."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Let every parameter, here and below, be trained, or not (False); return self.

        Buffers and modes are as before: in training mode a BatchNorm goes on updating its running statistics and
        normalises with the batch's, and Dropout drops. `freeze` stops these too.
        """
        for parameter in self.params():
            parameter.requires_grad = requires_grad
        return self

    def freeze(self: Self) -> Self:
        """Stop all learning, here and below, until `unfreeze`; return self.

        No parameter is trained (`requires_grad_`), and every module behaves as in evaluation mode whatever `train`
        says: running statistics do not move and are what is normalised with, dropout is off. Gradients still pass
        through; a net whose input gradient is not wanted stops its backward pass behind the frozen layers in front, and
        these save nothing. Modules and Parameters added later are not frozen. A state dict does not tell; `repr`, a
        copy and a pickle do.
        """
        for module in self.modules():
            module._frozen = True
        return self.requires_grad_(False)

    def unfreeze(self: Self) -> Self:
        """End what `freeze` did: train every parameter here and below, in the mode last set; return self."""
        for module in self.modules():
            module._frozen = False
        return self.requires_grad_(True)
