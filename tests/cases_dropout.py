"""The cases of the dropouts other than Dropout."""

import numpy as np
from case import F4, Case

DROPOUTS = [
    Case(
        layer,
        (0.3,),
        shape=shape,
        random=True,
        bad_options=(((1.5,), {}, ValueError, f"{layer}: p must be between 0.0 and 1.0"),),
        bad_inputs=(bad,),
    )
    for layer, shape, bad in (
        (
            "Dropout1d",
            (4, 3, 5),
            ((np.zeros((2, 3), F4),), ValueError, r"input of shape \(N, C, L"),
        ),
        (
            "Dropout2d",
            (4, 3, 2, 3),
            ((np.zeros((2, 3), F4),), ValueError, r"input of shape \(N, C, H"),
        ),
        ("AlphaDropout", (4, 3, 5), ((np.zeros((2, 3), int),), TypeError, "AlphaDropout: expected a float32")),
    )
]
DROPOUTS += [
    Case("Dropout2d", (0.0,), shape=(3, 4, 2, 2)),
    Case("AlphaDropout", (1.0,), shape=(3, 4)),
]
