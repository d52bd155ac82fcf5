"""``minidl train``: a recipe carried out, into a run's folder."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from .. import manual_seed, save, set_num_threads
from ..data import DataLoader
from ..interop.files import check_suffix
from ..nn import CrossEntropyLoss, Module
from ..training import ModelCheckpoint, Trainer
from ..training.callbacks import CSVLogger
from ..training.checkpoint import latest_checkpoint, set_damaged_aside
from .measure import measure
from .output import say, show
from .recipe import AUGMENTATIONS, DATASETS, OPTIMIZERS, SCHEDULES, Images, Recipe
from .report import write_report
from .run import Run, free_folder, read_config

__all__ = ["add_train"]

_HELP = {
    "data": f"what to train on: {', '.join(DATASETS)} (default: digits)",
    "root": "folder with the dataset's files",
    "download": "fetch the dataset's files if they are not there",
    "size": "side to which the images of --data folder are resized",
    "model": "one of minidl.models, or MODULE:FUNCTION",
    "augment": f"one of {', '.join(AUGMENTATIONS)}",
    "optimizer": f"one of {', '.join(OPTIMIZERS)}",
    "lr": "learning rate, the highest one of a schedule",
    "momentum": "of SGD; the schedule onecycle moves it by 0.05 around this",
    "weight_decay": "of the optimiser",
    "schedule": f"of the learning rate: one of {', '.join(SCHEDULES)}",
    "epochs": "passes over the training images",
    "batch_size": "images in a batch",
    "accumulate": "batches that make one step",
    "clip_grad_norm": "largest norm of the gradients; 0: no limit",
    "seed": "of weights, order, augmentation and dropout",
    "threads": "how many to use; 0: as many as there are",
}


def add_train(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "train",
        help="train a small CNN and save its weights",
        description="Train a small CNN. Without options: on the 8x8 digits that come along. Weights, checkpoints, "
        "history and report.html go into a folder of the run's own.",
        epilog="example: minidl train --epochs 5 --seed 1 --run runs/first",
    )
    for name, kind in Recipe.names().items():
        flag = f"--{name.replace('_', '-')}"
        if kind is bool:
            parser.add_argument(flag, action="store_const", const=True, help=_HELP[name])
        else:
            parser.add_argument(flag, type=kind, metavar="N" if kind is int else "X", help=_HELP[name])
    parser.add_argument("--config", metavar="FILE", help="TOML file with these options; flags come before it")
    parser.add_argument(
        "--run", dest="folder", metavar="DIR", help="the run's folder (default: runs/DATA-N, a new one)"
    )
    parser.add_argument("--resume", metavar="DIR", help="go on with the run in this folder")
    parser.add_argument("--out", metavar="FILE", help="write the weights to this file too, .npz or .safetensors")
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    given = {name: value for name in Recipe.names() if (value := getattr(options, name)) is not None}
    out = None if options.out is None else _check_out(options.out)
    recipe, folder = _recipe(options, given)
    for name, least in (("epochs", 1), ("accumulate", 1), ("batch_size", 1), ("threads", 0), ("size", 0)):
        if getattr(recipe, name) < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, got {getattr(recipe, name)}")
    if recipe.threads:
        set_num_threads(recipe.threads)
    manual_seed(recipe.seed)
    images = recipe.load_images()
    if options.resume:
        _check_resume(Run.read(folder), recipe, images)
    run = Run(folder, recipe, images.classes, images.shape)
    model = run.make_model()
    transform = recipe.make_transform(images.shape)
    loader = DataLoader(images.train, recipe.batch_size, shuffle=True, transform=transform)
    trainer = _make_trainer(run, model, len(loader), "none" if options.quiet or options.json else "auto")
    folder.mkdir(parents=True, exist_ok=True)
    run.write()
    parameters = sum(p.data.size for p in model.params())
    say(
        options,
        f"{recipe.data}: {len(images.train):,} training and {len(images.test):,} test images; {recipe.model} with "
        f"{parameters:,} parameters; {recipe.optimizer}, lr {recipe.lr:g}, batch size {recipe.batch_size}, "
        f"seed {recipe.seed}; {folder}",
    )
    test = DataLoader(images.test, 256)
    try:
        history = trainer.fit(loader, test, epochs=recipe.epochs, resume=folder if options.resume else None)
    except Exception:
        if not options.resume and not any(folder.glob("*.ckpt")):  # nothing came of it
            shutil.rmtree(folder)
            if options.folder is None:
                with contextlib.suppress(OSError):  # other runs may be in it
                    folder.parent.rmdir()
        raise
    for path in (folder / "weights.npz", *([] if out is None else [out])):
        save(model, path)
    measured = measure(model, images.test, len(images.classes), trainer.progress.style)
    write_report(run, model, images.test, measured)
    say(options, f"test accuracy: {100 * measured.accuracy:.2f} % ({measured.correct:,} of {len(measured.labels):,})")
    say(
        options,
        f"weights saved to {folder / 'weights.npz'}{'' if out is None else f' and {out}'}; see "
        f"{folder / 'report.html'}",
    )
    if options.json:
        result = {"run": str(folder), "loss": measured.loss, "accuracy": measured.accuracy, "epochs": len(history)}
        show(options, {**result, "interrupted": history.interrupted}, "")
    return 130 if history.interrupted else 0


def _make_trainer(run: Run, model: Module, batches: int, progress: str) -> Trainer:
    """Make the Trainer of a run, for epochs of so many batches."""
    recipe = run.recipe
    optimizer = recipe.make_optimizer(model)
    return Trainer(
        model,
        CrossEntropyLoss(),
        optimizer,
        scheduler=recipe.make_scheduler(optimizer, recipe.epochs * -(-batches // recipe.accumulate)),
        clip_grad_norm=recipe.clip_grad_norm or None,
        accumulate=recipe.accumulate,
        callbacks=[CSVLogger(run.folder / "history.csv"), ModelCheckpoint(run.folder)],
        progress=progress,
    )


def _recipe(options: argparse.Namespace, given: dict[str, Any]) -> tuple[Recipe, Path]:
    """Return the recipe, from the defaults, a file and the flags, and the run's folder."""
    if options.resume is not None:
        if options.folder is not None or options.config is not None:
            raise ValueError("--resume goes on with a run as it is: give neither --run nor --config")
        run = Run.read(options.resume)
        changed = set(given) - {"epochs", "threads", "root"}
        if changed:
            raise ValueError(f"--resume: only --epochs, --root and --threads can be changed, not {', '.join(changed)}")
        return run.recipe.with_values(given, "minidl train"), run.folder
    config = {} if options.config is None else read_config(options.config)
    values = {**config, **given}
    recipe = Recipe.default(str(values.get("data", "digits"))).with_values(config, str(options.config))
    recipe = recipe.with_values(given, "minidl train")
    folder = free_folder(recipe.data) if options.folder is None else Path(options.folder)
    if recipe.data == "folder" and Path(recipe.root).resolve() in (folder.resolve(), *folder.resolve().parents):
        raise ValueError(f"--run {folder}: this is inside --root {recipe.root}, it would be taken for a class")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--run {folder}: this is not an empty folder; go on with a run by --resume {folder}")
    if not os.access(next(p for p in (folder, *folder.absolute().parents) if p.exists()), os.W_OK):
        raise ValueError(f"--run {folder}: cannot write there")
    return recipe, folder


