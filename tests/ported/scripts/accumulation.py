import copy

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class AverageMeter(object):
    """Computes and stores the average and current value"""

    def __init__(self, name):
        self.name = name
        self.reset()

    def reset(self):
        self.val = self.avg = self.sum = self.count = 0

    def update(self, val, n=1):
        self.val = val
        self.sum += val * n
        self.count += n
        self.avg = self.sum / self.count

    def __str__(self):
        return f"{self.name} {self.val:.4f} ({self.avg:.4f})"


def conv_bn(inp, oup, stride):
    return nn.Sequential(
        nn.Conv2d(inp, oup, 3, stride, 1, bias=False),
        nn.BatchNorm2d(oup),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    def __init__(self, inp, oup, stride, expand_ratio):
        super(InvertedResidual, self).__init__()
        self.stride = stride
        assert stride in [1, 2]
        hidden_dim = int(inp * expand_ratio)
        self.use_res_connect = self.stride == 1 and inp == oup
        self.conv = nn.Sequential(
            # pw
            nn.Conv2d(inp, hidden_dim, 1, 1, 0, bias=False),
            nn.BatchNorm2d(hidden_dim),
            nn.ReLU6(inplace=True),
            # dw
            nn.Conv2d(hidden_dim, hidden_dim, 3, stride, 1, groups=hidden_dim, bias=False),
            nn.BatchNorm2d(hidden_dim),
            nn.ReLU6(inplace=True),
            # pw-linear
            nn.Conv2d(hidden_dim, oup, 1, 1, 0, bias=False),
            nn.BatchNorm2d(oup),
        )

    def forward(self, x):
        if self.use_res_connect:
            return x + self.conv(x)
        else:
            return self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self, n_class=5):
        super(MobileNetV2, self).__init__()
        input_channel = 4
        self.features = [conv_bn(1, input_channel, 2)]
        for t, c, n, s in [[2, 4, 1, 1], [2, 6, 2, 2]]:
            for i in range(n):
                stride = s if i == 0 else 1
                self.features.append(InvertedResidual(input_channel, c, stride, expand_ratio=t))
                input_channel = c
        # make it nn.Sequential
        self.features = nn.Sequential(*self.features)
        self.classifier = nn.Linear(6, n_class)

    def forward(self, x):
        x = self.features(x)
        x = x.mean(3).mean(2)
        x = self.classifier(x)
        return x


class ModelEMA:
    """Keeps a moving average of everything in the model's state."""

    def __init__(self, model, decay=0.9):
        self.ema = copy.deepcopy(model).eval()
        self.decay = decay
        for p in self.ema.parameters():
            p.requires_grad_(False)

    def update(self, model):
        with torch.no_grad():
            for ema_p, p in zip(self.ema.parameters(), model.parameters()):
                ema_p.data = ema_p.data * self.decay + p.data * (1 - self.decay)


def make_models():
    return [MobileNetV2()]


def train(model, images, labels):
    accumulation_steps = 2
    dataset = TensorDataset(images, labels)
    train_loader = DataLoader(dataset, batch_size=3, shuffle=False, num_workers=0, drop_last=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=0)
    ema = ModelEMA(model)
    history = []
    for epoch in range(4):
        losses = AverageMeter("Loss")
        model.train()
        optimizer.zero_grad()
        for i, (images, target) in enumerate(train_loader):
            output = model(images)
            loss = F.cross_entropy(output, target)
            losses.update(loss.item(), images.shape[0])
            history.append(loss.item())
            loss = loss / accumulation_steps
            loss.backward()
            if (i + 1) % accumulation_steps == 0:
                total_norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm=2.0, norm_type=2)
                history.append(float(total_norm))
                optimizer.step()
                optimizer.zero_grad()
                ema.update(model)
        scheduler.step(losses.avg)
        print(f"Epoch {epoch}: {losses}, lr {optimizer.param_groups[0]['lr']}")
    with torch.no_grad():
        history.append(F.cross_entropy(ema.ema(images), target).item())
    return history


def main():
    torch.manual_seed(0)
    train(make_models()[0], torch.rand(12, 1, 12, 12), torch.randint(0, 5, (12,)))


if __name__ == "__main__":
    main()
