"""A small GAN that draws digits, 8x8 pixels: two optimisers, and a training step of its own; and its picture.

python examples/gan.py --epochs 120
"""

import argparse

import numpy as np
from matplotlib.figure import Figure

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader, load_digits
from minidl.nn import functional as F
from minidl.training import Trainer

NOISE = 16


class Generator(nn.Module):
    """From noise (N, 16) to images (N, 1, 8, 8) between -1 and 1."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.norm1 = nn.Linear(NOISE, 64 * 2 * 2, bias=False), nn.BatchNorm1d(64 * 2 * 2)
        self.up1, self.norm2 = nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(32)
        self.up2 = nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1)

    def forward(self, z):
        x = F.relu(self.norm1(self.fc1(z))).view(-1, 64, 2, 2)
        return F.tanh(self.up2(F.relu(self.norm2(self.up1(x)))))


class Discriminator(nn.Module):
    """From images to one number (N, 1), large for real ones."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 4, stride=2, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 4, stride=2, padding=1)
        self.fc = nn.Linear(64 * 2 * 2, 1)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.2)
        x = F.dropout(F.leaky_relu(self.conv2(x), 0.2), 0.3, self.training)
        return self.fc(x.flatten(1))


class GAN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = Generator(), Discriminator()

    def forward(self, z):
        return self.generator(z)


class GANTrainer(Trainer):
    """First a step of the discriminator, then one of the generator (Goodfellow et al., 2014; Radford et al., 2016)."""

    def training_step(self, batch):
        (real,) = batch
        generator, discriminator = self.model.generator, self.model.discriminator
        opt_g, opt_d = self.optimizer["generator"], self.optimizer["discriminator"]
        ones, zeros = minidl.ones(len(real), 1), minidl.zeros(len(real), 1)

        fake = generator(minidl.randn(len(real), NOISE))
        opt_d.zero_grad()
        loss_real = self.loss(discriminator(real), 0.9 * ones)
        loss_real.backward()
        loss_fake = self.loss(discriminator(fake.copy()), zeros)  # of a copy: the generator gets no gradient
        loss_fake.backward()
        opt_d.step()

        opt_g.zero_grad()
        loss_g = self.loss(discriminator(fake), ones)
        loss_g.backward()
        opt_g.step()
        return self.done(d_loss=loss_real + loss_fake, g_loss=loss_g)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--picture", default="gan.png")
    options = parser.parse_args()

    minidl.manual_seed(0)
    images = load_digits()[0].arrays[0]
    images = (2 * (images - images.min()) / (images.max() - images.min()) - 1).astype(np.float32)
    model = GAN()
    optimizers = {
        "generator": optim.Adam(model.generator.params(), lr=0.001, betas=(0.5, 0.999)),
        "discriminator": optim.Adam(model.discriminator.params(), lr=0.0005, betas=(0.5, 0.999)),
    }
    trainer = GANTrainer(model, nn.BCEWithLogitsLoss(), optimizers, progress="none")
    history = trainer.fit(DataLoader(ArrayDataset(images), 64, shuffle=True, drop_last=True), epochs=options.epochs)
    last = history.rows[-1]
    print(f"loss of the discriminator {last['train_d_loss']:.3f}, of the generator {last['train_g_loss']:.3f}")

    drawn = trainer.predict(minidl.randn(48, NOISE))
    figure = Figure(figsize=(8, 4.3), layout="constrained")
    for half, (title, pictures) in enumerate({"drawn by the generator": drawn, "real": images[:48]}.items()):
        axes = figure.add_subplot(1, 2, half + 1, title=title, xticks=[], yticks=[])
        rows = np.pad(pictures[:, 0], ((0, 0), (1, 1), (1, 1)), constant_values=-1).reshape(8, 6, 10, 10)
        axes.imshow(rows.transpose(0, 2, 1, 3).reshape(80, 60), cmap="gray")
    figure.savefig(options.picture)


if __name__ == "__main__":
    main()