def _check_resume(run: Run, recipe: Recipe, images: Images) -> None:
    """Find out, before anything is written, whether a run can go on."""
    if (run.classes, run.shape) != (images.classes, images.shape):
        raise ValueError(
            f"--resume {run.folder}: the dataset has changed: images {images.shape} of {images.classes}, before "
            f"{run.shape} of {run.classes}"
        )
    state, notes = latest_checkpoint(run.folder)
    for note in notes:
        print(f"minidl train: {note}", file=sys.stderr)
    if state is None and (run.history() or (run.folder / "weights.npz").exists()):
        raise ValueError(f"--resume {run.folder}: its checkpoints are gone; begin anew in another folder")
    done = 0 if state is None else len(state["history"])
    if recipe.epochs < done:
        raise ValueError(f"--epochs {recipe.epochs}: the run has {done} epochs already")
    if notes:  # reported above: the fit need not find the file and report it again
        set_damaged_aside(run.folder)


def _check_out(name: str) -> Path:
    """Find out before training, not after, whether the weights can be written."""
    out = check_suffix(name)
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.parent}")
    if not os.access(out.parent, os.W_OK):
        raise ValueError(f"--out {out}: cannot write there")
    if out.is_dir():
        raise ValueError(f"--out {out}: this is a folder")
    return out
