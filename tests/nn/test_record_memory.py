"""What a recorded pass keeps: what its layers keep, and little more."""

import types

import numpy as np

from minidl import nn


class UNet(nn.Module):
    def __init__(self, width=8):
        super().__init__()

        def pair(inputs, outputs):
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
                nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
            )  # fmt: skip

        self.down1, self.down2, self.middle = pair(3, width), pair(width, 2 * width), pair(2 * width, 4 * width)
        self.pool = nn.MaxPool2d(2)
        self.up2, self.up1 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2), nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.join2, self.join1, self.out = pair(4 * width, 2 * width), pair(2 * width, width), nn.Conv2d(width, 2, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(self.pool(a))
        c = self.middle(self.pool(b))
        b = self.join2(np.concatenate([self.up2(c), b], axis=1))
        a = self.join1(np.concatenate([self.up1(b), a], axis=1))
        return self.out(a) + x.mean(dim=1, keepdim=True)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(16) for _ in range(3)])
        self.convs = nn.ModuleList([nn.Conv2d(16, 16, 3, padding=1) for _ in range(3)])
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.first(x)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = self.relu(norm(conv(x)) + x)
        return x


def buffers(value, seen, found):
    """Collect the memory of all arrays that a value holds, in containers, objects and closures."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        while isinstance(value.base, np.ndarray):
            value = value.base
        found[id(value)] = value.nbytes
        return
    parts = ()
    if isinstance(value, (tuple, list)):
        parts = value
    elif isinstance(value, dict):
        parts = value.values()
    elif isinstance(value, types.FunctionType):
        parts = [cell.cell_contents for cell in value.__closure__ or ()] + list(value.__defaults__ or ())
    elif hasattr(value, "__dict__") and not isinstance(value, (nn.Module, type, types.ModuleType)):
        parts = vars(value).values()
    for part in parts:
        buffers(part, seen, found)


def kept(net, x):
    net(x)
    record = net._pass
    whole, layers = {}, {}
    seen, own = set(), set()
    for module, backward, memory, _, _ in record.steps:
        if module is None:
            buffers((backward, memory), seen, whole)
        else:
            values = [value for _, value in memory]
            buffers(values, seen, whole)
            buffers(values, own, layers)
    return sum(whole.values()), sum(layers.values())


def test_a_u_net_keeps_what_its_layers_keep(rng):
    for net in (UNet(), ResNet()):
        whole, layers = kept(net, rng.standard_normal((4, 3, 32, 32)).astype(np.float32))
        assert layers > 300_000
        assert whole <= 1.05 * layers, whole / layers
