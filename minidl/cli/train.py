"""``minidl train``: train a model according to a recipe, in the run's folder."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import load, manual_seed, save, set_num_threads
from .._core import printable, user_path, write_atomically
from ..data import DataLoader, ImageFolder
from ..data.dataset import whole_of
from ..data.folder import class_counts, skipped_in
from ..interop.files import check_suffix, write_npz
from ..modelfile.file import MODEL
from ..nn import Module
from ..training import History, ModelCheckpoint, Trainer
from ..training.callbacks import CSVLogger, HealthMonitor
from ..training.checkpoint import BEST, CONFIG, WEIGHTS, has_checkpoint, latest_checkpoint, set_damaged_aside
from ..training.folder_lock import FolderLock
from .calibration_section import calibration_section
from .claim import check_place, claimed
from .command import add_command
from .datasets import Images
from .engines import faster_engine, use_engine
from .going_on import resume_command
from .health_section import health_section
from .initial_weights import initial_weights
from .lr_search import FIND, find_lr
from .measure import batch_size_for, measure
from .options import add_flags
from .output import complain, say, show
from .readable import readable_images
from .recipe import Recipe
from .report import write_report
from .run import Run, read_config, stored_recipe
from .seeds import Outcome, with_seeds
from .split_record import add_test_images, check_test_images
from .trust import add_trust, check_trusted, stored_images

__all__ = ["add_train"]


def add_train(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        train,
        text="train a small CNN and save its weights",
        description="Train a small CNN, by default on the 8x8 digits that are bundled with the package. Weights, "
        "checkpoints, history and report.html are written to the run's folder.",
        example="minidl train --epochs 5 --seed 1 --run runs/first",
    )
    add_flags(parser, Recipe.options().values())
    parser.add_argument("--config", metavar="FILE", help="TOML file with these options; flags override it")
    parser.add_argument(
        "--run", dest="folder", metavar="DIR", help="the run's folder (default: runs/DATA-N, a new one)"
    )
    parser.add_argument("--resume", metavar="DIR", help="continue the run in this folder")
    parser.add_argument(
        "--inexact",
        action="store_true",
        help="with --resume: let every option be another one; weights, state of the optimiser and epoch are the run's",
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="train with N seeds, --seed and the next ones: mean and spread"
    )
    add_trust(parser, model=False)
    parser.add_argument("--out", metavar="FILE", help="also write the weights to this file, .npz or .safetensors")


def train(options: argparse.Namespace) -> int:
    """Run the command."""
    code, result, line = _run(options) if options.seeds is None else with_seeds(_run, _first_seed, options)
    if options.json or (options.quiet and line):
        show(options, result, line)
    return code


def _first_seed(options: argparse.Namespace) -> int:
    return _plan(options)[0].seed


def _run(options: argparse.Namespace) -> Outcome:
    """Train once."""
    out = None if options.out is None else _check_out(options.out)
    recipe, folder = _plan(options)
    if recipe.threads:
        set_num_threads(recipe.threads)
    use_engine(recipe.engine)
    manual_seed(recipe.seed)
    images = stored_images(options.config or options.resume, recipe, options)
    images = readable_images(images, options, skip=recipe.skip_broken)
    with ExitStack() as stack:  # nobody else writes into the folder meanwhile
        if folder is None or not options.resume:
            folder = stack.enter_context(claimed(folder, recipe.data))
        else:
            stack.enter_context(FolderLock(folder))
            _check_resume(folder, recipe, images)
            if options.inexact:  # otherwise the fit refuses a folder that has changed in any way
                check_test_images(folder, images)
        run = Run(folder, recipe, images.classes, images.shape)
        try:
            return _train(run, images, out, options)
        except KeyboardInterrupt:  # a second one, while what has been trained is saved and measured
            if (folder / CONFIG).exists():
                say(options, f"go on with {resume_command(run, out)}")
            raise


def _train(run: Run, images: Images, out: Path | None, options: argparse.Namespace) -> Outcome:
    """Train the run's model, save its weights, and measure it."""
    model = run.make_model()
    if run.recipe.init and not has_checkpoint(run.folder):
        say(options, initial_weights(model, run.recipe.init))
    if options.lr == FIND:
        loader, plain = _loader(run, images), replace(run, recipe=run.recipe.with_values({"schedule": "none"}))
        run = find_lr(run, _make_trainer(plain, model, images, len(loader), "none"), loader, options)
    trainer = _fit(run, model, images, options)
    history = trainer.history
    result: dict[str, Any] = {"run": str(run.folder), "epochs": len(history), "interrupted": history.interrupted}
    if history.interrupted and not has_checkpoint(run.folder):  # the run is yet to begin
        if out is not None:
            save(model, out)
        hint = f"no epoch is finished; begin again with {resume_command(run, out)}"
        say(options, hint if out is None else f"weights saved to {out}; {hint}")
        return 130, result, ""
    chosen = _choose(run, model, images, history)
    say(options, chosen)
    write_npz(run.folder / WEIGHTS, model.state_dict())  # not `save`, which would follow a link
    if why := run.write_model(model):
        say(options, f"there is no {MODEL}: {why}")
    if out is not None:
        save(model, out)
    part, dataset = images.measured
    measured = measure(run.loaded(model), dataset, _progress(options))
    val = images.val if part == "test" else None
    validated = None if val is None else measure(run.loaded(model), val, _progress(options))
    more = [calibration_section(part, measured, validated)]
    more += [health_section(one) for one in trainer.callbacks if isinstance(one, HealthMonitor)]
    write_report(run, model, part, dataset, measured, chosen, more)
    result.update(loss=measured.loss, accuracy=measured.accuracy, accuracy_interval=measured.interval, images=part)
    line = f"{part} accuracy: {measured.summary()}"
    say(options, line)
    say(
        options,
        f"weights saved to {run.folder / WEIGHTS}{'' if out is None else f' and {out}'}; see "
        f"{run.folder / 'report.html'}",
    )
    if history.interrupted:
        say(options, f"go on with {resume_command(run, out)}")
    return (130 if history.interrupted else 0), result, line


