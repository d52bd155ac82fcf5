"""LoadedModel: a model with its classes and preprocessing, from image files to names and probabilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._core import Array, printable
from ..data.unreadable import UnreadableImageError
from ..functional import softmax_forward
from ..inference.repeated import Repeated
from ..nn import Module
from ..nn.modes import evaluating
from ..nn.summary import model_dtype
from .preprocessing import Preprocessing

__all__ = ["LoadedModel", "Predictions", "guesses"]


@dataclass(frozen=True, repr=False)
class Predictions:
    """What a model says about images.

    Attributes:
        images: their names: files, or numbers in an array.
        classes: the C classes' names.
        probabilities: (N, C).
    """

    images: list[str]
    classes: list[str]
    probabilities: Array

    @property
    def names(self) -> list[str | None]:
        """The most probable class of each image; None where the model's output is NaN."""
        return [row[0][0] if row else None for row in self.top(1)]

    def top(self, k: int = 3) -> list[list[tuple[str, float]]]:
        """Return for each image the k most probable classes with their probabilities; none where those are NaN."""
        found = []
        for row in self.probabilities:
            order = () if np.isnan(row).any() else np.argsort(-row, kind="stable")[:k]
            found.append([(self.classes[c], float(row[c])) for c in order])
        return found

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return "\n".join(
            f"{printable(name)}: {guesses(row)}" for name, row in zip(self.images, self.top(), strict=True)
        )


def guesses(row: Sequence[tuple[str, float]]) -> str:
    """Return classes and probabilities as text."""
    text = ", ".join(f"{printable(name)} {100 * p:.1f} %" for name, p in row)
    return text or "no class, the output of the model is NaN"


class LoadedModel:
    """A model that was loaded, in evaluation mode.

    Attributes:
        model: the module; its weights can be trained on.
        classes: the classes' names, in the order of the outputs; empty if it has none.
        preprocess: what becomes of images before the model sees them; None if that is not known.
        input_shapes: one for each input, batch axis included; none if that is not known.
    """

    def __init__(
        self,
        model: Module,
        classes: Sequence[str],
        preprocess: Preprocessing | None,
        input_shapes: Sequence[tuple[int, ...]] = (),
    ) -> None:
        self.model, self.classes, self.preprocess = model, list(classes), preprocess
        self.input_shapes = tuple(input_shapes)

    def predict(self, images: Any) -> Predictions:
        """Classify images; print the result, or look at its `names` and `probabilities`.

        Args:
            images: an array (N, C, H, W) or (C, H, W) of values in [0, 1]; the path of an image file, of a folder of
                them, or of a .npy file; or a list of such. Files are resized (extra: images).

        Raises:
            ValueError: the model has no classes, or no preprocessing; call ``model`` itself. Or images have another
                shape or other values.
            FileNotFoundError, ImportError, TypeError: as for `minidl.data.read_image`.
        """
        names, rows = list[str](), list[Array]()
        for some, _, probabilities in self.batches(images):
            names += some
            rows.append(probabilities)
        return Predictions(names, self.classes, np.concatenate(rows) if rows else np.zeros((0, len(self.classes))))

    def batches(
        self, images: Any, skipped: Counter[str] | None = None, broken: list[UnreadableImageError] | None = None
    ) -> Iterator[tuple[list[str], Array, Array]]:
        """Yield (names, images (N, C, H, W), probabilities (N, C)) of a batch after another, as `predict` takes them.

        Args:
            images: as for `predict`.
            skipped: counts what is skipped in folders, by reason.
            broken: gets the errors of image files that cannot be read, which are left out; None: the first is raised.
        """
        if not self.classes or self.preprocess is None:
            lack = "preprocess={'shape': (C, H, W)}" if self.classes else "classes=[...]"
            raise ValueError(f"predict: the model was saved without {lack}; give it to save_model, or call model(x)")
        forward = Repeated(self.model)
        for names, batch in self.preprocess.read(images, skipped, broken):
            yield names, batch, self.probabilities(batch, forward)

    def probabilities(self, images: Array, forward: Callable[[Array], Array] | None = None) -> Array:
        """Return the probabilities (N, C) of a batch of images (N, C, H, W) with values in [0, 1].

        Args:
            images: of the shape that the model takes.
            forward: calls the model, perhaps in a faster way; None: the model itself.
        """
        x = images if self.preprocess is None else self.preprocess.applied(images, model_dtype(self.model))
        with evaluating(self.model), np.errstate(over="ignore", invalid="ignore"):
            logits = self.model(x) if forward is None else forward(x)
            return softmax_forward(np.ascontiguousarray(logits), axis=1)[0]

    def __repr__(self) -> str:
        return f"LoadedModel({type(self.model).__name__}, {len(self.classes)} classes, {self.preprocess})"
