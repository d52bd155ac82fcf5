"""Points in the plane that a straight line does not divide: what a first network learns, and one can see it learn."""

from __future__ import annotations

import numpy as np

from .._core import Array, check_int, check_number, default_rng
from .naming import named

__all__ = ["make_circles", "make_moons", "make_spirals", "make_xor"]


def make_moons(
    n_samples: int = 100, *, noise: float = 0.0, rng: np.random.Generator | None = None
) -> tuple[Array, Array]:
    """Make two half circles that reach into each other, as scikit-learn does.

    Class 0 lies on (cos t, sin t), class 1 on (1 - cos t, 1/2 - sin t), for t from 0 to pi.

    Args:
        n_samples: points of both classes together; class 1 has one more if that is odd.
        noise: standard deviation of what is added to the coordinates.
        rng: generator for the order and the noise; None means minidl's own.

    Returns:
        Points (N, 2) float32, and their classes (N,) int64, in random order; ``ArrayDataset(*make_moons())``.

    Raises:
        ValueError, TypeError: an argument is too small, or not a number.
    """
    count = check_int("make_moons", "n_samples", n_samples)
    t, u = (np.linspace(0, np.pi, number) for number in (count // 2, count - count // 2))
    parts = [np.stack([np.cos(t), np.sin(t)], axis=1), np.stack([1 - np.cos(u), 0.5 - np.sin(u)], axis=1)]
    return _shuffled("make_moons", parts, noise, rng)


def make_circles(
    n_samples: int = 100, *, noise: float = 0.0, factor: float = 0.8, rng: np.random.Generator | None = None
) -> tuple[Array, Array]:
    """Make a circle of radius 1, class 0, around a smaller one, class 1, as scikit-learn does.

    Args:
        n_samples: points of both classes together; class 1 has one more if that is odd.
        noise: standard deviation of what is added to the coordinates.
        factor: radius of the inner circle, from 0 to 1.
        rng: generator for the order and the noise; None means minidl's own.

    Returns:
        Points (N, 2) float32, and their classes (N,) int64, in random order.

    Raises:
        ValueError, TypeError: an argument is out of range, or not a number.
    """
    count = check_int("make_circles", "n_samples", n_samples)
    factor = check_number("make_circles", "factor", factor, maximum=1.0)
    sizes = (count // 2, count - count // 2)
    angles = [np.linspace(0, 2 * np.pi, number, endpoint=False) for number in sizes]
    parts = [r * np.stack([np.cos(t), np.sin(t)], axis=1) for r, t in zip((1.0, factor), angles, strict=True)]
    return _shuffled("make_circles", parts, noise, rng)


def make_spirals(
    n_samples: int = 100,
    *,
    classes: int = 2,
    turns: float = 1.0,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Array]:
    """Make spirals that start at the origin and turn into each other.

    Class k of K lies on r * (cos t, sin t), t = 2 pi (turns * r + k / K), for r from 0 to 1.

    Args:
        n_samples: points of all classes together, as equal in number as possible.
        classes: K, how many spirals.
        turns: how often each goes round.
        noise: standard deviation of what is added to the coordinates.
        rng: generator for the order and the noise; None means minidl's own.

    Returns:
        Points (N, 2) float32, and their classes (N,) int64, in random order.

    Raises:
        ValueError, TypeError: an argument is too small, or not a number.
    """
    count = check_int("make_spirals", "n_samples", n_samples)
    kinds = check_int("make_spirals", "classes", classes)
    turns = check_number("make_spirals", "turns", turns)
    parts = []
    for kind in range(kinds):
        # the larger half last, as above; radii begin beside the origin, which would belong to all classes
        radius = np.linspace(0, 1, (count + kind) // kinds + 1)[1:]
        angle = 2 * np.pi * (turns * radius + kind / kinds)
        parts.append(radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return _shuffled("make_spirals", parts, noise, rng)


def make_xor(
    n_samples: int = 100, *, noise: float = 0.0, rng: np.random.Generator | None = None
) -> tuple[Array, Array]:
    """Draw points from the square from -1 to 1; the class is 1 where exactly one of the coordinates is positive.

    Args:
        n_samples: how many points.
        noise: standard deviation of what is added to the coordinates afterwards.
        rng: generator for the points and the noise; None means minidl's own.

    Returns:
        Points (N, 2) float32, and their classes (N,) int64.

    Raises:
        ValueError, TypeError: an argument is too small, or not a number.
    """
    count = check_int("make_xor", "n_samples", n_samples)
    with named("make_xor"):
        generator = default_rng(rng)
    points = generator.uniform(-1, 1, (count, 2))
    labels = np.logical_xor(*(points > 0).T).astype(np.int64)
    return _noisy("make_xor", points, noise, generator), labels


def _shuffled(owner: str, parts: list[Array], noise: float, rng: np.random.Generator | None) -> tuple[Array, Array]:
    """Return points of several classes in random order, with noise."""
    with named(owner):
        generator = default_rng(rng)
    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    order = generator.permutation(len(labels))
    return _noisy(owner, np.concatenate(parts)[order], noise, generator), labels[order]


def _noisy(owner: str, points: Array, noise: float, rng: np.random.Generator) -> Array:
    scale = check_number(owner, "noise", noise)
    added = rng.normal(scale=scale, size=points.shape) if scale else 0.0
    return (points + added).astype(np.float32)
