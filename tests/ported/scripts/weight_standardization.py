import torch
import torch.nn as nn
import torch.nn.functional as F


class Conv2d(nn.Conv2d):
    """Weight standardization: Qiao et al. (2019)."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True):
        super(Conv2d, self).__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)

    def forward(self, x):
        # return super(Conv2d, self).forward(x)
        weight = self.weight
        weight_mean = weight.mean(dim=1, keepdim=True).mean(dim=2, keepdim=True).mean(dim=3, keepdim=True)
        weight = weight - weight_mean
        std = weight.view(weight.size(0), -1).std(dim=1).view(-1, 1, 1, 1) + 1e-5
        weight = weight / std.expand_as(weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class MaskedConv2d(nn.Conv2d):
    """PixelCNN's convolution: sees only what is above and to the left."""

    def __init__(self, mask_type, *args, **kwargs):
        super(MaskedConv2d, self).__init__(*args, **kwargs)
        assert mask_type in {"A", "B"}
        self.register_buffer("mask", torch.ones_like(self.weight))
        _, _, kH, kW = self.weight.size()
        self.mask[:, :, kH // 2, kW // 2 + (mask_type == "B") :] = 0
        self.mask[:, :, kH // 2 + 1 :] = 0

    def forward(self, x):
        return F.conv2d(x, self.weight * self.mask, self.bias, self.stride, self.padding)


class EqualizedLinear(nn.Linear):
    """The learning rate is equalized by a gain at run time: Karras et al. (2018)."""

    def __init__(self, in_features, out_features, gain=1.0):
        super().__init__(in_features, out_features)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)
        self.scale = gain / in_features**0.5

    def forward(self, x):
        return F.linear(x, self.weight * self.scale, self.bias)


class Mish(nn.Module):
    def forward(self, x):
        return x * torch.tanh(F.softplus(x))


class Net(nn.Module):
    def __init__(self, num_classes=6):
        super().__init__()
        self.conv1 = MaskedConv2d("A", 2, 6, 5, padding=2)
        self.norm1 = nn.GroupNorm(3, 6)
        self.conv2 = Conv2d(6, 8, 3, stride=2, padding=1)
        self.norm2 = nn.InstanceNorm2d(8, affine=True)
        self.act = Mish()
        self.temperature = nn.Parameter(torch.ones(1) * 0.5)
        self.fc = EqualizedLinear(8, num_classes)

    def forward(self, x):
        x = self.act(self.norm1(self.conv1(x)))
        x = self.norm2(self.conv2(x))
        # generalized mean pooling
        x = F.adaptive_avg_pool2d(x.clamp(min=1e-2).pow(3), 1).pow(1.0 / 3)
        return self.fc(x.flatten(1)) / self.temperature


def make_models():
    return [Net()]


class FocalLoss(nn.Module):
    def __init__(self, gamma=2.0, reduction="mean"):
        super().__init__()
        self.gamma = gamma
        self.reduction = reduction

    def forward(self, input, target):
        logpt = F.log_softmax(input, dim=1)
        logpt = logpt.gather(1, target.view(-1, 1)).view(-1)
        pt = logpt.exp()
        loss = -1 * (1 - pt) ** self.gamma * logpt
        if self.reduction == "mean":
            return loss.mean()
        return loss.sum()


def train(model, images, labels):
    criterion = FocalLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for step in range(10):
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        print("step", step, losses[-1])
    return losses


def main():
    torch.manual_seed(0)
    train(make_models()[0], torch.rand(4, 2, 9, 9), torch.randint(0, 6, (4,)))


if __name__ == "__main__":
    main()
