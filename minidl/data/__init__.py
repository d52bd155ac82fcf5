"""Datasets, batches and transforms. Images are float32, (N, 1 or 3, H, W), scaled to [0, 1]; labels are int64."""

from . import mnist, toys, transforms
from .cifar import load_cifar10, load_cifar100
from .dataset import ArrayDataset, Dataset, Subset, random_split
from .digits import load_digits
from .folder import ImageFolder, load_image_folder
from .idx import read_idx
from .images import read_image
from .loader import DataLoader
from .mnist import *
from .sampling import Sampler, StratifiedSampler, WeightedSampler
from .split import class_weights, stratified_folds, stratified_split
from .toys import *
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
    "class_weights",
    "load_cifar10",
    "load_cifar100",
    "load_digits",
    "load_image_folder",
    "one_hot",
    "random_split",
    "read_idx",
    "read_image",
    "stratified_folds",
    "stratified_split",
    "transforms",
]
__all__ += mnist.__all__
__all__ += toys.__all__
