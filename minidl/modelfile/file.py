"""save_model and load_model: a zip of manifest.json and arrays, with everything that a model needs."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._core import (
    Array,
    check_kind,
    check_size,
    memory_for,
    open_zip,
    printable,
    read_npy,
    reading,
    through_link,
    user_path,
    write_atomically,
)
from .._version import __version__
from ..interop.files import npz_of
from ..nn import Module
from ..nn.modes import evaluating
from ..nn.structure import leaves, rebuild
from ..nn.summary import model_dtype
from .building import Building, tie, weights_of
from .loaded import LoadedModel
from .preprocessing import Preprocessing
from .traced import inputs_of_all
from .tree import Describing, tied, unlike

__all__ = ["MODEL", "load_model", "load_run", "model_bytes", "save_model"]

MODEL = "model.minidl"  # in a run's folder
_MANIFEST, _FORMAT, _VERSION = "manifest.json", "minidl model", 1
_STATE, _CONSTANTS = "state/", "constants/"


def save_model(
    model: Module,
    path: str | os.PathLike[str],
    input_shape: Any = None,
    *more: Any,
    dtype: Any = None,
    preprocess: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
) -> None:
    """Write a model to one file that `load_model` reads without the code that made it.

        minidl.save_model(model, "digits.minidl", preprocess={"shape": (1, 8, 8)}, classes=train.classes)

    minidl's own layers are stored by class and arguments, containers with their children; of a Module that defines
    `forward` alone, what its forward does in evaluation mode: it is run on random values in two batch sizes, and
    refused if it does something else for them. What was written is read again and compared before the file appears.

    Args:
        model: a Module. A layer of your own with a `backward` of its own must keep each argument of its constructor as
            an attribute of the same name, and is given to `load_model`.
        path: file name, ending in .minidl.
        input_shape: shape of the input, batch axis included, as for `Module.output_shape`; needed for a `forward` of
            your own unless ``preprocess`` says it.
        *more: shapes of further inputs.
        dtype: of the inputs, or a list with one for each; None means that of the parameters.
        preprocess: {"shape": (C, H, W)}, and perhaps "fit" (see `minidl.data.read_image`), "mean" and "std" for each
            channel of values in [0, 1].
        classes: the classes' names, in the order of the model's outputs (N, C), which are logits.

    Raises:
        ValueError: the suffix is another one; the model cannot be stored, with the layer and the reason; or classes do
            not fit the outputs.
        TypeError: an argument is of the wrong kind.
        OSError, MemoryError: the file cannot be written.
    """
    path = _checked_path("save_model", path)
    shapes = (input_shape, *more) if input_shape is not None else ()
    write_atomically(through_link(path), model_bytes(model, path, shapes, dtype, preprocess, classes))


def model_bytes(
    model: Module,
    path: Path,
    shapes: tuple[Any, ...] = (),
    dtype: Any = None,
    preprocess: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
) -> bytes:
    """Return what `save_model` writes, which describes the arguments and errors; ``path`` is for messages."""
    owner = "save_model"
    check_kind(owner, "model", model, Module)
    prepared = None if preprocess is None else Preprocessing.of(owner, preprocess)
    names = _checked_classes(classes)
    if not shapes and prepared is not None:
        shapes = ((1, *prepared.shape),)
    runs, given = inputs_of_all(model, shapes, dtype) if shapes else (None, [])
    describing = Describing(runs)
    architecture = describing.module(model)
    state, firsts = dict(model._state()), _firsts(model)
    manifest = {
        "format": _FORMAT,
        "version": _VERSION,
        "minidl": __version__,
        "dtype": model_dtype(model).name,
        "input_shapes": [list(shape) for shape in shapes] if all(map(_is_flat, shapes)) else [],
        "classes": names,
        "preprocess": None if prepared is None else prepared.as_dict(),
        "architecture": architecture,
        "tied": list(tied(model)),
        "constants": len(describing.arrays),
    }
    arrays = {f"{_STATE}{name}": state[name] for name in firsts}
    arrays.update({f"{_CONSTANTS}{number}": array for number, array in enumerate(describing.arrays)})
    with memory_for(f"writing {path}"):
        content = npz_of(arrays, {_MANIFEST: json.dumps(manifest, indent=1, allow_nan=False)})
        _check_again(model, _read(content, str(path), describing.classes), given, names)
    return content


def load_model(path: str | os.PathLike[str], layers: Mapping[str, type[Module]] | None = None) -> LoadedModel:
    """Read what `save_model` wrote.

        digits = minidl.load_model("digits.minidl")
        print(digits.predict("seven.png"))

    No code is imported or run that the file names: layers are looked up among minidl's own and those that are given.

    Args:
        path: file name.
        layers: classes of your own layers, by their names.

    Returns:
        An object with ``model``, in evaluation mode, ``classes``, ``preprocess`` and ``predict(images)``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, of a later version, takes more memory than is allowed (`docs/interop.md`), or has a
            layer that is not minidl's and not given.
    """
    path = _checked_path("load_model", path)
    known = {} if layers is None else dict(layers)
    for name, kind in known.items():
        if not isinstance(kind, type) or not issubclass(kind, Module):
            raise TypeError(
                f"load_model: layers must be a dict of classes, such as {{'MyLayer': MyLayer}}, got {name!r}: {kind!r}"
            )
    with reading(path, "is not a file that minidl.save_model wrote, or it is damaged"):
        return _read(path.read_bytes(), str(path), known)


def load_run(folder: str | os.PathLike[str], layers: Mapping[str, type[Module]] | None = None) -> LoadedModel:
    """Return the model of a run of ``minidl train``, with its classes and preprocessing.

        print(minidl.load_run("runs/digits-1").predict("seven.png"))

    Args:
        folder: of the run.
        layers: as for `load_model`.

    Raises:
        FileNotFoundError: the folder has no model: it is not a run's, or the run is not finished.
        ValueError, TypeError: it is a file, not a folder; or as for `load_model`.
    """
    folder = user_path(folder)
    if folder.is_file():
        raise ValueError(f"load_run: {folder} is a file, not the folder of a run; use load_model for a model's file")
    if not (folder / MODEL).is_file():
        raise FileNotFoundError(f"{folder} has no {MODEL}, which minidl train writes when it has finished")
    return load_model(folder / MODEL, layers)


def _read(content: bytes, name: str, layers: Mapping[str, type[Module]]) -> LoadedModel:
    with open_zip(io.BytesIO(content), name) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if _MANIFEST not in members:
            raise ValueError(f"it has no {_MANIFEST}")
        manifest = json.loads(archive.read(_MANIFEST))
        if manifest["format"] != _FORMAT or manifest["version"] != _VERSION:
            raise ValueError(
                f"its format is {manifest['format']!r}, version {manifest['version']!r}; this version of minidl reads "
                f"{_FORMAT!r}, version {_VERSION}"
            )
        check_size(name, 4 * weights_of(manifest["architecture"]), len(content), "its layers take")
        names = [key for key in members if key != _MANIFEST]
        if foreign := [key for key in names if not key.endswith(".npy") or not key.startswith((_STATE, _CONSTANTS))]:
            raise ValueError(f"it holds {printable(foreign[0])}, which does not belong to a model")
        # each is read to its end, where its checksum is compared
        arrays = {key.removesuffix(".npy"): read_npy(archive.read(members[key]), key) for key in names}
    state = {key.removeprefix(_STATE): array for key, array in arrays.items() if key.startswith(_STATE)}
    constants = [arrays[f"{_CONSTANTS}{number}"] for number in range(int(manifest["constants"]))]
    if len(state) + len(constants) != len(arrays):
        raise ValueError("it holds arrays that do not belong to a model")
    building = Building(state, constants, layers)
    model = building.module(manifest["architecture"])
    for path, first in manifest["tied"]:
        tie(model, path, first)
    if missing := sorted(set(state) ^ set(_firsts(model))):
        raise ValueError(f"its arrays do not fit its layers: {printable(', '.join(missing[:6]))}")
    shared = {id(array): key for key, array in model._state() if key in state}
    model.load_state_dict({key: state[shared[id(array)]] for key, array in model._state()})
    preprocess = manifest["preprocess"]
    prepared = None if preprocess is None else Preprocessing.of("load_model", preprocess)
    if prepared is not None:
        check_size(name, 4 * math.prod(prepared.shape), len(content), f"an image of shape {prepared.shape} takes")
    return LoadedModel(
        model.eval(),
        _checked_classes(manifest["classes"]) or (),
        prepared,
        [tuple(map(int, shape)) for shape in manifest["input_shapes"]],
    )


def _firsts(model: Module) -> list[str]:
    """Return the names in a model's state, each array once: under the first name of what is shared."""
    seen: dict[int, str] = {}
    for name, array in model._state():
        seen.setdefault(id(array), name)
    return list(seen.values())


