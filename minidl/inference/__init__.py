"""Inference without Python in the way: a model in evaluation mode as a flat list of bound calls."""

from .compiled import Compiled, compile

__all__ = ["Compiled", "compile"]
