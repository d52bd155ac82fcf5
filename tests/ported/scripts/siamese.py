import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


class SiameseNetwork(nn.Module):
    def __init__(self):
        super(SiameseNetwork, self).__init__()
        self.cnn1 = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(1, 4, kernel_size=3),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(4),
            nn.ReflectionPad2d(1),
            nn.Conv2d(4, 8, kernel_size=3, stride=2),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(8),
        )
        self.fc1 = nn.Sequential(
            nn.Linear(8 * 6 * 6, 24),
            nn.ReLU(inplace=True),
            nn.Linear(24, 5),
        )

    def forward_once(self, x):
        output = self.cnn1(x)
        output = output.view(output.size()[0], -1)
        output = self.fc1(output)
        return output

    def forward(self, input1, input2):
        output1 = self.forward_once(input1)
        output2 = self.forward_once(input2)
        return output1, output2


class ContrastiveLoss(torch.nn.Module):
    """Contrastive loss function, Hadsell et al. (2006)."""

    def __init__(self, margin=2.0):
        super(ContrastiveLoss, self).__init__()
        self.margin = margin

    def forward(self, output1, output2, label):
        euclidean_distance = F.pairwise_distance(output1, output2)
        loss_contrastive = torch.mean(
            (1 - label) * torch.pow(euclidean_distance, 2)
            + label * torch.pow(torch.clamp(self.margin - euclidean_distance, min=0.0), 2)
        )
        return loss_contrastive


class EmbeddingNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.fc = nn.Linear(6, 4)

    def forward(self, anchor, positive, negative):
        return tuple(self.embed(x) for x in (anchor, positive, negative))

    def embed(self, x):
        x = F.leaky_relu(self.conv(x), 0.1)
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return F.normalize(self.fc(x), p=2, dim=1)


class TripletLoss(nn.Module):
    def __init__(self, margin=1.0):
        super().__init__()
        self.margin = margin

    def calc_euclidean(self, x1, x2):
        return (x1 - x2).pow(2).sum(1)

    def forward(self, anchor, positive, negative):
        distance_positive = self.calc_euclidean(anchor, positive)
        distance_negative = self.calc_euclidean(anchor, negative)
        losses = torch.relu(distance_positive - distance_negative + self.margin)
        return losses.mean()


def make_models():
    return [SiameseNetwork(), EmbeddingNet()]


def train(net, embedding, img0, img1, img2, label):
    criterion = ContrastiveLoss()
    optimizer = optim.Adam(net.parameters(), lr=0.005)
    loss_history = []
    for epoch in range(5):
        optimizer.zero_grad()
        output1, output2 = net(img0, img1)
        loss_contrastive = criterion(output1, output2, label)
        loss_contrastive.backward()
        optimizer.step()
        loss_history.append(loss_contrastive.item())
        print("Epoch number {}\n Current loss {}\n".format(epoch, loss_contrastive.item()))

    triplet = TripletLoss()
    optimizer = optim.Adam(embedding.parameters(), lr=0.01)
    for epoch in range(5):
        anchor, positive, negative = embedding(img0, img1, img2)
        loss = triplet(anchor, positive, negative)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_history.append(loss.item())
    return loss_history


def main():
    torch.manual_seed(0)
    images = [torch.rand(6, 1, 12, 12) for _ in range(3)]
    train(*make_models(), *images, torch.randint(0, 2, (6,)))


if __name__ == "__main__":
    main()
