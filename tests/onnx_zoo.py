"""Models as a PyTorch user writes them, for the export tests: attention, a U-Net, a recurrent cell, two towers."""

import minidl as torch
from minidl import functional as F
from minidl import nn


class Attention(nn.Module):
    def __init__(self, dim=8, heads=2):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        q, k, v = (y.view(b, t, self.heads, c // self.heads).transpose(1, 2) for y in (q, k, v))
        scores = (q @ k.transpose(-2, -1)) / (c // self.heads) ** 0.5
        mask = torch.tril(torch.ones(t, t)) == 0
        weights = F.softmax(scores.masked_fill(mask, float("-inf")), dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).contiguous().view(b, t, c))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, stride=4)
        self.cls, self.pos = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 5, 8))
        self.blocks = nn.ModuleList([Attention(), Attention()])
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls + torch.zeros_like(x[:, :1]), x], dim=1) + self.pos
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, 0])


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.up, self.mix = nn.ConvTranspose2d(8, 4, 2, stride=2), nn.Conv2d(8, 4, 3, padding=1)
        self.norm, self.last = nn.BatchNorm2d(4), nn.Conv2d(5, 1, 1)

    def forward(self, x):
        first = F.relu(self.norm(self.down1(x)))
        second = F.relu(self.down2(F.max_pool2d(first, 2)))
        joined = F.relu(self.mix(torch.cat([first, self.up(second)], dim=1)))
        small = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear", align_corners=False)
        return torch.sigmoid(self.last(torch.cat([joined, small], dim=1)))


class Recurrent(nn.Module):
    """A gated cell, unrolled over the time axis."""

    def __init__(self):
        super().__init__()
        self.input, self.hidden, self.out = nn.Linear(3, 12), nn.Linear(6, 12), nn.Linear(6, 2)

    def forward(self, x):
        h = torch.zeros(1, 6)
        states = []
        for t in range(x.size(1)):
            update, new = (self.input(x[:, t]) + self.hidden(h)).chunk(2, dim=1)
            update = torch.sigmoid(update)
            h = update * h + (1 - update) * torch.tanh(new)
            states.append(h)
        states = torch.stack(states, dim=1)
        return self.out(states), states.max(dim=1)[0]


class Towers(nn.Module):
    """An image and a bag of words, compared by their cosine."""

    def __init__(self):
        super().__init__()
        self.image, self.words = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Embedding(20, 4)
        self.temperature = nn.Parameter(torch.ones(1))

    def forward(self, image, words):
        a = self.image(image).mean(dim=(2, 3))
        b = self.words(words).sum(dim=1)
        a, b = a / a.pow(2).sum(1, keepdim=True).sqrt(), b / (b * b).sum(1, keepdim=True).sqrt().clamp(min=1e-6)
        return {"scores": a @ b.t() * self.temperature.exp(), "cosine": (a * b).sum(-1)}
