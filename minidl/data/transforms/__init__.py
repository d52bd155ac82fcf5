"""Transforms of whole batches of images; each image gets its own random numbers, from an explicit generator.

    augment = Compose(RandomCrop(28, padding=2), RandomRotation(10), Normalize(0.1307, 0.3081))
    loader = DataLoader(train, 64, shuffle=True, transform=augment)

Images are (N, C, H, W), float32 or float64, and keep their dtype; the array passed in is never changed.
"""

from .base import Compose, Transform
from .color import ColorJitter, Normalize
from .erasing import Cutout, RandomErasing
from .geometry import RandomAffine, RandomCrop, RandomHorizontalFlip, RandomRotation
from .mixing import CutMix, MixUp, one_hot

__all__ = [
    "ColorJitter",
    "Compose",
    "CutMix",
    "Cutout",
    "MixUp",
    "Normalize",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomRotation",
    "Transform",
    "one_hot",
]
