"""Ranks: what the ranks of a fit put together in a step: how much counts, losses, gradients, running statistics.

Each rank has computed the gradients of the sums of its samples' losses. A first sum over the ranks, of a few numbers,
says what these are to be divided by, which parameters have a gradient anywhere, and which buffers have changed; a
second one adds the gradients, in one array for each loss, and the buffers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._core import Array
from ..distributed import Group
from ..nn import Module, Parameter
from ..nn.buffers import BufferSnapshot
from ..nn.structure import rebuild
from .diagnosis import NonFinite
from .gradients import GradientBuffer

__all__ = ["Ranks", "Share"]


class Share(NamedTuple):
    """What a rank has computed of one loss."""

    weight: float  # what its mean was divided by; 0: nothing counted
    total: float  # the mean times that
    gradients: Mapping[int, Array]  # of the sum, by the id of the parameter


class Ranks:
    """The ranks of a fit.

    Args:
        group: the ranks.
        model: the same on each.
        parameters: in the same order on each.
        buffers: of the model.
    """

    def __init__(self, group: Group, model: Module, parameters: Sequence[Parameter], buffers: BufferSnapshot) -> None:
        self.group, self._model, self._parameters, self._buffers = group, model, parameters, buffers
        self._kept: dict[int, tuple[bytes, GradientBuffer]] = {}
        self.communicates = any(getattr(module, "communicates", False) for module in model.modules())

    def add_up(self, shares: Sequence[Share], samples: int, problem: NonFinite | None) -> list[Share]:
        """Return what all ranks have computed of each loss, together; the model's buffers become those of all.

        Args:
            shares: this rank's, one for each loss.
            samples: how many samples it had.
            problem: what was not finite here, if anything.

        Raises:
            NonFinite: on every rank, if something was not finite on one.
        """
        flags = [[id(p) in one.gradients for p in self._parameters] for one in shares]
        changed = self._buffers.changed()
        numbers = [number for one in shares for number in ((one.weight, one.total) if one.weight else (0.0, 0.0))]
        parts: list[Sequence[float]] = [[float(problem is not None), samples], numbers, *flags, changed]
        head = np.concatenate([np.asarray(part, np.float64) for part in parts])
        self.group.sum(head, "a step")
        if head[0]:
            self._raise(problem)
        sums = np.split(head, np.cumsum([len(part) for part in parts])[:-1])
        weights, totals = sums[1][::2].tolist(), sums[1][1::2].tolist()
        if not any(weights):
            return [Share(0.0, 0.0, {}) for _ in shares]
        whole = [self._together(n, one.gradients, sums[2 + n] > 0) for n, one in enumerate(shares)]
        statistics = self._buffers.weighted(sums[-1] > 0, samples, first=self.group.rank == 0)
        arrays = [array for _, buffer in whole for array in buffer.flat]
        self.group.sums([*arrays, *([statistics] if statistics.size else [])], "a step")
        self._buffers.average(sums[-1] > 0, statistics, float(sums[0][1]))
        return [
            Share(weight, total, dict(zip(map(id, parameters), buffer.gradients, strict=True)))
            for weight, total, (parameters, buffer) in zip(weights, totals, whole, strict=True)
        ]

    def _together(
        self, number: int, gradients: Mapping[int, Array], given: Array
    ) -> tuple[list[Parameter], GradientBuffer]:
        """Return the parameters of which a rank has a gradient of this loss, and the buffer with this rank's."""
        parameters = [parameter for parameter, there in zip(self._parameters, given, strict=True) if there]
        known, buffer = self._kept.get(number, (b"", None))
        if buffer is None or known != given.tobytes():
            buffer = GradientBuffer(parameters)
            self._kept[number] = given.tobytes(), buffer
        buffer.put([gradients.get(id(parameter)) for parameter in parameters])
        return parameters, buffer

    def _raise(self, problem: NonFinite | None) -> None:
        """Raise what was not finite on the first of the ranks that have met with something."""
        found = self.group.collect(None if problem is None else (problem.what, problem.where))
        for rank, one in enumerate(found):
            if one is not None:
                raise NonFinite(one[0], f"{one[1]}; on rank {rank}")

    def pass_on(self, output: Any) -> None:
        """Go back through a model whose layers communicate, with nothing: the other ranks wait for this one there."""
        if self.communicates:
            zeros = rebuild(output, np.zeros_like)
            self._model.backward(zeros)
