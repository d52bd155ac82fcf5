"""``minidl evaluate | predict | summary | export | compare | info``: what comes after training, or before."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import export_onnx, load
from .._core import Array
from ..data import read_image
from ..data.folder import image_files
from ..training.progress import Progress
from .measure import measure, probabilities
from .output import say, show
from .recipe import make_model, parse_shape
from .run import Run, environment

__all__ = ["add_use"]


def add_use(commands: Any) -> None:
    """Add the commands."""
    evaluate = _add(
        commands,
        "evaluate",
        "measure a run's model on its test images",
        "Measure a run's model: loss, accuracy, and precision, recall and F1 of each class.",
        "minidl evaluate runs/digits-1",
    )
    evaluate.add_argument("folder", metavar="RUN", help="the run's folder")
    evaluate.add_argument("--root", metavar="DIR", help="where the dataset's files are now")
    evaluate.set_defaults(run=_evaluate)

    predict = _add(
        commands,
        "predict",
        "tell what images show",
        "Tell what images show: image files, folders of them (extra: images), or .npy arrays (N, C, H, W) of values "
        "in [0, 1]. Image files are resized to what the model takes.",
        "minidl predict runs/digits-1 images.npy --top 2",
    )
    predict.add_argument("folder", metavar="RUN", help="the run's folder")
    predict.add_argument("files", metavar="FILE", nargs="+", help="image, folder or .npy file")
    predict.add_argument("--top", type=int, metavar="K", help="how many classes to show (default: 3)")
    predict.set_defaults(run=_predict)

    summary = _add(
        commands,
        "summary",
        "show a model's layers",
        "Show a model's layers with output shapes, parameters and multiply-adds.",
        "minidl summary lenet5",
    )
    summary.add_argument("model", metavar="MODEL", help="one of minidl.models, or MODULE:FUNCTION")
    summary.add_argument("--input-shape", metavar="C,H,W", help="of an image (default: what the model is for)")
    summary.set_defaults(run=_summary)

    export = _add(
        commands,
        "export",
        "write a trained model as an ONNX file",
        "Write a run's model, or a model with the weights of a file, as an ONNX file, which ONNX Runtime and others "
        "run (extra: onnx).",
        "minidl export runs/digits-1 digits.onnx",
    )
    export.add_argument("source", metavar="SOURCE", help="a run's folder, or a file of weights (then with --model)")
    export.add_argument("out", metavar="OUT", help="file to write, ending in .onnx")
    export.add_argument("--model", metavar="NAME", help="one of minidl.models, or MODULE:FUNCTION")
    export.add_argument("--input-shape", metavar="C,H,W", help="of an image (default: what the model is for)")
    export.set_defaults(run=_export)

    compare = _add(
        commands,
        "compare",
        "show runs side by side",
        "Show what differs between runs, and what came of them.",
        "minidl compare runs/digits-1 runs/digits-2",
    )
    compare.add_argument("folders", metavar="RUN", nargs="+", help="two or more runs' folders")
    compare.set_defaults(run=_compare)

    info = _add(commands, "info", "show versions, BLAS and threads", "Show what runs here.", "minidl info")
    info.set_defaults(run=_info)


def _add(commands: Any, name: str, help_text: str, description: str, example: str) -> Any:
    return commands.add_parser(name, help=help_text, description=description, epilog=f"example: {example}")


def _evaluate(options: argparse.Namespace) -> int:
    run = Run.read(options.folder)
    if options.root is not None:
        run.recipe = run.recipe.with_values({"root": options.root}, "minidl evaluate")
    images = run.recipe.load_images()
    if images.classes != run.classes:
        raise ValueError(f"the dataset has the classes {images.classes}, the run {run.classes}")
    measured = measure(run.load_model(), images.test, len(run.classes), "none" if options.quiet else "auto")
    width = max(map(len, run.classes))
    lines = [f"{'class':<{width}}  precision  recall      F1  images"]
    scores = measured.scores(run.classes)
    lines += [f"{name:<{width}}  {p:9.4f}  {r:6.4f}  {f:6.4f}  {n:6,}" for name, p, r, f, n in scores]
    lines.append(
        f"test accuracy: {100 * measured.accuracy:.2f} % ({measured.correct:,} of {len(measured.labels):,}), "
        f"mean loss {measured.loss:.4f}"
    )
    show(options, measured.as_dict(run.classes), "\n".join(lines[-1:] if options.quiet else lines))
    return 0


def _predict(options: argparse.Namespace) -> int:
    run = Run.read(options.folder)
    top = min(3, len(run.classes)) if options.top is None else options.top
    if not 1 <= top <= len(run.classes):
        raise ValueError(f"--top must be from 1 to {len(run.classes)}, the number of classes, got {top}")
    model, results, lines = run.load_model(), [], []
    files = [Path(name) for name in options.files]
    for (name, batch), _ in Progress("none" if options.quiet else "auto").track(
        _batches(files, run.shape), "predicting"
    ):
        for number, row in enumerate(probabilities(model, batch)):
            order = np.argsort(-row, kind="stable")[:top]
            guesses = [(run.classes[c], float(row[c])) for c in order]
            image = name if isinstance(name, str) else f"{name[0]}[{name[1] + number}]"
            results.append({"image": image, "top": [{"class": c, "probability": p} for c, p in guesses]})
            lines.append(f"{image}: " + ", ".join(f"{c} {100 * p:.1f} %" for c, p in guesses))
    show(options, {"predictions": results}, "\n".join(lines))
    return 0


def _batches(files: list[Path], shape: tuple[int, ...]) -> Iterator[tuple[Any, Array]]:
    """Yield (name, batch) for each image; for an array ((name, first index), batch), several times."""
    for file in files:
        if file.suffix == ".npy" and file.is_file():
            array = _read_array(file, shape)
            for begin in range(0, len(array), 256):
                yield (str(file), begin), array[begin : begin + 256]
            continue
        images = image_files(file) if file.is_dir() else [file]
        if not images or not file.exists():
            raise FileNotFoundError(f"{file}: there are no images" if file.is_dir() else f"there is no file {file}")
        for path in images:
            yield str(path), read_image(path, (shape[1], shape[2]), shape[0])[None]


def _read_array(file: Path, shape: tuple[int, ...]) -> Array:
    try:
        array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{file} is not a .npy file of numbers, or it is damaged: {error}") from error
    if array.shape == shape:
        array = array[None]
    if array.ndim != 4 or array.shape[1:] != shape:
        raise ValueError(f"{file}: expected images of shape (N, {', '.join(map(str, shape))}), got {array.shape}")
    if array.dtype.kind != "f":
        raise TypeError(f"{file}: expected numbers in [0, 1] as float32, got {array.dtype}; divide by 255")
    if not (np.isfinite(array).all() and array.min(initial=0) >= -0.001 and array.max(initial=0) <= 1.001):
        raise ValueError(f"{file}: expected numbers in [0, 1], got {np.min(array):g} to {np.max(array):g}")
    return array.astype(np.float32)  # type: ignore[no-any-return]


def _summary(options: argparse.Namespace) -> int:
    model = make_model(options.model)
    shape = (1, *parse_shape(options.input_shape, options.model))
    table = model.summary(shape)
    rows = [
        {
            "name": r.name,
            "kind": r.kind,
            "output_shape": r.output_shape,
            "params": r.params,
            "multiply_adds": r.multiply_adds,
        }
        for r in table.rows
    ]
    totals = {"params": table.total_params, "multiply_adds": table.multiply_adds, "input_shape": shape}
    show(options, {**totals, "layers": rows}, str(table))
    return 0


def _export(options: argparse.Namespace) -> int:
    source = Path(options.source)
    if source.is_dir():
        if options.model is not None or options.input_shape is not None:
            raise ValueError("a run knows its model: give --model and --input-shape with a file of weights only")
        run = Run.read(source)
        model, shape, name = run.load_model(), run.shape, run.recipe.model
    else:
        if options.model is None:
            raise ValueError(f"--model NAME is needed with a file of weights; {source} is no run's folder")
        name, model = options.model, make_model(options.model)
        shape = parse_shape(options.input_shape, name)
        model.output_shape((1, *shape))  # layers without an input size get theirs
        load(model, source)
    export_onnx(model, options.out, (1, *shape))
    say(options, f"{name} with the weights of {source} written to {options.out}")
    if options.json:
        show(options, {"out": options.out, "model": name, "input_shape": ["N", *shape]}, "")
    return 0


def _compare(options: argparse.Namespace) -> int:
    runs = [Run.read(folder) for folder in options.folders]
    recipes = [run.recipe.as_dict() for run in runs]
    entries: dict[str, list[Any]] = {
        name: [recipe[name] for recipe in recipes] for name in recipes[0] if len({str(r[name]) for r in recipes}) > 1
    }
    histories = [run.history() for run in runs]
    entries["epochs done"] = [len(rows) for rows in histories]
    for column, best in (("train_loss", min), ("val_loss", min), ("val_accuracy", max)):
        values = [[float(row[column]) for row in rows if row.get(column)] for rows in histories]
        entries[f"{column}, last"] = [own[-1] if own else None for own in values]
        if column != "train_loss":
            entries[f"{column}, best"] = [best(own) if own else None for own in values]
    entries["seconds"] = [
        round(sum(float(row["seconds"]) for row in rows if row.get("seconds")), 1) for rows in histories
    ]
    names = [str(run.folder) for run in runs]
    cells = [["", *names]]
    cells += [
        [name, *("-" if v is None else f"{v:.4f}" if isinstance(v, float) else str(v) for v in values)]
        for name, values in entries.items()
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    show(options, {"runs": names, **entries}, "\n".join(lines))
    return 0


def _info(options: argparse.Namespace) -> int:
    facts = environment()
    show(options, facts, "\n".join(f"{name + ':':<12}{value}" for name, value in facts.items()))
    return 0
