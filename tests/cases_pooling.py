"""The cases of the poolings other than MaxPool2d."""

import numpy as np
from case import F4, Case

ROW = np.zeros((2, 3), F4)


def _bad(layer, shape="(N, C, H, W)"):
    what = shape.replace("(", r"\(").replace(")", r"\)")
    return (
        ((ROW,), ValueError, f"{layer}: expected an? (input|batch) of shape {what}"),
        ((np.zeros((1, 1, 4, 4)[: 3 + (len(shape) > 9)], int),), TypeError, f"{layer}: expected a float32"),
    )


POOLINGS = [
    Case(
        "MaxPool1d",
        (2,),
        shape=(2, 3, 7),
        ties=True,
        bad_options=(
            ((0,), {}, ValueError, "MaxPool1d: kernel_size must be at least 1, got 0"),
            ((2,), {"padding": 2}, ValueError, "MaxPool1d: padding must be at most half"),
            (((2, 2),), {}, TypeError, "MaxPool1d: kernel_size must be an integer"),
        ),
        bad_inputs=_bad("MaxPool1d", "(N, C, L)"),
    ),
    Case("MaxPool1d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, (2, 2, 8), ties=True),
    Case("MaxPool1d", (2,), {"stride": 1, "dilation": 3}, (2, 2, 8), ties=True),
    Case(
        "AvgPool2d",
        (2,),
        shape=(2, 3, 5, 6),
        bad_options=(
            ((0,), {}, ValueError, "AvgPool2d: kernel_size must be at least 1, got 0"),
            ((2,), {"divisor_override": 0}, ValueError, "AvgPool2d: divisor_override must not be 0"),
            ((2,), {"padding": 2}, ValueError, "AvgPool2d: padding must be at most half"),
        ),
        bad_inputs=_bad("AvgPool2d"),
    ),
    Case("AvgPool2d", (3,), {"stride": 2, "padding": 1}, (2, 2, 6, 7)),
    Case("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False, "ceil_mode": True}, (2, 2, 6, 8)),
    Case("AvgPool2d", ((3, 2),), {"stride": (1, 3), "padding": (1, 0), "ceil_mode": True}, (2, 1, 6, 9)),
    Case("AvgPool2d", ((2, 3),), {"divisor_override": 4}, (2, 1, 6, 9)),
    Case(
        "LPPool2d",
        (2, 2),
        shape=(2, 3, 5, 6),
        bad_options=(((0, 2), {}, ValueError, "LPPool2d: norm_type must not be 0"),),
        bad_inputs=_bad("LPPool2d"),
    ),
    Case("LPPool2d", (4, 3), {"stride": 2, "ceil_mode": True}, (2, 2, 6, 6)),
    Case(
        "AdaptiveAvgPool2d",
        (1,),
        shape=(2, 3, 4, 5),
        bad_options=(
            ((0,), {}, ValueError, "AdaptiveAvgPool2d: output_size must be at least 1, got 0"),
            (((1, 2, 3),), {}, TypeError, "AdaptiveAvgPool2d: output_size must be an integer or a pair"),
        ),
        bad_inputs=_bad("AdaptiveAvgPool2d"),
    ),
    Case("AdaptiveAvgPool2d", ((3, 2),), {}, (2, 2, 7, 5)),
    Case("AdaptiveAvgPool2d", ((None, 7),), {}, (2, 2, 3, 5)),  # more windows than pixels
    Case("AdaptiveMaxPool2d", (2,), {}, (2, 3, 4, 5), ties=True, bad_inputs=_bad("AdaptiveMaxPool2d")),
    Case("AdaptiveMaxPool2d", ((3, None),), {}, (2, 2, 7, 2), ties=True),
    Case("AdaptiveMaxPool2d", ((5, 4),), {}, (2, 2, 3, 6), ties=True),
]
