"""Training: the loop around model, loss and optimiser, its history, metrics, checkpoints, and the hooks into it."""

from . import callbacks, metrics
from .calibration import Reliability, fit_temperature, reliability
from .callback import Callback, StopTraining
from .cross_validation import CrossValidation, cross_validate
from .diagnosis import NonFiniteLossError
from .history import History
from .lr_find import LRFind, lr_find
from .model_checkpoint import ModelCheckpoint
from .trainer import Trainer

__all__ = [
    "Callback",
    "CrossValidation",
    "History",
    "LRFind",
    "ModelCheckpoint",
    "NonFiniteLossError",
    "Reliability",
    "StopTraining",
    "Trainer",
    "callbacks",
    "cross_validate",
    "fit_temperature",
    "lr_find",
    "metrics",
    "reliability",
]