def _fit(run: Run, model: Module, images: Images, options: argparse.Namespace) -> Trainer:
    """Train the model; return its Trainer."""
    recipe, folder = run.recipe, run.folder
    loader = _loader(run, images)
    trainer = _make_trainer(run, model, images, len(loader), _progress(options))
    done = _epochs_done(latest_checkpoint(folder)[0]) if options.inexact else 0
    _move_ahead(trainer, done, len(loader))
    config = folder / CONFIG
    before = config.read_bytes() if options.resume else b""
    if not has_checkpoint(folder):  # a run that goes on is tested on the same ones
        add_test_images(folder, images)
    run.write()
    parameters = sum(p.data.size for p in model.params())
    say(
        options,
        f"{recipe.data}: {_counts(images)}; {recipe.model} with {parameters:,} parameters; {recipe.optimizer}, "
        f"lr {recipe.lr:g}, batch size {recipe.batch_size}, seed {recipe.seed}; {folder}",
    )
    if not recipe.engine and (faster := faster_engine()):
        say(options, faster)
    for part, dataset in images.parts.items():
        if counts := class_counts(dataset):
            say(
                options,
                f"{part} images: " + ", ".join(f"{printable(name)} {count:,}" for name, count in counts.items()),
            )
    if skipped := skipped_in(images.parts.values()):
        say(options, f"files: {skipped}")
    # a run from before images were set apart for validation goes on as it was, and chooses nothing by them
    val = images.test if images.val is None and any("val_loss" in row for row in run.history()) else images.val
    try:
        trainer.fit(
            loader,
            None if val is None else DataLoader(val, batch_size_for(val)),
            epochs=recipe.epochs,
            resume=folder if options.resume else None,
            exact=not options.inexact,
        )
    except Exception:
        if options.resume:
            write_atomically(config, before)  # it is the run that it was
        raise
    if options.inexact and len(trainer.history) == done:  # as is its checkpoint
        write_atomically(config, before)
    return trainer


def _loader(run: Run, images: Images) -> DataLoader:
    """Return the batches of the training images."""
    transform = run.recipe.make_transform(images.shape, len(images.classes))
    prefetch = 2 if isinstance(whole_of(images.train)[0], ImageFolder) else 0  # decoded while the model works
    return DataLoader(images.train, run.recipe.batch_size, shuffle=True, transform=transform, prefetch=prefetch)


def _epochs_done(state: Any) -> int:
    """Return how many epochs are finished in the state of a fit; the fit refuses what is no such state."""
    rows = state.get("history") if isinstance(state, dict) else None
    return len(rows) if isinstance(rows, list) else 0


