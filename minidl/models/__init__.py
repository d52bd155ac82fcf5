"""Networks ready to be trained, by name."""

from .cifar import all_cnn_c, resnet20, resnet32, resnet56, small_vgg
from .imagenet import mobilenet_v2, resnet18
from .lecun import lecun1989
from .small import digits_cnn, lenet5, mnist_cnn

__all__ = [
    "all_cnn_c",
    "digits_cnn",
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
