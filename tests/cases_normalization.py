"""The cases of the normalisations."""

import numpy as np
from case import F4, Case

from minidl import nn


def as_batch_norm(layer: nn.SyncBatchNorm2d, x: np.ndarray) -> np.ndarray:
    """The output of the layer that it is in one process."""
    twin = nn.BatchNorm2d(layer.num_features, layer.eps, track_running_stats=layer.track_running_stats).astype(x.dtype)
    twin.load_state_dict(layer.state_dict())
    return twin.eval()(x)


NORMALIZATIONS = [
    Case(
        "BatchNorm1d",
        (4,),
        shape=(5, 4),
        bad_options=(
            ((0,), {}, ValueError, "BatchNorm1d: num_features must be at least 1, got 0"),
            ((4, -1), {}, ValueError, "BatchNorm1d: eps must be at least 0"),
            ((4,), {"momentum": 2}, ValueError, "BatchNorm1d: momentum must be between"),
            ((4,), {"affine": 1}, TypeError, "BatchNorm1d: affine must be True or False, got 1"),
        ),
        bad_inputs=(
            ((np.zeros((2, 3), F4),), ValueError, r"BatchNorm1d: expected 4 channels, got 3"),
            ((np.zeros((2, 4, 2, 2), F4),), ValueError, r"expected an input of shape \(N, C\) or \(N, C, L\)"),
            ((np.zeros((1, 4), F4),), ValueError, "expected more than one value per channel when training"),
            ((np.zeros((2, 4), int),), TypeError, "BatchNorm1d: expected a float32"),
        ),
    ),
    Case("BatchNorm1d", (2,), {"affine": False}, (3, 2, 5)),
    Case(
        "BatchNorm2d",
        (3,),
        shape=(4, 3, 5, 4),
        bad_inputs=(((np.zeros((2, 3), F4),), ValueError, r"BatchNorm2d: expected an input of shape \(N, C, H, W\)"),),
    ),
    Case("BatchNorm2d", (2,), {"momentum": None, "eps": 0.1}, (2, 2, 3, 3)),
    Case("BatchNorm2d", (1,), {"track_running_stats": False}, (2, 1, 3, 3)),
    Case(
        "SyncBatchNorm2d",
        (3,),
        {"momentum": 0.2},
        (4, 3, 5, 4),
        reference=as_batch_norm,
        bad_options=(((0,), {}, ValueError, "SyncBatchNorm2d: num_features must be at least 1, got 0"),),
        bad_inputs=(
            ((np.zeros((2, 4), F4),), ValueError, r"SyncBatchNorm2d: expected an input of shape \(N, C, H, W\)"),
            ((np.zeros((1, 3, 1, 1), F4),), ValueError, "SyncBatchNorm2d: expected more than one value per channel"),
        ),
    ),
    Case("SyncBatchNorm2d", (2,), {"track_running_stats": False}, (2, 2, 3, 3), reference=as_batch_norm),
    Case(
        "InstanceNorm2d",
        (3,),
        shape=(4, 3, 5, 4),
        bad_options=(((-1,), {}, ValueError, "InstanceNorm2d: num_features must be at least 1, got -1"),),
        bad_inputs=(
            ((np.zeros((2, 2, 2, 2), F4),), ValueError, "InstanceNorm2d: expected 3 channels, got 2"),
            ((np.zeros((2, 3, 1, 1), F4),), ValueError, "expected more than one pixel"),
        ),
    ),
    Case("InstanceNorm2d", (2,), {"affine": True, "track_running_stats": True}, (3, 2, 4, 3)),
    Case(
        "GroupNorm",
        (2, 4),
        shape=(3, 4, 3, 2),
        bad_options=(((2, 3), {}, ValueError, "GroupNorm: num_channels must be divisible by 2 groups, got 3"),),
        bad_inputs=(((np.zeros((2, 3), F4),), ValueError, r"GroupNorm: expected an input of shape \(N, 4, ...\)"),),
    ),
    Case("GroupNorm", (1, 2), {"affine": False}, (3, 2, 5)),
    Case("GroupNorm", (4, 4), {}, (3, 4, 3, 3)),
    Case(
        "LayerNorm",
        (4,),
        shape=(3, 2, 4),
        bad_options=(((0,), {}, ValueError, "LayerNorm: normalized_shape must be at least 1, got 0"),),
        bad_inputs=(((np.zeros((2, 3), F4),), ValueError, r"LayerNorm: expected a batch whose last axes are \(4,\)"),),
    ),
    Case("LayerNorm", ((2, 3),), {"bias": False}, (4, 2, 3)),
    Case("LayerNorm", ((3, 2, 3),), {"elementwise_affine": False}, (2, 3, 2, 3)),
    Case(
        "RMSNorm",
        (4,),
        shape=(3, 2, 4),
        bad_options=(((4, -1), {}, ValueError, "RMSNorm: eps must be at least 0"),),
        bad_inputs=(((np.zeros((2, 3), F4),), ValueError, r"RMSNorm: expected a batch whose last axes are \(4,\)"),),
    ),
    Case("RMSNorm", ((2, 3),), {"eps": 0.01, "elementwise_affine": False}, (4, 2, 3)),
    Case(
        "LocalResponseNorm",
        (3,),
        {"alpha": 0.5},
        (2, 5, 3, 3),
        bad_options=(((0,), {}, ValueError, "LocalResponseNorm: size must be at least 1, got 0"),),
        bad_inputs=(((np.zeros((2, 3), F4),), ValueError, r"LocalResponseNorm: expected an input of shape \(N, C"),),
    ),
    Case("LocalResponseNorm", (4,), {"alpha": 2, "beta": 1.5, "k": 2.0}, (2, 3, 4)),
]
