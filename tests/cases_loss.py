"""The cases of the losses other than CrossEntropyLoss and MSELoss."""

import numpy as np
from case import F4, Case

WEIGHT = np.array([0.5, 2.0, 1.0, 0.25])


def _shapes(layer):
    inputs = (np.full((3, 1), 0.5, F4), np.zeros(3, F4))
    return ((inputs, ValueError, rf"{layer}: expected a target of the prediction's shape \(3, 1\), got \(3,\)"),)


LOSSES = [
    Case("L1Loss", shape=(3, 4), target="values", bad_inputs=_shapes("L1Loss")),
    Case("L1Loss", (), {"reduction": "none"}, (3, 2), "values"),
    Case(
        "SmoothL1Loss",
        shape=(3, 4),
        target="values",
        bad_options=(((), {"beta": -1}, ValueError, "SmoothL1Loss: beta must be at least 0"),),
        bad_inputs=_shapes("SmoothL1Loss"),
    ),
    Case("SmoothL1Loss", (), {"beta": 0.3, "reduction": "sum"}, (3, 2), "values"),
    Case(
        "HuberLoss",
        shape=(3, 4),
        target="values",
        bad_options=(((), {"delta": 0}, ValueError, "HuberLoss: delta must not be 0"),),
        bad_inputs=_shapes("HuberLoss"),
    ),
    Case("HuberLoss", (), {"delta": 0.3, "reduction": "none"}, (3, 2), "values"),
    Case(
        "BCELoss",
        shape=(3, 4),
        target="probabilities",
        probabilities=True,
        bad_options=(((), {"weight": "even"}, TypeError, "BCELoss: weight must be numbers, got 'even'"),),
        bad_inputs=(
            *_shapes("BCELoss"),
            (
                (np.full((2, 2), 2, F4), np.zeros((2, 2))),
                ValueError,
                "probabilities between 0 and 1, got 2.0",
            ),
        ),
    ),
    Case("BCELoss", (), {"weight": WEIGHT, "reduction": "none"}, (3, 4), "probabilities", probabilities=True),
    Case("BCEWithLogitsLoss", shape=(3, 4), target="probabilities", bad_inputs=_shapes("BCEWithLogitsLoss")),
    Case("BCEWithLogitsLoss", (), {"weight": WEIGHT, "pos_weight": WEIGHT[::-1].copy()}, (3, 4), "probabilities"),
    Case(
        "KLDivLoss",
        (),
        {"reduction": "batchmean"},
        shape=(3, 4),
        target="probabilities",
        bad_options=(((), {"reduction": "avg"}, ValueError, "KLDivLoss: reduction must be one of"),),
        bad_inputs=_shapes("KLDivLoss"),
    ),
    Case("KLDivLoss", (), {"reduction": "sum", "log_target": True}, (3, 4), "values"),
    Case("KLDivLoss", (), {"reduction": "none"}, (3, 4), "probabilities"),
    Case(
        "NLLLoss",
        shape=(5, 4),
        target="labels",
        logarithms=True,
        bad_options=(((), {"weight": [[1.0]]}, ValueError, "NLLLoss: weight must be one number per class"),),
        bad_inputs=(
            ((np.zeros((3, 4), F4), np.array([0, 4, 1])), ValueError, "NLLLoss: expected labels from 0 to 3, got 4"),
            ((np.zeros(4, F4), np.array(1)), ValueError, r"NLLLoss: expected predictions of shape \(N, C\)"),
        ),
    ),
    Case("NLLLoss", (), {"weight": WEIGHT, "ignore_index": 2}, (6, 4), "labels", logarithms=True),
    Case("NLLLoss", (), {"weight": WEIGHT, "reduction": "none"}, (3, 4, 2, 3), "labels", logarithms=True),
    Case(
        "MultiMarginLoss",
        shape=(5, 4),
        target="labels",
        bad_options=(((3,), {}, ValueError, "MultiMarginLoss: p must be 1 or 2, got 3"),),
        bad_inputs=(
            ((np.zeros((3, 4), F4), np.array([0, 4, 1])), ValueError, "expected labels from 0 to 3, got 4"),
            ((np.zeros((3, 4, 2), F4), np.zeros((3, 2), int)), ValueError, r"expected predictions of shape \(N, C\)"),
        ),
    ),
    Case("MultiMarginLoss", (2,), {"margin": 0.5, "weight": WEIGHT, "reduction": "sum"}, (5, 4), "labels"),
]
