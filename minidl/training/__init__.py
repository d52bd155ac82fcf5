"""Training: the loop around model, loss and optimiser, its history, and the hooks into it."""

from .callbacks import Callback
from .history import History
from .trainer import NonFiniteLossError, Trainer

__all__ = ["Callback", "History", "NonFiniteLossError", "Trainer"]
