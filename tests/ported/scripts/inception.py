import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


class BasicConv2d(nn.Module):
    def __init__(self, in_channels, out_channels, **kwargs):
        super(BasicConv2d, self).__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **kwargs)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x):
        x = self.conv(x)
        x = self.bn(x)
        return F.relu(x, inplace=True)


class InceptionA(nn.Module):
    def __init__(self, in_channels, pool_features):
        super(InceptionA, self).__init__()
        self.branch1x1 = BasicConv2d(in_channels, 4, kernel_size=1)

        self.branch5x5_1 = BasicConv2d(in_channels, 3, kernel_size=1)
        self.branch5x5_2 = BasicConv2d(3, 4, kernel_size=5, padding=2)

        self.branch3x3dbl_1 = BasicConv2d(in_channels, 4, kernel_size=1)
        self.branch3x3dbl_2 = BasicConv2d(4, 6, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(6, 6, kernel_size=3, padding=1)

        self.branch_pool = BasicConv2d(in_channels, pool_features, kernel_size=1)

    def _forward(self, x):
        branch1x1 = self.branch1x1(x)

        branch5x5 = self.branch5x5_1(x)
        branch5x5 = self.branch5x5_2(branch5x5)

        branch3x3dbl = self.branch3x3dbl_1(x)
        branch3x3dbl = self.branch3x3dbl_2(branch3x3dbl)
        branch3x3dbl = self.branch3x3dbl_3(branch3x3dbl)

        branch_pool = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)
        branch_pool = self.branch_pool(branch_pool)

        outputs = [branch1x1, branch5x5, branch3x3dbl, branch_pool]
        return outputs

    def forward(self, x):
        outputs = self._forward(x)
        return torch.cat(outputs, 1)


class InceptionC(nn.Module):
    def __init__(self, in_channels, c7):
        super(InceptionC, self).__init__()
        self.branch7x7_1 = BasicConv2d(in_channels, c7, kernel_size=1)
        self.branch7x7_2 = BasicConv2d(c7, c7, kernel_size=(1, 7), padding=(0, 3))
        self.branch7x7_3 = BasicConv2d(c7, 6, kernel_size=(7, 1), padding=(3, 0))
        self.branch3x3 = BasicConv2d(in_channels, 4, kernel_size=3, stride=2)

    def forward(self, x):
        branch7x7 = self.branch7x7_1(x)
        branch7x7 = self.branch7x7_2(branch7x7)
        branch7x7 = self.branch7x7_3(branch7x7)
        branch7x7 = F.max_pool2d(branch7x7, kernel_size=3, stride=2)
        return torch.cat([branch7x7, self.branch3x3(x)], 1)


class InceptionAux(nn.Module):
    def __init__(self, in_channels, num_classes):
        super(InceptionAux, self).__init__()
        self.conv0 = BasicConv2d(in_channels, 6, kernel_size=1)
        self.fc = nn.Linear(6, num_classes)

    def forward(self, x):
        x = F.avg_pool2d(x, kernel_size=5, stride=3)
        x = self.conv0(x)
        x = F.adaptive_avg_pool2d(x, (1, 1))
        x = torch.flatten(x, 1)
        x = self.fc(x)
        return x


class Inception(nn.Module):
    def __init__(self, num_classes=5, aux_logits=True):
        super().__init__()
        self.aux_logits = aux_logits
        self.Conv2d_1a_3x3 = BasicConv2d(3, 5, kernel_size=3, stride=1)
        self.Mixed_5b = InceptionA(5, pool_features=3)
        if aux_logits:
            self.AuxLogits = InceptionAux(17, num_classes)
        self.Mixed_6a = InceptionC(17, c7=4)
        self.dropout = nn.Dropout(p=0.3)
        self.fc = nn.Linear(10, num_classes)

    def forward(self, x):
        x = self.Conv2d_1a_3x3(x)
        x = self.Mixed_5b(x)
        aux = None
        if self.aux_logits and self.training:
            aux = self.AuxLogits(x)
        x = self.Mixed_6a(x)
        x = F.adaptive_avg_pool2d(x, (1, 1))
        x = self.dropout(x)
        x = x.view(x.shape[0], -1)
        x = self.fc(x)
        if self.training:
            return x, aux
        return x


def make_models():
    return [Inception()]


def train(model, images, labels):
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.RMSprop(model.parameters(), lr=0.002, alpha=0.9, eps=1.0, momentum=0.9)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.94)
    losses = []
    for epoch in range(10):
        model.train()
        outputs, aux_outputs = model(images)
        loss1 = criterion(outputs, labels)
        loss2 = criterion(aux_outputs, labels)
        loss = loss1 + 0.4 * loss2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            val_loss = criterion(model(images), labels)
        losses += [loss.item(), val_loss.item()]
        print(f"{epoch}: train {loss.item():.4f}, val {val_loss.item():.4f}")
    return losses


def main():
    torch.manual_seed(0)
    train(make_models()[0], torch.rand(3, 3, 13, 13), torch.randint(0, 5, (3,)))


if __name__ == "__main__":
    main()
