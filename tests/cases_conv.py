"""The cases of the convolutions other than Conv2d, and of Conv2d's rarer options."""

import numpy as np
from case import F4, Case

CONVOLUTIONS = [
    Case("Conv2d", (2, 3, 3), {"padding": 1, "padding_mode": "reflect"}, (2, 2, 5, 6)),
    Case("Conv2d", (2, 3, (3, 2)), {"padding": (2, 1), "padding_mode": "circular", "stride": 2}, (2, 2, 5, 6)),
    Case("Conv2d", (2, 3, 3), {"padding": "same", "padding_mode": "replicate", "dilation": 2}, (2, 2, 5, 6)),
    Case("Conv2d", (3, 3, 3), {"groups": 3, "padding": 1}, (2, 3, 5, 6)),
    Case("Conv2d", (3, 3, (2, 3)), {"groups": 3, "stride": (2, 1), "dilation": (1, 2), "bias": False}, (2, 3, 5, 6)),
    Case("Conv2d", (9, 10, 3), {"padding": 1, "stride": 2}, (2, 9, 6, 7)),
    Case(
        "Conv1d",
        (2, 3, 3),
        shape=(2, 2, 7),
        bad_options=(
            ((2, 3, 0), {}, ValueError, "Conv1d: kernel_size must be at least 1, got 0"),
            ((2, 3, (3,)), {}, TypeError, "Conv1d: kernel_size must be an integer"),
            ((2, 3, 3), {"padding": -1}, ValueError, "Conv1d: padding must be at least 0, got -1"),
        ),
        bad_inputs=(
            ((np.zeros((2, 3, 5), F4),), ValueError, r"Conv1d: expected 2 input channels, got 3"),
            ((np.zeros((2, 2), F4),), ValueError, r"Conv1d: expected a batch of shape \(N, C, L\)"),
        ),
    ),
    Case("Conv1d", (4, 6, 2), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2, "bias": False}, (2, 4, 8)),
    Case("Conv1d", (2, 3, 4), {"padding": "same"}, (2, 2, 7)),
    Case("Conv1d", (2, 3, 3), {"padding": 2, "padding_mode": "circular"}, (2, 2, 7)),
    Case(
        "ConvTranspose2d",
        (2, 3, 3),
        shape=(2, 2, 4, 5),
        bad_options=(
            ((2, 3, 0), {}, ValueError, "ConvTranspose2d: kernel_size must be at least 1, got 0"),
            ((2, 3, 3), {"output_padding": 1}, ValueError, "output_padding must be less than stride or dilation"),
            ((2, 3, 3), {"groups": 2}, ValueError, "out_channels must be divisible by groups=2, got 3"),
            (
                (2, 3, 3),
                {"padding_mode": "reflect"},
                ValueError,
                "ConvTranspose2d: padding_mode must be one of 'zeros'",
            ),
        ),
        bad_inputs=(
            ((np.zeros((1, 3, 4, 4), F4),), ValueError, "ConvTranspose2d: expected 2 input channels, got 3"),
            ((np.zeros((1, 4, 4), F4),), ValueError, r"pass x\[None\]"),
        ),
    ),
    Case("ConvTranspose2d", (2, 3, (3, 2)), {"stride": 2, "padding": 1, "output_padding": (1, 0)}, (2, 2, 3, 4)),
    Case("ConvTranspose2d", (4, 6, 3), {"stride": (1, 3), "groups": 2, "dilation": 2, "bias": False}, (2, 4, 3, 4)),
    Case("ConvTranspose2d", (9, 8, 4), {"stride": 2, "padding": 1}, (2, 9, 3, 4)),
    Case("ConvTranspose2d", (3, 3, 2), {"groups": 3}, (2, 3, 3, 4)),
    Case("ConvTranspose2d", (4, 9, 1), {"padding": 1}, (2, 4, 5, 4)),
]
