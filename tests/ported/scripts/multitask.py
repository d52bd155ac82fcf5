import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class FacesDataset(Dataset):
    """Images with a dictionary of targets: age (a number), gender and an array of attributes."""

    def __init__(self, images, ages, genders, attributes):
        self.images = images
        self.ages = ages
        self.genders = genders
        self.attributes = attributes

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        sample = {
            "image": self.images[index],
            "age": self.ages[index],
            "gender": self.genders[index],
            "attributes": self.attributes[index],
        }
        return sample


class MultiTaskNet(nn.Module):
    def __init__(self, n_genders=2, n_attributes=3):
        super(MultiTaskNet, self).__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.GroupNorm(2, 6),
            nn.SiLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3),
            nn.PReLU(8),
            nn.AdaptiveAvgPool2d(1),
        )
        self.n_features = 8
        self.age = nn.Sequential(nn.Linear(self.n_features, 8), nn.ELU(), nn.Linear(8, 1))
        self.gender = nn.Linear(self.n_features, n_genders)
        self.attributes = nn.Linear(self.n_features, n_attributes)

    def forward(self, x):
        features = self.net(x).squeeze(-1).squeeze(-1)
        return {
            "age": self.age(features).squeeze(1),
            "gender": self.gender(features),
            "attributes": self.attributes(features),
        }


class UncertaintyWeighting(nn.Module):
    """Weighs losses by trained variances: Kendall, Gal and Cipolla (2018)."""

    def __init__(self, n_tasks):
        super().__init__()
        self.log_vars = nn.Parameter(torch.zeros(n_tasks))
        self.age_loss = nn.L1Loss()
        self.gender_loss = nn.CrossEntropyLoss()
        self.attributes_loss = nn.BCEWithLogitsLoss()

    def forward(self, outputs, age, gender, attributes):
        losses = torch.stack(
            [
                self.age_loss(outputs["age"], age),
                self.gender_loss(outputs["gender"], gender),
                self.attributes_loss(outputs["attributes"], attributes),
            ]
        )
        return (torch.exp(-self.log_vars) * losses + self.log_vars).sum()


def make_models():
    return [MultiTaskNet(), UncertaintyWeighting(3), MultiTaskNet()]


def train(model, weighting, plain, images, ages, genders, attributes):
    dataset = FacesDataset(images, ages, genders, attributes)
    loader = DataLoader(dataset, batch_size=4, shuffle=False, drop_last=True)
    losses = []

    # losses with trained weights
    params = list(model.parameters()) + list(weighting.parameters())
    optimizer = torch.optim.Adam(params, lr=0.01, amsgrad=True)
    for epoch in range(5):
        for batch in loader:
            optimizer.zero_grad()
            outputs = model(batch["image"])
            loss = weighting(outputs, batch["age"], batch["gender"], batch["attributes"])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    # a plain sum
    age_loss = nn.L1Loss()
    gender_loss = nn.CrossEntropyLoss()
    attributes_loss = nn.BCEWithLogitsLoss(pos_weight=torch.full((3,), 2.0).to(images.dtype))
    optimizer = torch.optim.Adagrad(plain.parameters(), lr=0.05)
    for epoch in range(5):
        total_training_loss = 0
        for batch in loader:
            outputs = plain(batch["image"])
            loss_1 = age_loss(outputs["age"], batch["age"])
            loss_2 = gender_loss(outputs["gender"], batch["gender"])
            loss_3 = attributes_loss(outputs["attributes"], batch["attributes"])
            loss = loss_1 + loss_2 + 0.5 * loss_3
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total_training_loss += loss
            losses += [loss_1.item(), loss_2.item(), loss_3.item()]
        print("epoch {} loss {:.4f}".format(epoch, total_training_loss.item() / len(loader)))
    return losses


def main():
    torch.manual_seed(0)
    images, ages = torch.rand(9, 3, 8, 8), torch.rand(9)
    train(*make_models(), images, ages, torch.randint(0, 2, (9,)), torch.rand(9, 3))


if __name__ == "__main__":
    main()
