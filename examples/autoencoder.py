"""An autoencoder of the digits: 64 pixels through two numbers and back; and its picture.

python examples/autoencoder.py --epochs 60
"""

import argparse

import numpy as np
from matplotlib.figure import Figure

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader, load_digits
from minidl.nn import functional as F
from minidl.training import Trainer


class Autoencoder(nn.Module):
    """Returns the code (N, 2) and what is made of it again (N, 1, 8, 8)."""

    def __init__(self, code: int = 2) -> None:
        super().__init__()
        self.encode1, self.encode2, self.encode3 = nn.Linear(64, 128), nn.Linear(128, 32), nn.Linear(32, code)
        self.decode1, self.decode2, self.decode3 = nn.Linear(code, 32), nn.Linear(32, 128), nn.Linear(128, 64)

    def forward(self, x):
        code = self.encode3(F.elu(self.encode2(F.elu(self.encode1(x.flatten(1))))))
        again = F.sigmoid(self.decode3(F.elu(self.decode2(F.elu(self.decode1(code))))))
        return code, again.view(-1, 1, 8, 8)


def reconstruction(output, image):
    """Compare the second output with the image; the code is free."""
    return F.mse_loss(output[1], image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--picture", default="autoencoder.png")
    options = parser.parse_args()

    minidl.manual_seed(0)
    train, test = load_digits()
    low, high = train.arrays[0].min(), train.arrays[0].max()
    known, images = (((part.arrays[0] - low) / (high - low)).astype(np.float32) for part in (train, test))
    model = Autoencoder()
    optimizer = optim.Adam(model.params(), lr=0.003)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs)
    trainer = Trainer(model, reconstruction, optimizer, scheduler=schedule)
    loaders = DataLoader(ArrayDataset(known, known), 32, shuffle=True), DataLoader(ArrayDataset(images, images), 256)
    trainer.fit(*loaders, epochs=options.epochs)

    codes, again = trainer.predict(images)
    print(f"squared error of a pixel: {((again - images) ** 2).mean():.4f}; variance: {images.var(axis=0).mean():.4f}")

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subfigures(1, 2)
    for row, (name, pictures) in enumerate(
        {"image": images, "again": again, "image ": images[8:], "again ": again[8:]}.items()
    ):
        for column in range(8):
            axes = left.add_subplot(4, 8, 8 * row + column + 1, xticks=[], yticks=[])
            axes.imshow(pictures[column, 0], cmap="gray_r", vmin=0, vmax=1)
            axes.set_ylabel(name if column == 0 else "")
    axes = right.add_subplot(title="codes of the test digits", xticks=[], yticks=[])
    drawn = axes.scatter(*codes.T, c=test.arrays[1], cmap="tab10", s=12)
    axes.legend(*drawn.legend_elements(), fontsize=7)
    figure.savefig(options.picture)


if __name__ == "__main__":
    main()
