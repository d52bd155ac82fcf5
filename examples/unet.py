"""A small U-Net that finds circles, squares and triangles in noise, pixel by pixel, and its picture.

python examples/unet.py --epochs 18
"""

import argparse

import numpy as np
from matplotlib.figure import Figure

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.nn import functional as F
from minidl.training import Trainer


def shapes(count: int, rng: np.random.Generator, size: int = 32) -> ArrayDataset:
    """Draw images (N, 1, H, W) with three shapes each, and the class of every pixel (N, H, W); 0 is the background."""
    rows, columns = np.mgrid[:size, :size]
    images, labels = np.zeros((count, 1, size, size), np.float32), np.zeros((count, size, size), np.int64)
    for image, label in zip(images[:, 0], labels, strict=True):
        for kind, brightness in zip(rng.permutation(3), rng.permutation([0.4, 0.7, 1.0]), strict=True):
            y, x, r = *rng.integers(7, size - 7, 2), rng.integers(4, 8)
            dy, dx = rows - y, columns - x
            inside = [
                dy**2 + dx**2 <= r**2,
                (abs(dy) <= 0.85 * r) & (abs(dx) <= 0.85 * r),
                (dy <= 0.8 * r) & (2 * abs(dx) <= dy + r),
            ][kind]
            image[inside], label[inside] = brightness, kind + 1
    return ArrayDataset(images + rng.normal(0, 0.2, images.shape).astype(np.float32), labels)


class Double(nn.Module):
    """Convolution, normalisation and ReLU, twice."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)))


class UNet(nn.Module):
    """Down twice, and up twice with what was there before (Ronneberger et al., 2015)."""

    def __init__(self, classes: int, width: int = 12) -> None:
        super().__init__()
        self.down1, self.down2 = Double(1, width), Double(width, 2 * width)
        self.bottom = Double(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.join2 = Double(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.join1 = Double(2 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        c = self.bottom(F.max_pool2d(b, 2))
        b = self.join2(minidl.cat([self.up2(c), b], dim=1))
        a = self.join1(minidl.cat([self.up1(b), a], dim=1))
        return self.head(a)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--picture", default="unet.png")
    options = parser.parse_args()

    minidl.manual_seed(0)
    rng = np.random.default_rng(0)
    train, test = shapes(options.images, rng), shapes(100, rng)
    model = UNet(classes=4)
    optimizer = optim.Adam(model.params(), lr=0.01)
    steps = options.epochs * -(-len(train) // 20)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=schedule)
    trainer.fit(DataLoader(train, 20, shuffle=True), DataLoader(test, 50), epochs=options.epochs)

    images, labels = test.arrays
    found = trainer.predict(images).argmax(axis=1)
    for kind, name in enumerate(("background", "circle", "square", "triangle")):
        both, either = (found == kind) & (labels == kind), (found == kind) | (labels == kind)
        print(f"{name}: intersection over union {both.sum() / either.sum():.3f}")

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for row, (name, pictures) in enumerate({"image": images[:, 0], "target": labels, "U-Net": found}.items()):
        for column in range(8):
            axes = figure.add_subplot(3, 8, 8 * row + column + 1, xticks=[], yticks=[])
            axes.imshow(pictures[column], cmap="gray" if row == 0 else "viridis", vmin=0, vmax=1 if row == 0 else 3)
            axes.set_ylabel(name if column == 0 else "")
    figure.savefig(options.picture)


if __name__ == "__main__":
    main()
