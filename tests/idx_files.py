"""The datasets in MNIST's format, and their files, small and made up. A loader of `minidl.data.mnist` has an entry."""

import gzip
from dataclasses import dataclass, field

import numpy as np
from conftest import idx_bytes

from minidl import data


@dataclass
class Idx:
    load: object
    train: str = "train"
    test: str = "t10k"
    classes: int = 10
    options: dict = field(default_factory=dict)
    first_label: int = 0
    transposed: bool = False

    def write(self, folder, counts=(90, 30)):
        """Write the four files, training gzipped and test not; return the images and labels of both parts."""
        rng = np.random.default_rng(0)
        folder.mkdir(parents=True, exist_ok=True)
        parts = []
        for prefix, count in zip((self.train, self.test), counts, strict=True):
            images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            labels = np.arange(count) % self.classes
            parts.append((images, labels))
            stored = images.transpose(0, 2, 1) if self.transposed else images
            for name, array in (
                (f"{prefix}-images-idx3-ubyte", stored),
                (f"{prefix}-labels-idx1-ubyte", labels + self.first_label),
            ):
                zipped = prefix == self.train
                content = gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array)
                (folder / (f"{name}.gz" if zipped else name)).write_bytes(content)
        return parts


def emnist(split, classes, first_label=0):
    prefix = f"emnist-{split}"
    return Idx(
        data.load_emnist, f"{prefix}-train", f"{prefix}-test", classes, {"split": split}, first_label, transposed=True
    )


IDX = {
    "mnist": Idx(data.load_mnist),
    "fashion_mnist": Idx(data.load_fashion_mnist),
    "kmnist": Idx(data.load_kmnist),
    "emnist-balanced": emnist("balanced", 47),
    "emnist-byclass": emnist("byclass", 62),
    "emnist-bymerge": emnist("bymerge", 47),
    "emnist-digits": emnist("digits", 10),
    "emnist-letters": emnist("letters", 26, first_label=1),
    "emnist-mnist": emnist("mnist", 10),
}
