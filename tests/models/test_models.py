"""The larger networks: published sizes, gradients, torchvision's names and PyTorch's outputs."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from checks import assert_close

from minidl import gradcheck, models, nn
from minidl.models.cifar import PaddedShortcut
from minidl.models.imagenet import BasicBlock, InvertedResidual
from minidl.models.lecun import Channels, UnitBias
from minidl.testing import check_module


@pytest.mark.parametrize(
    ("name", "options", "shape", "parameters"),
    [
        ("lecun1989", {}, (2, 1, 16, 16), 9760),
        ("small_vgg", {}, (2, 3, 32, 32), 1116970),
        ("all_cnn_c", {}, (2, 3, 32, 32), 1369738),
        ("resnet20", {}, (2, 3, 32, 32), 269722),
        ("resnet20", {"option": "B"}, (2, 3, 32, 32), 272474),
        ("resnet32", {}, (2, 3, 32, 32), 464154),
        ("resnet56", {}, (2, 3, 32, 32), 853018),
        ("resnet18", {}, (1, 3, 64, 64), 11689512),
        ("mobilenet_v2", {}, (1, 3, 64, 64), 3504872),
    ],
)
def test_size_and_output(name, options, shape, parameters):
    model = getattr(models, name)(**options, rng=np.random.default_rng(0))
    assert sum(p.data.size for p in model.params()) == parameters
    assert model.output_shape(shape) == (shape[0], 1000 if shape[2] == 64 else 10)


def known_names():
    """Names and shapes of the models' states, in order, by model; written at commit 5f172e7."""
    known = {}
    for line in (Path(__file__).parent / "names.txt").read_text().splitlines():
        if line.startswith("# "):
            state = known[line[2:]] = []
        else:
            name, _, shape = line.partition(" ")
            state.append((name, tuple(int(n) for n in shape.split(",") if n)))
    return known


@pytest.mark.parametrize(("model", "state"), known_names().items(), ids=list(known_names()))
def test_checkpoints_of_before_load(model, state):
    name, *option = model.split()
    net = getattr(models, name)(*([10, *option] if option else []))
    assert [(key, value.shape) for key, value in net.state_dict().items()] == state


def test_the_units_of_1989():
    summary = models.lecun1989().summary((1, 1, 16, 16))
    hidden = [row for row in summary.rows if "Tanh" in str(row)][:3]
    assert len(hidden) == 3
    assert summary.total_params == 9760


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (PaddedShortcut(2, 6, 2), (2, 2, 5, 4)),
        (BasicBlock(3, 4, 2, np.random.default_rng(0)), (3, 3, 6, 6)),
        (BasicBlock(3, 3, 1, np.random.default_rng(0)), (3, 3, 4, 4)),
        (InvertedResidual(2, 2, 1, 3, np.random.default_rng(0)), (3, 2, 4, 4)),
        (InvertedResidual(2, 3, 2, 1, np.random.default_rng(0)), (3, 2, 5, 5)),
        (Channels([2, 0]), (2, 3, 4, 4)),
        (UnitBias((2, 3, 3)), (2, 2, 3, 3)),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else "",
)
def test_the_models_own_layers_keep_the_contract(layer, shape):
    assert check_module(layer, np.random.default_rng(0).standard_normal(shape))


def test_gradients_of_a_whole_network():
    model = models.lecun1989(rng=np.random.default_rng(0))
    assert gradcheck(model, np.random.default_rng(0).standard_normal((2, 1, 16, 16)))


@pytest.mark.parametrize("name", models.__all__)
def test_what_went_into_and_came_out_of_a_layer_is_not_changed(name):
    model = getattr(models, name)(rng=np.random.default_rng(0))
    seen = []  # (layer, array, its value when the layer had run)

    def watch(module, inputs, output):
        seen.extend((module, array, array.copy()) for array in (*inputs, output))

    for module in model.modules():
        module.register_forward_hook(watch)
    channels, *size = models.INPUT_SHAPES[name]
    x = np.random.default_rng(0).standard_normal((2, channels, *(min(n, 32) for n in size))).astype(np.float32)
    out = model(x)
    model.backward(np.ones_like(out))
    assert len(seen) > 2 * len(list(model.children()))
    for module, array, before in seen:
        np.testing.assert_array_equal(array, before, err_msg=type(module).__name__)


