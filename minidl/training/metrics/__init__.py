"""Metrics: measures of a model that are accumulated over batches, or over parts of a dataset.

A metric keeps sums. `update` adds a batch, `merge` adds another metric's sums, `compute` returns the measure.
"""

from .base import MeanAbsoluteError, MeanLoss, Metric
from .classification import Accuracy, ClassMetric, ConfusionMatrix, F1Score, Precision, Recall, TopK
from .intervals import wilson_interval
from .ranking import ROCAUC
from .report import ClassificationReport, classification_report

__all__ = [
    "ROCAUC",
    "Accuracy",
    "ClassMetric",
    "ClassificationReport",
    "ConfusionMatrix",
    "F1Score",
    "MeanAbsoluteError",
    "MeanLoss",
    "Metric",
    "Precision",
    "Recall",
    "TopK",
    "classification_report",
    "wilson_interval",
]
