"""Random programs of `functional` and of minidl's functions of tensors: the same text runs under PyTorch and minidl."""

import numpy as np
import pytest
from recorded_calls import close

import minidl
from minidl import nn

torch = pytest.importorskip("torch")

C, H = 4, 6
# {a} and {b} are values computed before, p the Parameters; each line gives another value of the same shape
LINES = [
    "F.conv2d({a}, p['w'], p['b'], padding=1)",
    "F.conv2d({a}, p['grouped'], None, 1, 1, 1, 2)",
    "F.conv2d({a}, p['w'] / (1 + T.abs(p['w'])).sum(), padding='same')",
    "F.conv_transpose2d({a}, p['w'], p['b'], padding=1)",
    "F.interpolate(F.max_pool2d({a}, 2), scale_factor=2, mode='bilinear', align_corners=False)",
    "F.interpolate(F.avg_pool2d({a}, 3), size=(6, 6))",
    "T.cat([{a}[:, :2], {b}[:, 2:]], dim=1)",
    "T.stack([{a}, {b}], 1).mean(1)",
    "F.batch_norm({a}, None, None, p['b'], p['c'], True)",
    "F.group_norm({a}, 2, p['b'], p['c'])",
    "F.layer_norm({a}, (6,), p['last'])",
    "{a} * T.sigmoid(F.adaptive_avg_pool2d({b}, 1))",
    "F.gelu({a}) - T.maximum({b}, {a})",
    "F.linear({a}, p['square'], p['last'])",
    "F.softmax({a}, dim=-1) + F.prelu({b}, p['c'])",
    "F.pad({a}, (1, -1, 0, 0), mode='constant', value=0.5)",
    "F.scaled_dot_product_attention({a}, {b}, {a})",
    "T.where({a} > {b}, {a}, {b} * 0.5)",
    "F.normalize({a}, dim=1) + T.tanh({b})",
    "T.einsum('nchw,cd->ndhw', {a}, p['mixed'])",
    "F.relu({a}).flatten(2).transpose(1, 2).reshape({b}.shape)",
]
ENDS = [
    "F.cross_entropy(v[-1].mean((2, 3)) * 9, y, label_smoothing=0.1) + F.mse_loss(v[-1], v[-2])",
    "F.smooth_l1_loss(v[-1], v[-3]) * 2",
    "F.nll_loss(F.log_softmax(T.flatten(v[-1], 1)[:, :4], 1), y)",
    "F.huber_loss(v[-2], v[-1], delta=0.3)",
]
SHAPES = {
    "scale": (1, C, 1, 1),
    "w": (C, C, 3, 3),
    "b": (C,),
    "grouped": (C, 2, 3, 3),
    "c": (C,),
    "last": (H,),
    "square": (H, H),
    "mixed": (C, C),
}


def program(r):
    lines = ["v = [x, F.relu(x * p['scale'])]"]
    for count in range(2, int(r.integers(6, 14))):
        a, b = (f"v[{i}]" for i in r.integers(0, count, 2))
        lines.append(f"v.append({LINES[int(r.integers(len(LINES)))].format(a=a, b=b)})")
    return "\n".join([*lines, f"out = {ENDS[int(r.integers(len(ENDS)))]}"])


def run(text, x, y, parameters, library, functional):
    names = {"x": x, "y": y, "p": parameters, "T": library, "F": functional}
    exec(text, names)
    return names["out"]


class Program(nn.Module):
    """The text of a program as a model's forward."""

    def __init__(self, text, values):
        super().__init__()
        self.text, self.p = text, {name: nn.Parameter(value) for name, value in values.items()}

    def forward(self, x, y):
        return run(self.text, x, y, self.p, minidl, minidl.functional)


@pytest.mark.parametrize("seed", range(80))
def test_a_random_program_has_pytorchs_gradients(seed):
    r = np.random.default_rng(seed)
    text = program(r)
    values = {name: r.standard_normal(shape) * 0.5 for name, shape in SHAPES.items()}
    x, y = r.standard_normal((3, C, H, H)), r.integers(0, 4, 3)
    what = f"seed {seed}\n{text}\n"

    given = {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}
    image = torch.tensor(x, requires_grad=True)
    expected = run(text, image, torch.tensor(y), given, torch, torch.nn.functional)
    expected.backward()

    model = Program(text, values)
    loss = model(x, y)
    close(loss, expected.item(), what)
    if seed % 2:
        loss.backward()  # which needs no gradient of the input
    else:
        close(model.backward()[0], image.grad.numpy(), f"{what}x", 1e-9)
    for name, theirs in given.items():
        close(model.p[name].grad, None if theirs.grad is None else theirs.grad.numpy(), f"{what}{name}", 1e-9)