def _move_ahead(trainer: Trainer, epochs: int, batches: int) -> None:
    """Put a schedule where it is after some epochs: the run goes on as if it had had its options from the beginning."""
    schedule = trainer.scheduler
    steps = epochs * (-(-batches // trainer.accumulate) if getattr(schedule, "interval", "") == "step" else 1)
    for _ in range(steps if schedule is not None else 0):
        schedule.step()


def _counts(images: Images) -> str:
    """Return how many images there are for which purpose."""
    counts = [f"{len(dataset):,} {part}" for part, dataset in images.parts.items()]
    return f"{', '.join(counts[:-1])} and {counts[-1]} images"


def _chooses(images: Images, recipe: Recipe) -> bool:
    """Return whether the best epoch is chosen by validation."""
    return images.val is not None and recipe.val_fraction > 0


def _choose(run: Run, model: Module, images: Images, history: History) -> str:
    """Load the weights of the best epoch by validation into the model; return a sentence that says which it was."""
    measured = [row for row in history.rows if "val_loss" in row]  # Ctrl-C may have ended the last validation
    if not measured or not _chooses(images, run.recipe):
        return f"weights of the last of {len(history)} epochs"
    best = max(reversed(measured), key=lambda row: row["val_accuracy"])  # as ModelCheckpoint: the last of equal ones
    load(model, run.folder / BEST)
    if history.interrupted:  # perhaps after the last epoch was measured, but before its weights were kept
        assert images.val is not None
        accuracy = measure(run.loaded(model), images.val, "none").accuracy
        return f"weights of the best of {len(history)} epochs by validation: accuracy {100 * accuracy:.2f} %"
    return (
        f"weights of epoch {best['epoch']} of {len(history)}, the best by validation: "
        f"accuracy {100 * best['val_accuracy']:.2f} %, loss {best['val_loss']:.4f}"
    )


def _progress(options: argparse.Namespace) -> str:
    return "none" if options.quiet or options.json else "auto"


def _make_trainer(run: Run, model: Module, images: Images, batches: int, progress: str) -> Trainer:
    """Make the Trainer of a run whose epochs have ``batches`` batches."""
    recipe, choosing = run.recipe, _chooses(images, run.recipe)
    optimizer = recipe.make_optimizer(model)
    checkpoint = ModelCheckpoint(run.folder, monitor="val_accuracy" if choosing else None)
    return Trainer(
        model,
        recipe.make_loss(images),
        optimizer,
        scheduler=recipe.make_scheduler(optimizer, recipe.epochs * -(-batches // recipe.accumulate)),
        clip_grad_norm=recipe.clip_grad_norm or None,
        accumulate=recipe.accumulate,
        callbacks=[CSVLogger(run.folder / "history.csv"), *recipe.make_callbacks(choosing), checkpoint],
        progress=progress,
    )


def _plan(options: argparse.Namespace) -> tuple[Recipe, Path | None]:
    """Return the recipe, from the defaults, a file and the flags, and the run's folder; None if it is to be found."""
    given = {name: value for name in Recipe.options() if (value := getattr(options, name)) is not None}
    if options.resume is not None:
        return _plan_to_resume(options, given)
    if options.inexact:
        raise ValueError("--inexact says how a run goes on: give --resume DIR, too")
    if options.lr == FIND:
        del given["lr"]
    config = {} if options.config is None else read_config(options.config)
    data = Recipe().with_values(config, options.config).with_values(given).data
    model = given.get("model", config.get("model"))
    if "model" not in given and isinstance(model, str):
        check_trusted(options.config, model, options)
    recipe = Recipe.default(data, model).with_values(config, options.config).with_values(given)
    named_folder = None if options.folder is None else user_path(options.folder)
    check_place(named_folder, recipe)
    return recipe.placed(), named_folder


def _plan_to_resume(options: argparse.Namespace, given: dict[str, Any]) -> tuple[Recipe, Path]:
    """Return the recipe of the run to resume, with the options that may be changed, and its folder."""
    if options.folder is not None or options.config is not None:
        raise ValueError("--resume continues a run as it is: give neither --run nor --config")
    folder = user_path(options.resume)
    recipe = stored_recipe(folder)
    given.pop("model", None)  # named again to be imported
    resumable = sorted(option.flag for option in Recipe.options().values() if option.resumable)
    changed = [name for name in given if not Recipe.options()[name].resumable]
    if changed and not options.inexact:
        allowed = f"{', '.join(resumable[:-1])} and {resumable[-1]}"
        raise ValueError(
            f"--resume: only {allowed} can be changed, not {', '.join(changed)}; --inexact lets all others change"
        )
    check_trusted(folder / CONFIG, recipe.model, options)
    return recipe.with_values(given).placed(), folder


def _check_resume(folder: Path, recipe: Recipe, images: Images) -> None:
    """Raise if the run cannot be resumed, before anything is written.

    What there is to resume is decided by the checkpoints: without any, a run that has no weights either begins again.
    """
    run = Run(folder, recipe, images.classes, images.shape)
    if (folder / "environment.json").exists():
        run = Run.read(folder)
    many = (folder / BEST).exists() and len(run.history()) > 1  # after one epoch it is written before the checkpoint
    if not has_checkpoint(folder) and (many or (folder / WEIGHTS).exists()):
        raise ValueError(
            f"--resume {folder}: its checkpoints are gone, but not its weights; start again in another folder"
        )
    if (run.classes, run.shape) != (images.classes, images.shape):
        raise ValueError(
            f"--resume {folder}: the dataset has changed: images {images.shape} of {images.classes}, before "
            f"{run.shape} of {run.classes}"
        )
    state, notes = latest_checkpoint(folder)
    for note in notes:
        complain("minidl train", note)
    if state is None:
        return
    done = _epochs_done(state)
    if done and _chooses(images, recipe) and not (folder / BEST).is_file():
        raise ValueError(
            f"--resume {folder}: its {BEST}, the weights of the best epoch so far, is gone; start again in another "
            "folder"
        )
    if recipe.epochs < done:
        raise ValueError(f"--epochs {recipe.epochs}: the run has {done} epochs already")
    if notes:  # reported above: the fit need not find the file and report it again
        set_damaged_aside(folder)


def _check_out(name: str) -> Path:
    """Raise if the weights cannot be written to this file: before training, not after it."""
    out = check_suffix(name)
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.parent}")
    if not os.access(out.parent, os.W_OK):
        raise ValueError(f"--out {out}: cannot write there")
    if out.is_dir():
        raise ValueError(f"--out {out}: this is a folder")
    return out
