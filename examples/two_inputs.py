"""A net with two inputs and two outputs: it reads a digit, and adds a number to it; and its picture.

Batches are dicts; the losses are given by the outputs' names.

python examples/two_inputs.py --epochs 15
"""

import argparse

import numpy as np
from matplotlib.figure import Figure

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader, load_digits
from minidl.nn import functional as F
from minidl.training import Trainer


class ReadAndAdd(nn.Module):
    """From an image (N, 1, 8, 8) and a number (N, 1) to the digit's scores (N, 10) and the sum (N, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc = nn.Linear(32 * 4 * 4, 64)
        self.digit = nn.Linear(64, 10)
        self.add1, self.add2 = nn.Linear(10 + 1, 32), nn.Linear(32, 1)

    def forward(self, image, number):
        x = F.relu(self.conv2(F.relu(self.conv1(image))))
        x = F.relu(self.fc(F.max_pool2d(x, 2).flatten(1)))
        digit = self.digit(x)
        both = minidl.cat([F.softmax(digit, dim=1), number / 10], dim=1)
        return {"digit": digit, "sum": self.add2(F.relu(self.add1(both)))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--picture", default="two_inputs.png")
    options = parser.parse_args()

    minidl.manual_seed(0)
    rng, parts = np.random.default_rng(0), []
    for part in load_digits():
        images, digits = part.arrays
        numbers = rng.integers(0, 10, (len(digits), 1)).astype(np.float32)
        sums = digits[:, None].astype(np.float32) + numbers
        parts.append(ArrayDataset({"image": images, "number": numbers, "digit": digits, "sum": sums}))
    train, test = parts

    model = ReadAndAdd()
    trainer = Trainer(
        model,
        {"digit": nn.CrossEntropyLoss(), "sum": nn.MSELoss()},
        optim.Adam(model.params(), lr=0.003),
        loss_weights={"digit": 1.0, "sum": 0.1},
        targets=("digit", "sum"),
    )
    trainer.fit(DataLoader(train, 32, shuffle=True), DataLoader(test, 256), epochs=options.epochs)

    found, arrays = trainer.predict(test), test.arrays
    right = np.abs(found["sum"] - arrays["sum"])[:, 0] < 0.5
    print(f"digits read: {100 * (found['digit'].argmax(1) == arrays['digit']).mean():.1f} %")
    print(f"sums that round to the right one: {100 * right.mean():.1f} %")

    figure = Figure(figsize=(8, 2.6), layout="constrained")
    for place in range(16):
        axes = figure.add_subplot(2, 8, place + 1, xticks=[], yticks=[])
        axes.imshow(arrays["image"][place, 0], cmap="gray_r")
        text = f"+ {arrays['number'][place, 0]:.0f} = {found['sum'][place, 0]:.1f}"
        axes.set_title(text, fontsize=9, color="black" if right[place] else "red")
    figure.savefig(options.picture)


if __name__ == "__main__":
    main()
