import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


class NoisyDataset(Dataset):
    def __init__(self, images, noise, transform=None):
        self.images = images
        self.noise = noise
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, idx):
        clean = self.images[idx]
        noisy = (clean + 0.2 * self.noise[idx]).clip(0.0, 1.0)
        if self.transform:
            noisy = self.transform(noisy)
        return noisy, clean


class Autoencoder(nn.Module):
    def __init__(self):
        super(Autoencoder, self).__init__()
        self.encoder = nn.Sequential(  # like the Composition layer you built
            nn.Conv2d(1, 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3),
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(12, 8, 3),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 1, 3, stride=2, padding=1, output_padding=1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        x = self.encoder(x)
        x = self.decoder(x)
        return x


class TiedAutoencoder(nn.Module):
    """A linear autoencoder whose decoder is the encoder's transpose."""

    def __init__(self, n_inputs=144, n_hidden=10):
        super().__init__()
        self.encoder = nn.Linear(n_inputs, n_hidden)
        self.decoder_bias = nn.Parameter(torch.zeros(n_inputs))
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        shape = x.shape
        code = torch.tanh(self.encoder(x.flatten(1)))
        decoded = torch.matmul(code, self.encoder.weight) + self.decoder_bias
        sparsity = code.abs().mean()
        return (self.scale * decoded).view(shape), sparsity


def make_models():
    return [Autoencoder(), TiedAutoencoder()]


def train(model, tied, images, noise):
    loader = DataLoader(NoisyDataset(images, noise), batch_size=4, shuffle=False)
    criterion = nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-5)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5)
    history = []
    for epoch in range(5):
        model.train()
        epoch_loss = 0.0
        for noisy, clean in loader:
            recon = model(noisy)
            loss = criterion(recon, clean)

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item() * len(noisy)
            history.append(loss.item())
        scheduler.step()
        lr = scheduler.get_last_lr()[0]
        print("Epoch:{}, Loss:{:.4f}, lr:{:.5f}".format(epoch + 1, epoch_loss / len(images), lr))

    criterion = nn.SmoothL1Loss(beta=0.5)
    optimizer = torch.optim.SGD(tied.parameters(), lr=0.5, momentum=0.9, nesterov=True)
    for epoch in range(10):
        optimizer.zero_grad()
        recon, sparsity = tied(images)
        recon_loss = criterion(recon, images)
        l2 = sum(p.pow(2).sum().item() for p in tied.encoder.parameters())
        recon_loss.backward()
        optimizer.step()
        history += [recon_loss.item(), l2, sparsity.item()]
    return history


def main():
    torch.manual_seed(0)
    train(*make_models(), torch.rand(8, 1, 12, 12), torch.randn(8, 1, 12, 12))


if __name__ == "__main__":
    main()
