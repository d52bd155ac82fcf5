"""Datasets and batches. Images are float32, (N, 1 or 3, H, W), scaled to [0, 1]; labels are int64."""

from .dataset import ArrayDataset, Dataset, Subset, random_split
from .digits import load_digits
from .loader import DataLoader
from .mnist import load_mnist

__all__ = ["ArrayDataset", "DataLoader", "Dataset", "Subset", "load_digits", "load_mnist", "random_split"]
