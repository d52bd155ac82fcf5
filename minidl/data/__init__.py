"""Datasets, batches and transforms. Images are float32, (N, 1 or 3, H, W), scaled to [0, 1]; labels are int64."""

from . import transforms
from .cifar import load_cifar10, load_cifar100
from .dataset import ArrayDataset, Dataset, Subset, random_split
from .digits import load_digits
from .folder import ImageFolder, read_image
from .loader import DataLoader
from .mnist import load_fashion_mnist, load_mnist
from .sampling import Sampler, StratifiedSampler, WeightedSampler
from .transforms import one_hot

__all__ = [
    "ArrayDataset",
    "DataLoader",
    "Dataset",
    "ImageFolder",
    "Sampler",
    "StratifiedSampler",
    "Subset",
    "WeightedSampler",
    "load_cifar10",
    "load_cifar100",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
    "one_hot",
    "random_split",
    "read_image",
    "transforms",
]
