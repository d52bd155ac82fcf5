"""Write your own layer: subclass Module, check it, train with it.

    python examples/custom_layer.py

The layer is Swish with a learned slope for each channel, y = x * sigmoid(beta * x) (Ramachandran et al., 2017).
"""

import argparse

import numpy as np

import minidl
from minidl import nn, optim
from minidl.data import DataLoader, load_digits
from minidl.testing import check_module
from minidl.training import Trainer


class Swish(nn.Module):
    """y = x * sigmoid(beta * x), one beta for each channel of (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(np.ones((channels, 1, 1), np.float32))

    def forward(self, x: np.ndarray) -> np.ndarray:
        sigmoid = 1 / (1 + np.exp(-self.beta.data * x))
        self.save_for_backward((x, sigmoid))
        return x * sigmoid

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        x, sigmoid = self.take_saved()
        slope = x * sigmoid * (1 - sigmoid)  # d(x * sigmoid) / d(beta * x)
        self.beta.add_grad((grad_output * slope * x).sum(axis=(0, 2, 3))[:, None, None])
        return grad_output * (sigmoid + self.beta.data * slope)


class ForgetsBeta(Swish):
    """Swish with a mistake: a factor of beta's gradient is missing."""

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        x, sigmoid = self.take_saved()
        slope = x * sigmoid * (1 - sigmoid)
        self.beta.add_grad((grad_output * slope).sum(axis=(0, 2, 3))[:, None, None])
        return grad_output * (sigmoid + self.beta.data * slope)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()

    x = np.random.default_rng(0).standard_normal((2, 3, 4, 4))
    print("Swish passes gradcheck:", minidl.gradcheck(Swish(3), x))
    print("Swish passes all checks of a layer:", check_module(Swish(3), x))
    try:
        minidl.gradcheck(ForgetsBeta(3), x)
    except AssertionError as error:
        print("the mistake in the other one is found:", error)

    minidl.manual_seed(0)
    train, test = load_digits()
    model = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), Swish(16), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10))
    optimizer = optim.SGD(model.params(), lr=0.1, momentum=0.9)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer)
    trainer.fit(DataLoader(train, 32, shuffle=True), DataLoader(test, 256), epochs=options.epochs)
    print("learned slopes:", model[1].beta.data.ravel().round(2))


if __name__ == "__main__":
    main()
