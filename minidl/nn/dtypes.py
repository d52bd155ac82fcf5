"""The names of dtypes in PyTorch programs; each is NumPy's dtype."""

# apart from other code, for some are also names of Python's types
import numpy as np

__all__ = ["bool", "double", "float", "float32", "float64", "int32", "int64", "long", "uint8"]

float = float32 = np.dtype(np.float32)
double = float64 = np.dtype(np.float64)
long = int64 = np.dtype(np.int64)
int32 = np.dtype(np.int32)
uint8 = np.dtype(np.uint8)
bool = np.dtype(np.bool_)
