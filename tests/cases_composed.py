"""The cases of layers that PyTorch does not have: each says what its output should be."""

import numpy as np
from case import F4, Case


def _squeeze_excite(layer, x):
    w1, b1, w2, b2 = (p.data for p in layer.params())
    squeezed = np.maximum(x.mean(axis=(2, 3)) @ w1[:, :, 0, 0].T + b1, 0)
    return x / (1 + np.exp(-(squeezed @ w2[:, :, 0, 0].T + b2)))[:, :, None, None]


COMPOSED = [
    Case(
        "SqueezeExcite",
        (5,),
        shape=(3, 5, 4, 2),
        reference=_squeeze_excite,
        bad_options=(
            ((0,), {}, ValueError, "SqueezeExcite: input_channels must be at least 1, got 0"),
            ((4, 1.5), {}, TypeError, "SqueezeExcite: squeeze_channels must be an integer, got 1.5"),
        ),
        bad_inputs=(((np.zeros((2, 3, 4, 4), F4),), ValueError, "SqueezeExcite: expected 5 input channels, got 3"),),
    ),
    Case("SqueezeExcite", (4, 2), shape=(2, 4, 3, 3), reference=_squeeze_excite),
]
