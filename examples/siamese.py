"""Siamese digits: a net that puts digits of one class close together in the plane, and its picture.

It never sees a label, only pairs of which it is told whether they are the same digit. Both pass through one tower,
which the forward calls twice (Hadsell et al., 2006).

python examples/siamese.py --epochs 40
"""

import argparse

import numpy as np
from matplotlib.figure import Figure

import minidl
from minidl import nn, optim
from minidl.data import DataLoader, Dataset, load_digits
from minidl.nn import functional as F
from minidl.training import Trainer


class Pairs(Dataset):
    """Samples ((left, right), same): each image is paired with a freshly drawn one, half the time of its own class."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
        self.images, self.labels, self.rng = images, labels, rng

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        same = self.rng.random() < 0.5
        other = self.rng.choice(np.flatnonzero((self.labels == self.labels[index]) == same))
        return (self.images[index], self.images[other]), np.float32(same)


class Siamese(nn.Module):
    """The distances (N,) between left and right."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(32 * 2 * 2, 64), nn.Linear(64, 2)

    def embed(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))

    def forward(self, left, right):
        difference = self.embed(left) - self.embed(right)
        return ((difference**2).sum(dim=1) + 1e-6) ** 0.5


class Tower(nn.Module):
    """The points (N, 2) of images: one half of a Siamese."""

    def __init__(self, siamese: Siamese) -> None:
        super().__init__()
        self.siamese = siamese

    def forward(self, x):
        return self.siamese.embed(x)


def contrastive(distance, same):
    """Pull the same together, and push others apart until they are 1 from each other."""
    apart = F.relu(1 - distance)
    return (same * distance**2 + (1 - same) * apart**2).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--picture", default="siamese.png")
    options = parser.parse_args()

    minidl.manual_seed(0)
    train, test = load_digits()
    pairs = Pairs(*train.arrays, np.random.default_rng(0))
    model = Siamese()
    optimizer = optim.Adam(model.params(), lr=0.003)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs)
    trainer = Trainer(model, contrastive, optimizer, scheduler=schedule)
    trainer.fit(DataLoader(pairs, 64, shuffle=True), epochs=options.epochs)

    tower = Trainer(Tower(model), nn.MSELoss())
    (images, labels), (known, classes) = test.arrays, train.arrays
    points, places = tower.predict(images), tower.predict(known)
    centres = np.stack([places[classes == digit].mean(axis=0) for digit in range(10)])
    nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    print(f"test digits that are nearest to the centre of their class: {100 * (nearest == labels).mean():.1f} %")

    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.add_subplot(title="test digits, trained on pairs", xticks=[], yticks=[])
    drawn = axes.scatter(*points.T, c=labels, cmap="tab10", s=12)
    axes.legend(*drawn.legend_elements(), fontsize=8)
    figure.savefig(options.picture)


if __name__ == "__main__":
    main()
