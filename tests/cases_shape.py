"""The cases of the layers that change the shape, but for Flatten."""

import numpy as np
from case import F4, Case

ROW = np.zeros((2, 3), F4)
BAD = (((ROW,), ValueError, r"expected an input of shape \(N, C, H, W\)"),)

SHAPES = [
    Case(
        "Unflatten",
        (1, (2, 3)),
        shape=(4, 6),
        bad_options=(((1, 6), {}, TypeError, "Unflatten: unflattened_size must be a tuple of integers, got 6"),),
        bad_inputs=(((ROW,), ValueError, r"Unflatten: cannot make \(2, 3\) of axis 1 of an input of shape \(2, 3\)"),),
    ),
    Case("Unflatten", (-1, (2, -1)), {}, (3, 2, 8)),
    *(
        Case(
            layer,
            ((1, 2, 0, 1), *value),
            shape=(2, 3, 4, 5),
            bad_options=((((1, 2, 3), *value), {}, ValueError, f"{layer}: padding must be an integer or"),),
            bad_inputs=BAD,
        )
        for layer, value in (
            ("ZeroPad2d", ()),
            ("ConstantPad2d", (1.5,)),
            ("ReflectionPad2d", ()),
            ("ReplicationPad2d", ()),
            ("CircularPad2d", ()),
        )
    ),
    Case("ReflectionPad2d", (3,), {}, (2, 2, 4, 5)),
    Case("ReplicationPad2d", ((5, 0, 7, 2),), {}, (2, 2, 3, 3)),
    Case("CircularPad2d", ((3, 2, 4, 0),), {}, (2, 2, 4, 3)),
    Case("ConstantPad2d", ((-1, 2, 1, -2), 3.0), {}, (2, 2, 4, 5)),
    Case("ZeroPad2d", (-1,), {}, (2, 2, 4, 5)),
    Case(
        "Upsample",
        (),
        {"scale_factor": 2},
        (2, 3, 3, 4),
        bad_options=(
            ((), {}, ValueError, "Upsample: give either size or scale_factor"),
            ((3,), {"mode": "cubic"}, ValueError, "Upsample: mode must be one of 'nearest', 'bilinear'"),
            ((3,), {"align_corners": True}, ValueError, "Upsample: align_corners is for mode='bilinear' only"),
        ),
        bad_inputs=BAD,
    ),
    Case("Upsample", ((5, 3),), {}, (2, 2, 3, 4)),
    Case("Upsample", (), {"scale_factor": (1.5, 0.5), "mode": "bilinear"}, (2, 2, 4, 6)),
    Case("Upsample", ((7, 2),), {"mode": "bilinear", "align_corners": True}, (2, 2, 3, 5)),
    Case("Upsample", (), {"scale_factor": 1.3, "mode": "bilinear"}, (2, 1, 2, 2)),  # the size stays
    Case("Upsample", (6,), {"mode": "bilinear", "align_corners": False}, (2, 1, 4, 4)),
    Case(
        "PixelShuffle",
        (2,),
        shape=(2, 8, 3, 2),
        bad_options=(((0,), {}, ValueError, "PixelShuffle: upscale_factor must be at least 1, got 0"),),
        bad_inputs=(((np.zeros((1, 3, 2, 2), F4),), ValueError, "expected a number of channels divisible by 4"),),
    ),
    Case(
        "Unfold",
        (2,),
        shape=(2, 3, 4, 5),
        bad_options=(((0,), {}, ValueError, "Unfold: kernel_size must be at least 1, got 0"),),
        bad_inputs=BAD,
    ),
    Case("Unfold", ((3, 2),), {"dilation": (1, 2), "padding": (1, 0), "stride": 2}, (2, 2, 5, 6)),
    Case(
        "Fold",
        ((4, 5), 2),
        shape=(2, 12, 12),
        bad_options=(((0, 2), {}, ValueError, "Fold: output_size must be at least 1, got 0"),),
        bad_inputs=(((ROW,), ValueError, r"Fold: col2im: expected columns of shape \(N, C\*4, 12\)"),),
    ),
    Case("Fold", ((5, 6), (3, 2)), {"dilation": (1, 2), "padding": (1, 0), "stride": 2}, (2, 12, 6)),
]
