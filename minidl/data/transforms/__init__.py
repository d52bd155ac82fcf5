"""Transforms of whole batches of images; each image gets its own random numbers, from an explicit generator.

    augment = Compose(RandomCrop(28, padding=2), RandomRotation(10), Normalize(0.1307, 0.3081))
    loader = DataLoader(train, 64, shuffle=True, transform=augment)

Images are (N, C, H, W), float32 or float64, and keep their dtype; the array passed in is never changed.
"""

from .base import Compose, Transform
from .blurring import GaussianBlur
from .color import ColorJitter, Normalize
from .erasing import Cutout, RandomErasing
from .geometry import (
    CenterCrop,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
)
from .mixing import CutMix, MixUp, one_hot
from .resizing import RandomResizedCrop, Resize

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "CutMix",
    "Cutout",
    "GaussianBlur",
    "MixUp",
    "Normalize",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "Transform",
    "one_hot",
]
