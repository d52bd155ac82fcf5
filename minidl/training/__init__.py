"""Training: the loop around model, loss and optimiser, its history, metrics, checkpoints, and the hooks into it."""

from . import callbacks, metrics
from .callbacks import Callback, StopTraining
from .checkpoint import ModelCheckpoint
from .history import History
from .trainer import NonFiniteLossError, Trainer

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
