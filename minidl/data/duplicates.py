"""Duplicates: images that are the same, or look the same, found by what is noted of each of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from .._core import Array

__all__ = ["ALIKE", "SMALLEST", "digest", "look_alike", "same", "thumbnail"]

SMALLEST = 32  # pixels of a side: below it, images that differ look alike on their thumbnails
ALIKE = 0.98  # correlation of two thumbnails from which on their images look the same
_SIDE = 16  # of a thumbnail
_ROWS = 1024
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # as Pillow makes grey of RGB


def digest(image: Array) -> bytes:
    """Return what identifies an image's pixels: equal for equal pixels, and for no others that will be met."""
    return hashlib.blake2b(repr(image.shape).encode() + image.tobytes(), digest_size=16).digest()


def thumbnail(image: Array) -> Array:
    """Return what stays of an image if it is saved again, resized, or made brighter or darker: a perceptual hash.

    The image in grey, averaged over 16 x 16 areas, has its mean subtracted and is divided by its norm, so that the
    product of two thumbnails is their correlation.

    Args:
        image: (C, H, W).

    Returns:
        (256,) float32; zeros for an image without contrast, which resembles none.
    """
    grey = np.tensordot(_LUMA, image, 1) if len(image) == 3 else image.mean(axis=0)
    areas = _averages(grey.shape[0]) @ grey @ _averages(grey.shape[1]).T
    centred = (areas - areas.mean()).ravel()
    norm = float(np.linalg.norm(centred))
    contrast = norm > 1e-3 * _SIDE
    return np.asarray(centred / norm if contrast else np.zeros_like(centred), np.float32)


def same(digests: list[bytes]) -> list[list[int]]:
    """Return the groups of two images or more that have the same digest, as their indices."""
    groups: dict[bytes, list[int]] = {}
    for index, one in enumerate(digests):
        groups.setdefault(one, []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def look_alike(thumbnails: Array) -> Iterator[list[tuple[int, int, float]]]:
    """Compare all images with all others, some at a time.

    Args:
        thumbnails: (N, 256).

    Yields:
        The pairs (i, j, correlation) with i < j that look alike, for each 1,024 images i.
    """
    for begin in range(0, len(thumbnails), _ROWS):
        likeness = thumbnails[begin : begin + _ROWS] @ thumbnails[begin:].T
        found = zip(*np.nonzero(likeness >= ALIKE), strict=True)
        yield [(begin + int(i), begin + int(j), float(likeness[i, j])) for i, j in found if i < j]


def _averages(size: int) -> Array:
    """Return the matrix (16, size) that averages ``size`` pixels over 16 intervals of equal length."""
    edges = np.linspace(0, size, _SIDE + 1)
    pixel = np.arange(size)
    shares = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.asarray(np.maximum(0, shares) * _SIDE / size, np.float32)
