"""What the tests of minidl.compile share: nets, and the comparison with the model itself."""

import numpy as np

import minidl
from minidl import nn
from minidl.nn.structure import leaves, rebuild


def within(actual, expected):
    """The same structure, and numbers within 1e-5 of the largest one of all (float64: 1e-12)."""
    floats = [
        np.abs(b[np.isfinite(b)]).max(initial=1e-3) for b in map(np.asarray, leaves(expected)) if b.dtype.kind == "f"
    ]
    for a, b in zip(map(np.asarray, leaves(actual)), map(np.asarray, leaves(expected)), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if a.size and a.dtype.kind == "f":
            tolerance = (1e-5 if a.dtype == np.float32 else 1e-12) * max(floats)
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
        else:
            np.testing.assert_array_equal(a, b)


def settled(model, seed=0):
    """Give weights, biases and statistics values unlike those at the start, and go to evaluation mode."""
    rng = np.random.default_rng(seed)
    for module in model.modules():
        if isinstance(getattr(module, "running_mean", None), np.ndarray):
            module.running_mean[...] = rng.standard_normal(module.running_mean.shape)
            module.running_var[...] = rng.uniform(0.1, 3, module.running_var.shape)
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and module.weight is not None:
            module.weight.data[...] = rng.uniform(-2, 2, module.weight.shape)
            if module.bias is not None:
                module.bias.data[...] = rng.standard_normal(module.bias.shape)
    return model.eval()


def shapes(inputs):
    return [rebuild(x, np.shape) for x in inputs]


def dtypes(inputs):
    return [x.dtype for x in leaves(inputs)]


def run(model, *inputs):
    with minidl.no_grad(), np.errstate(all="ignore"):
        return model(*inputs)


def compiled_like(model, *inputs):
    """Compile a model for inputs and compare: twice, so that nothing of the first call shows in the second."""
    compiled = minidl.compile(model, *shapes(inputs), dtype=dtypes(inputs))
    expected = run(model, *inputs)
    with np.errstate(all="ignore"):
        first = compiled(*inputs)
        compiled(*rebuild(inputs, lambda x: x[::-1] if x.ndim else x))
        within(compiled(*inputs), expected)
    within(first, expected)
    return compiled


def steps_of(compiled):
    """How many steps the compiled model has for the shape it was compiled for."""
    ((ready,),) = [*compiled._state.ready.values()]
    return len(ready._steps)


NETS = {
    "convolution and norm": lambda: (nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()),
    "no bias": lambda: (nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6, eps=0.1), nn.GELU()),
    "without weight": lambda: (nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, affine=False), nn.Sigmoid()),
    "weight alone": lambda: (nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, bias=False)),
    "statistics of the batch": lambda: (nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, track_running_stats=False), nn.ReLU()),
    "groups": lambda: (nn.Conv2d(3, 9, 3, groups=3, stride=2), nn.BatchNorm2d(9), nn.SiLU()),
    "depthwise": lambda: (nn.Conv2d(3, 3, 3, groups=3, padding=1), nn.BatchNorm2d(3), nn.ReLU6()),
    "dilation": lambda: (nn.Conv2d(3, 5, (3, 2), dilation=(1, 2), padding=(2, 0), stride=(1, 3)), nn.BatchNorm2d(5)),
    "reflected": lambda: (nn.Conv2d(3, 5, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(5), nn.ReLU()),
    "same": lambda: (nn.Conv2d(3, 5, (4, 2), padding="same"), nn.BatchNorm2d(5), nn.ReLU()),
    "transposed": lambda: (nn.ConvTranspose2d(3, 6, 3, stride=2, groups=3), nn.BatchNorm2d(6), nn.ReLU()),
    "transposed, no bias": lambda: (nn.ConvTranspose2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()),
    "two norms": lambda: (nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Identity(), nn.Dropout(), nn.BatchNorm2d(6)),
    "norm first": lambda: (nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4)),
    "linear": lambda: (nn.Flatten(), nn.Linear(240, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 10)),
    "rows": lambda: (nn.Flatten(2), nn.Linear(80, 7), nn.BatchNorm1d(3), nn.ReLU()),
    "sequence": lambda: (nn.Flatten(2), nn.Conv1d(3, 6, 5, stride=2), nn.BatchNorm1d(6), nn.MaxPool1d(2), nn.Flatten()),
    "pools": lambda: (nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(3, 1, 1), nn.AdaptiveAvgPool2d((2, 1))),
    "activations before pools": lambda: (
        *(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True), nn.Tanh()),
        *(nn.Dropout(), nn.MaxPool2d(2, 1), nn.Sigmoid(), nn.MaxPool2d(2, padding=1), nn.ReLU6(), nn.MaxPool2d(1)),
    ),
    "only padding": lambda: (nn.ReLU(), nn.MaxPool2d((3, 2), 1, 1, dilation=(4, 11))),
    "big windows": lambda: (nn.ReLU(), nn.AvgPool2d((8, 5), (1, 5)), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "nothing": lambda: (nn.Identity(), nn.Dropout(0.3)),
    "shapes": lambda: (
        nn.Flatten(),
        nn.Unflatten(1, (15, 4, 4)),
        nn.Conv2d(15, 4, 1),
        nn.PixelShuffle(2),
        nn.Flatten(1, 2),
    ),
    "residual": lambda: (
        nn.Residual(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())),
        nn.Parallel(nn.Conv2d(3, 2, 1), nn.Residual(nn.Identity()), nn.MaxPool2d(3, 1, 1)),
        nn.Parallel(nn.Conv2d(8, 2, 1), nn.Conv2d(8, 2, 3, padding=1), merge="sum"),
        nn.SqueezeExcite(2),
    ),
    "layer norms": lambda: (nn.GroupNorm(3, 3), nn.InstanceNorm2d(3), nn.LayerNorm((8, 10)), nn.ReLU()),
}


class Scale(nn.Module):
    """A layer of a user's own, with a backward."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.save_for_backward(x)
        return x * 2 if x.sum() > 0 else x

    def backward(self, grad_output):
        self.take_saved()
        return grad_output
