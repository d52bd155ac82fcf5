"""Train on several processes at once, with the numbers of one.

mpiexec -n 2 python -m mpi4py examples/train_ranks.py        (extra "mpi"; without mpiexec it is one process)
"""

import argparse

import minidl
from minidl import models, nn, optim
from minidl.data import load_digits
from minidl.distributed import world
from minidl.training import Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    epochs = parser.parse_args().epochs

    minidl.manual_seed(0)  # the same on every rank
    train, test = load_digits()
    model = models.digits_cnn()
    optimizer = optim.SGD(model.params(), lr=0.05, momentum=0.9)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, comm=world())
    trainer.fit(train, epochs=epochs, batch_size=64)  # of which each of two ranks takes 32
    numbers = trainer.evaluate(test)  # shared out, too; the same numbers on every rank
    if trainer.rank == 0:
        minidl.save(model, "digits.npz")
        print(f"test accuracy {100 * numbers['accuracy']:.2f} %")


if __name__ == "__main__":
    main()