def torchvision_resnet18(torch):
    """torchvision's definition, which is not installed here: the same modules under the same names."""
    t = torch.nn

    class Block(t.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = t.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = t.BatchNorm2d(outputs)
            self.conv2 = t.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = t.BatchNorm2d(outputs)
            self.downsample = None
            if stride != 1 or inputs != outputs:
                self.downsample = t.Sequential(t.Conv2d(inputs, outputs, 1, stride, bias=False), t.BatchNorm2d(outputs))

        def forward(self, x):
            out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(out + (x if self.downsample is None else self.downsample(x)))

    layers = OrderedDict(conv1=t.Conv2d(3, 64, 7, 2, 3, bias=False), bn1=t.BatchNorm2d(64), relu=t.ReLU())
    layers["maxpool"] = t.MaxPool2d(3, 2, 1)
    inputs = 64
    for number, outputs in enumerate((64, 128, 256, 512)):
        stride = 1 if number == 0 else 2
        layers[f"layer{number + 1}"] = t.Sequential(Block(inputs, outputs, stride), Block(outputs, outputs, 1))
        inputs = outputs
    layers.update(avgpool=t.AdaptiveAvgPool2d(1), flatten=t.Flatten(), fc=t.Linear(512, 1000))
    return t.Sequential(layers)


def torchvision_mobilenet_v2(torch):
    t = torch.nn

    def cbr(inputs, outputs, size, stride, groups=1):
        conv = t.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        return t.Sequential(conv, t.BatchNorm2d(outputs), t.ReLU6())

    class Block(t.Module):
        def __init__(self, inputs, outputs, stride, ratio):
            super().__init__()
            hidden = inputs * ratio
            layers = [cbr(inputs, hidden, 1, 1)] if ratio != 1 else []
            layers += [cbr(hidden, hidden, 3, stride, hidden), t.Conv2d(hidden, outputs, 1, bias=False)]
            self.conv = t.Sequential(*layers, t.BatchNorm2d(outputs))
            self.around = stride == 1 and inputs == outputs

        def forward(self, x):
            return x + self.conv(x) if self.around else self.conv(x)

    features, inputs = [cbr(3, 32, 3, 2)], 32
    for ratio, outputs, count, stride in (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for number in range(count):
            features.append(Block(inputs, outputs, stride if number == 0 else 1, ratio))
            inputs = outputs
    layers = OrderedDict(features=t.Sequential(*features, cbr(320, 1280, 1, 1)), avgpool=t.AdaptiveAvgPool2d(1))
    layers.update(flatten=t.Flatten(), classifier=t.Sequential(t.Dropout(0.2), t.Linear(1280, 1000)))
    return t.Sequential(layers)


@pytest.mark.parametrize("make", [torchvision_resnet18, torchvision_mobilenet_v2])
def test_torchvisions_weights_load_and_give_its_outputs(make, torch):
    torch.manual_seed(0)
    theirs = make(torch)
    x = torch.randn(2, 3, 96, 96)
    for _ in range(3):
        theirs(x + 0.1)  # running statistics that are not the first ones
    theirs.eval()
    ours = getattr(models, make.__name__.removeprefix("torchvision_"))()
    ours.load_state_dict(theirs.state_dict())
    ours.eval()
    with torch.no_grad():
        assert_close(ours(x.numpy()), theirs(x).numpy(), 1e-4)


@pytest.mark.parametrize("make", [models.resnet18, models.mobilenet_v2])
def test_who_asks_for_weights_is_told_where_they_come_from(make):
    for asked in ({"weights": "DEFAULT"}, {"pretrained": True}):
        with pytest.raises(ValueError, match=rf"{make.__name__}: minidl neither ships nor downloads.*minidl.load\("):
            make(**asked)
    with pytest.raises(TypeError, match="must be an integer"):
        make(True)
