"""The 8x8 digits that are bundled with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .dataset import ArrayDataset, is_for_testing

__all__ = ["load_digits"]


def load_digits() -> tuple[ArrayDataset, ArrayDataset]:
    """Load 1,797 handwritten digits of 8x8 pixels, which are bundled with the package.

    The split is fixed and stratified: every fifth image of each class, in the file's order, is in the test set.

    Returns:
        (train, test), 1,442 and 355 samples: images (N, 1, 8, 8) float32 in [0, 1], labels (N,) int64 from 0 to 9.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998, https://doi.org/10.24432/C50P49, licensed under CC BY 4.0; its test part.
    """
    with np.load(Path(__file__).with_name("digits.npz")) as archive:
        images = archive["images"][:, None].astype(np.float32) / np.float32(16)
        labels = archive["labels"].astype(np.int64)
    in_test = is_for_testing(labels)
    classes = [str(digit) for digit in range(10)]
    train, test = (ArrayDataset(images[part], labels[part], classes=classes) for part in (~in_test, in_test))
    return train, test
