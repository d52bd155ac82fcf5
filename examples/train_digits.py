"""Train a small CNN on the 8x8 digits that are bundled with minidl, and look at its mistakes.

python examples/train_digits.py --epochs 20
"""

import argparse

import minidl
from minidl import nn, optim
from minidl.data import DataLoader, load_digits
from minidl.training import Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    minidl.manual_seed(options.seed)
    train, test = load_digits()
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(512, 10),
    )
    print(model.summary((1, 1, 8, 8)))

    optimizer = optim.SGD(model.params(), lr=0.05, momentum=0.9)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer)
    trainer.fit(DataLoader(train, batch_size=32, shuffle=True), DataLoader(test, 256), epochs=options.epochs)

    images, labels = test.arrays
    predicted = trainer.predict(images).argmax(axis=1)
    wrong = (predicted != labels).nonzero()[0]
    print(f"test accuracy: {100 * (predicted == labels).mean():.2f} %")
    for index in wrong[:3]:
        print(f"test image {index}: label {labels[index]}, predicted {predicted[index]}")
        for row in images[index, 0]:
            print("   " + "".join(" .:-=+*#%"[int(8 * pixel)] * 2 for pixel in row))


if __name__ == "__main__":
    main()
