"""Train LeNet-5 or the 32-64 convolutional net with dropout on MNIST.

    python examples/train_mnist.py --root DIR --model lenet5
    python examples/train_mnist.py --root DIR --model mnist_cnn

DIR is the folder with MNIST's four files, gzipped or not.
"""

import argparse

import minidl
from minidl import models, nn, optim
from minidl.data import ArrayDataset, DataLoader, load_mnist
from minidl.training import Callback, Trainer


class DropRate(Callback):
    """Multiply the learning rate by a factor after each epoch."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def on_epoch_end(self, trainer: Trainer) -> None:
        for group in trainer.optimizer.param_groups:
            group["lr"] *= self.factor


def first(dataset: ArrayDataset, count: int | None) -> ArrayDataset:
    return ArrayDataset(*(array[:count] for array in dataset.arrays))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder with MNIST's four files")
    parser.add_argument("--model", choices=["lenet5", "mnist_cnn"], default="lenet5")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="use only this many images, for a quick try")
    options = parser.parse_args()

    minidl.manual_seed(options.seed)
    train, test = (first(part, options.limit) for part in load_mnist(options.root))
    model = getattr(models, options.model)()
    print(model.summary((1, 1, 28, 28)))

    optimizer = optim.SGD(model.params(), lr=options.lr, momentum=0.9, weight_decay=1e-4)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=[DropRate(0.7)])
    batches, test_batches = DataLoader(train, batch_size=64, shuffle=True), DataLoader(test, batch_size=256)
    trainer.fit(batches, test_batches, epochs=options.epochs)
    print(f"test accuracy: {100 * trainer.evaluate(test_batches)['accuracy']:.2f} %")


if __name__ == "__main__":
    main()
