"""Training: the loop around model, loss and optimiser, its history, metrics, checkpoints, and the hooks into it."""

from . import callbacks, metrics
from .callback import Callback, StopTraining
from .diagnosis import NonFiniteLossError
from .history import History
from .model_checkpoint import ModelCheckpoint
from .trainer import Trainer

__all__ = [
    "Callback",
    "History",
    "ModelCheckpoint",
    "NonFiniteLossError",
    "StopTraining",
    "Trainer",
    "callbacks",
    "metrics",
]
