"""The table of cases: at least one entry for every public layer and loss. The generic tests run over all of it.

An entry gives the constructor's arguments, the same for PyTorch's class of the same name, and the inputs' shapes
(batch first, at least two samples). ``bad_options`` and ``bad_inputs`` list what must be refused, with the error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from case import F4, Case
from cases_activation import ACTIVATIONS
from cases_composed import COMPOSED
from cases_conv import CONVOLUTIONS
from cases_dropout import DROPOUTS
from cases_lookup import LOOKUPS
from cases_loss import LOSSES
from cases_normalization import NORMALIZATIONS
from cases_pooling import POOLINGS
from cases_shape import SHAPES


def _conv(*args: Any, shape: tuple[int, ...], **options: Any) -> Case:
    return Case("Conv2d", args, options, shape)


def _pool(*args: Any, shape: tuple[int, ...], **options: Any) -> Case:
    return Case("MaxPool2d", args, options, shape, ties=True)


WEIGHT = np.array([0.5, 2.0, 1.0, 0.25])

CASES = [
    Case(
        "Conv2d",
        (2, 3, 3),
        shape=(2, 2, 5, 6),
        bad_options=(
            ((0, 3, 3), {}, ValueError, "Conv2d: in_channels must be at least 1, got 0"),
            ((2, 3.0, 3), {}, TypeError, "Conv2d: out_channels must be an integer, got 3.0"),
            ((2, 3, 0), {}, ValueError, "Conv2d: kernel_size must be at least 1, got 0"),
            ((2, 3, (3, 3, 3)), {}, TypeError, "Conv2d: kernel_size must be an integer or a pair"),
            ((2, 3, 3), {"stride": 0}, ValueError, "Conv2d: stride must be at least 1, got 0"),
            ((2, 3, 3), {"stride": (1, -1)}, ValueError, "Conv2d: stride must be at least 1"),
            ((2, 3, 3), {"padding": -1}, ValueError, "Conv2d: padding must be at least 0, got -1"),
            (
                (2, 3, 3),
                {"padding": "full"},
                ValueError,
                "Conv2d: padding must be one of 'same', 'valid', got 'full'",
            ),
            ((2, 3, 3), {"padding": "same", "stride": 2}, ValueError, "padding='same' needs stride 1"),
            ((2, 3, 3), {"dilation": 0}, ValueError, "Conv2d: dilation must be at least 1, got 0"),
            (
                (3, 4, 3),
                {"groups": 2},
                ValueError,
                "Conv2d: in_channels must be divisible by groups=2, got 3",
            ),
            (
                (4, 3, 3),
                {"groups": 2},
                ValueError,
                "Conv2d: out_channels must be divisible by groups=2, got 3",
            ),
            ((2, 3, 3), {"groups": 0}, ValueError, "Conv2d: groups must be at least 1, got 0"),
            ((2, 3, 3), {"bias": 2}, TypeError, "Conv2d: bias must be True or False, got 2"),
            (
                (2, 3, 3),
                {"padding_mode": "mirror"},
                ValueError,
                "Conv2d: padding_mode must be one of 'zeros'",
            ),
        ),
        bad_inputs=(
            ((np.zeros((2, 5, 5), F4),), ValueError, r"Conv2d: expected a batch .* x\[None\]"),
            (
                (np.zeros((2, 2), F4),),
                ValueError,
                r"Conv2d: expected an input of shape \(N, C, H, W\), got 2 axes",
            ),
            ((np.zeros((1, 3, 5, 5), F4),), ValueError, r"Conv2d: expected 2 input channels, got 3"),
            (
                (np.zeros((1, 5, 5, 2), F4),),
                ValueError,
                r"channels seem to come last: use x.transpose\(0, 3, 1, 2\)",
            ),
            (
                (np.zeros((1, 2, 2, 9), F4),),
                ValueError,
                r"kernel \(3, 3\) is larger than the padded input \(2, 9\)",
            ),
            (
                (np.zeros((1, 2, 5, 5), np.uint8),),
                TypeError,
                r"got uint8; convert .*astype\(np.float32\) / 255",
            ),
            (
                (np.zeros((1, 2, 5, 5), np.float64),),
                TypeError,
                r"expected float32 input, as the parameters are",
            ),
            (([[1.0]],), TypeError, "Conv2d: expected a NumPy array as input, got list"),
        ),
    ),
    _conv(1, 2, 1, shape=(2, 1, 1, 1)),  # one pixel, one channel
    _conv(
        2, 3, (2, 3), stride=(3, 2), padding=(1, 2), bias=False, shape=(2, 2, 7, 8)
    ),  # dropped rows, uncovered pixels
    _conv(1, 2, 2, stride=3, shape=(2, 1, 8, 9)),  # stride > kernel
    _conv(4, 6, 3, padding=(2, 1), dilation=(2, 1), groups=2, shape=(2, 4, 6, 7)),
    _conv(3, 3, 3, padding=1, groups=3, shape=(2, 3, 4, 5)),  # depthwise
    _conv(2, 2, (4, 3), padding="same", shape=(2, 2, 5, 6)),  # 'same' with an even kernel: asymmetric
    _conv(2, 2, (2, 4), padding="same", dilation=(3, 1), shape=(2, 2, 5, 6)),
    _conv(2, 3, 3, padding="valid", stride=2, shape=(2, 2, 7, 6)),
    _conv(1, 2, 2, padding=3, shape=(2, 1, 3, 3)),  # more padding than kernel
    _conv(2, 2, (3, 1), stride=(2, 1), dilation=(1, 2), padding=(3, 1), shape=(2, 2, 5, 4)),
    Case(
        "MaxPool2d",
        (2,),
        shape=(2, 3, 4, 6),
        bad_options=(
            ((0,), {}, ValueError, "MaxPool2d: kernel_size must be at least 1, got 0"),
            ((2,), {"stride": 0}, ValueError, "MaxPool2d: stride must be at least 1, got 0"),
            ((2,), {"padding": 2}, ValueError, "MaxPool2d: padding must be at most half of kernel_size"),
            (
                (2,),
                {"dilation": "2"},
                TypeError,
                "MaxPool2d: dilation must be an integer or a pair of integers, got '2'",
            ),
            ((2,), {"ceil_mode": 1}, TypeError, "MaxPool2d: ceil_mode must be True or False, got 1"),
        ),
        bad_inputs=(
            ((np.zeros((2, 4, 4), F4),), ValueError, r"MaxPool2d: expected a batch of shape \(N, C, H, W\)"),
            (
                (np.zeros((1, 1, 1, 4), F4),),
                ValueError,
                r"kernel \(2, 2\) is larger than the padded input \(1, 4\)",
            ),
            (
                (np.zeros((1, 1, 4, 4), int),),
                TypeError,
                "MaxPool2d: expected a float32 or float64 input, got int64",
            ),
        ),
    ),
    _pool(3, stride=1, padding=1, shape=(2, 2, 5, 5)),  # overlapping
    _pool((3, 2), stride=(2, 3), padding=(1, 0), shape=(2, 1, 7, 8)),
    _pool(2, stride=3, shape=(2, 2, 7, 6)),  # pixels between the windows
    _pool(3, stride=2, padding=1, ceil_mode=True, shape=(2, 2, 6, 8)),
    _pool(2, stride=2, ceil_mode=True, shape=(2, 1, 5, 1 + 2)),
    _pool((2, 3), stride=1, dilation=(2, 1), padding=(0, 1), shape=(2, 2, 6, 5)),
    _pool(1, shape=(2, 1, 1, 1)),
    Case(
        "Linear",
        (4, 3),
        bad_options=(
            ((0, 3), {}, ValueError, "Linear: in_features must be at least 1, got 0"),
            ((4, "3"), {}, TypeError, "Linear: out_features must be an integer, got '3'"),
            ((4, 3), {"bias": None}, TypeError, "Linear: bias must be True or False, got None"),
            ((4, 3), {"dtype": np.int32}, TypeError, "float32 or float64"),
            ((4, 3), {"rng": 0}, TypeError, "rng must be a numpy.random.Generator"),
        ),
        bad_inputs=(
            (
                (np.zeros((32, 5), F4),),
                ValueError,
                r"Linear: expected 4 input features, got 5 \(input shape \(32, 5\)\); did you mean Linear\(5, 3\)\?",
            ),
            (
                (np.zeros(4, F4),),
                ValueError,
                r"Linear: expected a batch of shape \(N, 4\), got \(4,\); .* x\[None\]",
            ),
            (
                (np.zeros((2, 1, 2, 8), F4),),
                ValueError,
                r"put Flatten\(\) before it, which gives 16 features",
            ),
            (
                (np.zeros((2, 4), np.int32),),
                TypeError,
                "Linear: expected a float32 or float64 input, got int32",
            ),
            (
                (np.zeros((2, 4), np.float16),),
                TypeError,
                r"got float16; convert it with x.astype\(np.float32\)",
            ),
        ),
    ),
    Case("Linear", (1, 1), {"bias": False}, (2, 1)),
    Case("Linear", (4, 3), shape=(2, 5, 4)),
    Case(
        "Dropout",
        (0.3,),
        shape=(4, 2, 3, 3),
        random=True,
        bad_options=(
            (
                (1.5,),
                {},
                ValueError,
                r"Dropout: p must be between 0.0 and 1.0 \(it is the probability of dropping",
            ),
            ((-0.1,), {}, ValueError, "Dropout: p must be between"),
            ((float("nan"),), {}, ValueError, "Dropout: p must be between"),
            (("half",), {}, TypeError, "Dropout: p must be a number, got 'half'"),
            ((0.5,), {"rng": 3}, TypeError, "rng must be a numpy.random.Generator"),
        ),
        bad_inputs=(((np.zeros((2, 2), int),), TypeError, "Dropout: expected a float32"),),
    ),
    Case("Dropout", (0.0,), shape=(3, 4)),
    Case("Dropout", (1.0,), shape=(3, 4)),
    Case(
        "Flatten",
        shape=(2, 3, 4, 5),
        bad_options=(
            (("1",), {}, TypeError, "Flatten: start_dim must be an integer, got '1'"),
            ((3, 1), {}, ValueError, "Flatten: start_dim must not come after end_dim, got 3 and 1"),
        ),
        bad_inputs=(((np.zeros(3, F4),), ValueError, r"Flatten: cannot flatten axes 1 to -1 of an input of shape"),),
    ),
    Case("Flatten", (2, 3), shape=(2, 3, 4, 5)),
    Case("Flatten", (0, 1), shape=(2, 3, 4)),
    Case(
        "Identity",
        shape=(2, 3),
        bad_inputs=((([1, 2],), TypeError, "Identity: expected a NumPy array as input, got list"),),
    ),
    Case(
        "CrossEntropyLoss",
        shape=(5, 4),
        target="labels",
        bad_options=(
            (
                (),
                {"reduction": "avg"},
                ValueError,
                "CrossEntropyLoss: reduction must be one of 'mean', 'sum', 'none'",
            ),
            (
                (),
                {"label_smoothing": 2},
                ValueError,
                "CrossEntropyLoss: label_smoothing must be between 0.0 and 1.0",
            ),
            ((), {"weight": "even"}, ValueError, "CrossEntropyLoss: weight must be one number per class"),
        ),
        bad_inputs=(
            (
                (np.zeros((3, 4), F4), np.array([0, 4, 1])),
                ValueError,
                "CrossEntropyLoss: expected labels from 0 to 3, got 4 at index 1",
            ),
            ((np.zeros((3, 4), F4), np.array([0, -1, 1])), ValueError, "expected labels from 0 to 3, got -1"),
            ((np.zeros((3, 4), F4), np.array([0, 1])), ValueError, r"expected labels of shape \(3,\)"),
            (
                (np.zeros((3, 4), F4), np.zeros((3, 5), F4)),
                ValueError,
                "class probabilities of the predictions' shape",
            ),
            (
                (np.zeros((3, 4), F4), np.array(["a"] * 3)),
                TypeError,
                "integer labels or float class probabilities",
            ),
            ((np.zeros(4, F4), np.array(1)), ValueError, r"expected predictions of shape \(N, C\)"),
            ((np.zeros((3, 4), int), np.zeros(3, int)), TypeError, "float32 or float64 prediction"),
        ),
    ),
    Case("CrossEntropyLoss", (), {"weight": WEIGHT}, (5, 4), "labels"),
    Case(
        "CrossEntropyLoss",
        (),
        {"weight": WEIGHT, "label_smoothing": 0.1, "ignore_index": 2},
        (6, 4),
        "labels",
    ),
    Case("CrossEntropyLoss", (), {"label_smoothing": 0.2, "ignore_index": -100}, (5, 4), "labels"),
    Case("CrossEntropyLoss", (), {"reduction": "sum", "weight": WEIGHT}, (3, 4, 2, 3), "labels"),
    Case("CrossEntropyLoss", (), {"reduction": "none", "ignore_index": 1}, (3, 4, 5), "labels"),
    Case("CrossEntropyLoss", (), {"weight": WEIGHT, "label_smoothing": 0.1}, (5, 4), "probabilities"),
    Case("CrossEntropyLoss", (), {"reduction": "none"}, (3, 4, 2), "probabilities"),
    Case(
        "MSELoss",
        shape=(3, 4),
        target="values",
        bad_options=(((), {"reduction": None}, ValueError, "MSELoss: reduction must be one of"),),
        bad_inputs=(
            (
                (np.zeros((3, 1), F4), np.zeros(3, F4)),
                ValueError,
                r"MSELoss: expected a target of the prediction's shape \(3, 1\), got \(3,\)",
            ),
        ),
    ),
    Case("MSELoss", (), {"reduction": "sum"}, (2, 3, 4), "values"),
    Case("MSELoss", (), {"reduction": "none"}, (3, 2), "values"),
    *ACTIVATIONS,
    *NORMALIZATIONS,
    *POOLINGS,
    *SHAPES,
    *CONVOLUTIONS,
    *DROPOUTS,
    *LOSSES,
    *LOOKUPS,
    *COMPOSED,
]

# Public names in nn that are not layers with a forward pass of their own; Sequential has its own test file.
NOT_LAYERS = {
    "utils",
    *("Activation", "Drawing", "ElementwiseLoss", "Loss", "Module", "Parameter", "Sequential", "Summary"),
}
NOT_LAYERS |= {*("ModuleDict", "ModuleList", "Parallel", "Residual")}  # tests/nn/test_blocks.py
NOT_LAYERS |= {"convert_sync_batchnorm", "init", "is_grad_enabled", "no_grad"}
