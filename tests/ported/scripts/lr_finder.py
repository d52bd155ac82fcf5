import copy

import torch
import torch.nn as nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, TensorDataset


class ExponentialLR(LRScheduler):
    """Exponentially increases the learning rate between two boundaries over a number of iterations."""

    def __init__(self, optimizer, end_lr, num_iter, last_epoch=-1):
        self.end_lr = end_lr
        self.num_iter = num_iter
        super(ExponentialLR, self).__init__(optimizer, last_epoch)

    def get_lr(self):
        r = self.last_epoch / (self.num_iter - 1)
        return [base_lr * (self.end_lr / base_lr) ** r for base_lr in self.base_lrs]


class TrainDataLoaderIter:
    def __init__(self, data_loader):
        self.data_loader = data_loader
        self._iterator = iter(data_loader)

    def __next__(self):
        try:
            inputs, labels = next(self._iterator)
        except StopIteration:
            self._iterator = iter(self.data_loader)
            inputs, labels = next(self._iterator)
        return inputs, labels


class LRFinder(object):
    def __init__(self, model, optimizer, criterion):
        self.model = model
        self.optimizer = optimizer
        self.criterion = criterion
        self.history = {"lr": [], "loss": []}
        self.best_loss = None
        # save the original state of the model and optimizer so they can be restored
        self.model_state = copy.deepcopy(model.state_dict())
        self.optimizer_state = copy.deepcopy(optimizer.state_dict())

    def reset(self):
        self.model.load_state_dict(self.model_state)
        self.optimizer.load_state_dict(self.optimizer_state)

    def range_test(self, train_loader, end_lr=10, num_iter=10, smooth_f=0.05, diverge_th=5):
        lr_schedule = ExponentialLR(self.optimizer, end_lr, num_iter)
        train_iter = TrainDataLoaderIter(train_loader)
        for iteration in range(num_iter):
            loss = self._train_batch(train_iter)
            # Update the learning rate
            self.history["lr"].append(lr_schedule.get_last_lr()[0])
            lr_schedule.step()
            # Track the best loss and smooth it if smooth_f is specified
            if iteration == 0:
                self.best_loss = loss
            else:
                if smooth_f > 0:
                    loss = smooth_f * loss + (1 - smooth_f) * self.history["loss"][-1]
                if loss < self.best_loss:
                    self.best_loss = loss
            # Check if the loss has diverged; if it has, stop the test
            self.history["loss"].append(loss)
            if loss > diverge_th * self.best_loss:
                print("Stopping early, the loss has diverged")
                break

    def _train_batch(self, train_iter):
        self.model.train()
        self.optimizer.zero_grad()
        inputs, labels = next(train_iter)
        outputs = self.model(inputs)
        loss = self.criterion(outputs, labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 8, 3)])
        self.bns = nn.ModuleList(nn.BatchNorm2d(n) for n in (4, 4, 8))
        self.fc = nn.Linear(128, 5)

    def forward(self, x):
        for i, (layer, bn) in enumerate(zip(self.layers, self.bns)):
            x = bn(layer(x)).relu()
        return self.fc(x.flatten(start_dim=1))


def make_models():
    return [Net()]


def train(model, images, labels):
    loader = DataLoader(TensorDataset(images, labels), batch_size=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    finder = LRFinder(model, optimizer, nn.CrossEntropyLoss())
    finder.range_test(loader, end_lr=1, num_iter=10)
    losses = finder.history["lr"] + finder.history["loss"]
    finder.reset()

    optimizer.param_groups[0]["lr"] = 0.05
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=6)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(2):
        for inputs, targets in loader:
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            losses.append(loss.item())
    print(losses)
    return losses


def main():
    torch.manual_seed(0)
    train(make_models()[0], torch.rand(12, 1, 10, 10), torch.randint(0, 5, (12,)))


if __name__ == "__main__":
    main()
