"""Train LeNet-5, or a larger convolutional network with dropout, on MNIST.

    python examples/train_mnist.py --root DIR --model lenet5
    python examples/train_mnist.py --root DIR --model mnist_cnn

DIR is a folder with MNIST's four files, gzipped or not.
"""

import argparse

import minidl
from minidl import models, nn, optim
from minidl.data import ArrayDataset, DataLoader, load_mnist, transforms
from minidl.optim.lr_scheduler import OneCycleLR
from minidl.training import Trainer


def first(dataset: ArrayDataset, count: int | None) -> ArrayDataset:
    return ArrayDataset(*(array[:count] for array in dataset.arrays))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder with MNIST's four files")
    parser.add_argument("--model", choices=["lenet5", "mnist_cnn"], default="lenet5")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="use only the first images, for a quick try")
    options = parser.parse_args()

    minidl.manual_seed(options.seed)
    train, test = (first(part, options.limit) for part in load_mnist(options.root))
    model = getattr(models, options.model)()
    print(model.summary((1, 1, 28, 28)))

    # rotate, shift, scale and shear every image a little, differently in each epoch
    augment = transforms.RandomAffine(10, (0.08, 0.08), (0.9, 1.1), 5)
    batches = DataLoader(train, batch_size=128, shuffle=True, transform=augment)
    test_batches = DataLoader(test, batch_size=256)
    optimizer = optim.SGD(model.params(), lr=options.lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = OneCycleLR(optimizer, options.lr, total_steps=options.epochs * len(batches), pct_start=0.2)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=schedule)
    trainer.fit(batches, test_batches, epochs=options.epochs)
    print(f"test accuracy: {100 * trainer.evaluate(test_batches)['accuracy']:.2f} %")


if __name__ == "__main__":
    main()
