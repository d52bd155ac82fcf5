"""Ready-made networks, with fresh weights."""

from .cifar import all_cnn_c, resnet20, resnet32, resnet56, small_vgg
from .imagenet import mobilenet_v2, resnet18
from .lecun import lecun1989
from .small import digits_cnn, fashion_cnn, lenet5, mnist_cnn

# Shape (C, H, W) of the samples that each network is made for.
INPUT_SHAPES = {
    **dict.fromkeys(("fashion_cnn", "lenet5", "mnist_cnn"), (1, 28, 28)),
    **dict.fromkeys(("all_cnn_c", "resnet20", "resnet32", "resnet56", "small_vgg"), (3, 32, 32)),
    **dict.fromkeys(("mobilenet_v2", "resnet18"), (3, 224, 224)),
    "digits_cnn": (1, 8, 8),
    "lecun1989": (1, 16, 16),
}

__all__ = [
    "all_cnn_c",
    "digits_cnn",
    "fashion_cnn",
    "lecun1989",
    "lenet5",
    "mnist_cnn",
    "mobilenet_v2",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet56",
    "small_vgg",
]
