"""One file for a whole model: architecture, weights, preprocessing and classes; `save_model` and `load_model`.

`tree.py` describes modules as JSON, `traced.py` a forward that somebody wrote, `values.py` what is in them.
`building.py` and `recorded.py` make modules of it again. `file.py` is the file, `loaded.py` a model from one.
"""

from .file import load_model, load_run, save_model
from .loaded import LoadedModel, Predictions

__all__ = ["LoadedModel", "Predictions", "load_model", "load_run", "save_model"]
