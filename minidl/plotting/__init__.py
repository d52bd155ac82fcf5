"""Figures of models and training, with matplotlib (extra ``plot``). Each function that draws returns a Figure.

figure = minidl.plotting.curves(history)
figure.savefig("curves.png")
"""

from .attribution import grad_cam_map, input_gradient
from .boundary import BoundaryFrames, decision_boundary
from .figures import confusion_matrix, curves, gradient_flow, lr_curve, reliability_diagram
from .images import feature_maps, filters, grad_cam, image_grid, saliency
from .options import option_effects

__all__ = [
    "BoundaryFrames",
    "confusion_matrix",
    "curves",
    "decision_boundary",
    "feature_maps",
    "filters",
    "grad_cam",
    "grad_cam_map",
    "gradient_flow",
    "image_grid",
    "input_gradient",
    "lr_curve",
    "option_effects",
    "reliability_diagram",
    "saliency",
]