def _check_again(model: Module, loaded: LoadedModel, given: list[tuple[Any, ...]], classes: Any) -> None:
    """Raise ValueError if what was written is not the model: its options, its state, its outputs."""
    if difference := unlike(model, loaded.model):
        raise ValueError(f"save_model: the model cannot be stored: {difference}")
    for inputs in given:
        with evaluating(model), evaluating(loaded.model), np.errstate(all="ignore"):
            ours, theirs = model(*inputs), loaded.model(*inputs)
        pairs = zip(leaves(ours), leaves(theirs), strict=True)
        if not all(_alike(np.asarray(a), np.asarray(b)) for a, b in pairs):
            raise ValueError(
                "save_model: the model cannot be stored: what was stored gives other outputs than the model, whose "
                "forward does something that is not noted (.data, .item(), random numbers, or an attribute it changes)"
            )
        if classes is not None and (np.ndim(ours) != 2 or np.shape(ours)[1] != len(classes)):
            shape = rebuild(ours, np.shape)
            raise ValueError(f"save_model: {len(classes)} classes need outputs (N, {len(classes)}), got {shape}")
    if classes is not None and given and _are_probabilities(ours):
        raise ValueError(
            "save_model: with classes the model must give logits, from which predict computes probabilities; this one "
            "gives probabilities already: leave out its last Softmax"
        )


def _alike(a: Array, b: Array) -> bool:
    """Return whether two outputs are the same, but for rounding: weights that lie otherwise in memory may sum so."""
    if a.shape != b.shape or a.dtype != b.dtype or a.dtype.kind != "f":
        return a.dtype == b.dtype and np.array_equal(a, b)
    scale = np.abs(a[np.isfinite(a)]).max(initial=0)
    return np.allclose(a, b, rtol=0, atol=1e-4 * scale, equal_nan=True)


def _are_probabilities(output: Array) -> bool:
    return bool(output.size and (output >= 0).all() and np.allclose(output.sum(axis=1), 1, atol=1e-5))


def _checked_path(owner: str, path: str | os.PathLike[str]) -> Path:
    found = user_path(path)
    if found.suffix != ".minidl":
        raise ValueError(f"{owner}: the name of a model's file ends in .minidl, got {found}")
    return found


def _checked_classes(classes: Any) -> list[str] | None:
    if classes is None or (isinstance(classes, (list, tuple)) and not classes):
        return None
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise TypeError(f"save_model: classes must be a list of names, got {classes!r}")
    return list(classes)


def _is_flat(shape: Any) -> bool:
    return isinstance(shape, (tuple, list)) and all(isinstance(size, (int, np.integer)) for size in shape)
