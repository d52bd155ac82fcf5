"""The cases of layers with integer inputs, or with two inputs."""

import numpy as np
from case import F4, Case


def _numbers(rng):
    return (rng.integers(0, 5, (3, 4)),)


def _two(rng):
    return rng.standard_normal((4, 3)), rng.standard_normal((4, 2))


def _two_deep(rng):
    return rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 5, 2))


LOOKUPS = [
    Case(
        "Embedding",
        (5, 3),
        inputs=_numbers,
        onnx=False,
        bad_options=(
            ((0, 3), {}, ValueError, "Embedding: num_embeddings must be at least 1, got 0"),
            ((5, 3), {"padding_idx": 5}, ValueError, "Embedding: padding_idx must be less than 5, got 5"),
            ((5, 3), {"padding_idx": -6}, ValueError, "Embedding: padding_idx must be at least -5, got -6"),
        ),
        bad_inputs=(
            ((np.array([[0, 5]]),), ValueError, "Embedding: expected indices from 0 to 4, got 5"),
            ((np.array([[-1]]),), ValueError, "Embedding: expected indices from 0 to 4, got -1"),
            ((np.zeros((2, 3), F4),), TypeError, "Embedding: expected an array of integers, got float32"),
        ),
    ),
    Case("Embedding", (5, 2), {"padding_idx": -2}, inputs=lambda rng: (rng.integers(0, 3, (3, 4)),), onnx=False),
    Case(
        "Bilinear",
        (3, 2, 4),
        inputs=_two,
        onnx=False,
        bad_options=(((3, 0, 4), {}, ValueError, "Bilinear: in2_features must be at least 1, got 0"),),
        bad_inputs=(
            (
                (np.zeros((4, 2), F4), np.zeros((4, 2), F4)),
                ValueError,
                r"Bilinear: expected a first input of shape \(N, ..., 3\), got \(4, 2\)",
            ),
            (
                (np.zeros((4, 3), F4), np.zeros((5, 2), F4)),
                ValueError,
                r"Bilinear: expected inputs with the same leading axes, got shapes \(4, 3\) and \(5, 2\)",
            ),
            ((np.zeros((4, 3), F4), np.zeros((4, 2))), TypeError, "Bilinear: expected float32 input"),
        ),
    ),
    Case("Bilinear", (3, 2, 1), {"bias": False}, inputs=_two_deep, onnx=False),
]
