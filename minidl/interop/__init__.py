"""Weights and models in files, including those of other frameworks."""

from .files import load, save
from .onnx_export import OnnxGraph, export_onnx, onnx_nodes
from .onnx_import import OnnxModel, from_onnx

__all__ = ["OnnxGraph", "OnnxModel", "export_onnx", "from_onnx", "load", "onnx_nodes", "save"]
