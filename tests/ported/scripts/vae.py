import torch
from torch import nn, optim
from torch.nn import functional as F


class VAE(nn.Module):
    def __init__(self):
        super(VAE, self).__init__()

        self.fc1 = nn.Linear(64, 32)
        self.fc21 = nn.Linear(32, 4)
        self.fc22 = nn.Linear(32, 4)
        self.fc3 = nn.Linear(4, 32)
        self.fc4 = nn.Linear(32, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


# Reconstruction + KL divergence losses summed over all elements and batch
class VAELoss(nn.Module):
    def forward(self, recon_x, x, mu, logvar):
        BCE = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")

        # see Appendix B from VAE paper:
        # Kingma and Welling. Auto-Encoding Variational Bayes. ICLR, 2014
        # 0.5 * sum(1 + log(sigma^2) - mu^2 - sigma^2)
        KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

        return BCE + KLD


def make_models():
    return [VAE()]


def train(model, images):
    loss_function = VAELoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    log_interval = 2
    losses = []
    for epoch in range(1, 6):
        model.train()
        train_loss = 0
        for batch_idx, data in enumerate([images[:5], images[5:]]):
            optimizer.zero_grad()
            recon_batch, mu, logvar = model(data)
            loss = loss_function(recon_batch, data, mu, logvar)
            loss.backward()
            train_loss += loss.item()
            optimizer.step()
            losses.append(loss.item())
            if batch_idx % log_interval == 0:
                print("Train Epoch: {} \tLoss: {:.6f}".format(epoch, loss.item() / len(data)))
        print("====> Epoch: {} Average loss: {:.4f}".format(epoch, train_loss / len(images)))

    model.eval()
    with torch.no_grad():
        recon_batch, mu, logvar = model(images)
        test_loss = loss_function(recon_batch, images, mu, logvar).item()
        print("====> Test set loss: {:.4f}".format(test_loss / len(images)))
        losses.append(test_loss)
        sample = torch.randn(4, 4, dtype=images.dtype)
        sample = model.decode(sample)
        print(sample.shape)
    return losses


def main():
    torch.manual_seed(0)
    train(make_models()[0], torch.rand(10, 1, 8, 8))


if __name__ == "__main__":
    main()
