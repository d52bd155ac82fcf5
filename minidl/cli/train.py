"""``minidl train``: train a model according to a recipe, in the run's folder."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import get_num_threads, load, manual_seed, save, set_num_threads
from .._core import printable, user_path, write_atomically
from ..data import DataLoader, ImageFolder
from ..data.dataset import whole_of
from ..data.folder import class_counts, skipped_in
from ..distributed import Group, group_of, world
from ..interop.files import check_suffix, write_npz
from ..modelfile.file import MODEL
from ..nn import Module, convert_sync_batchnorm
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
from .output import complain, mute, say, show
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
    """Run the command, alone or as one of several ranks: then the first claims the folder, writes and prints."""
    group = group_of(world())
    if group is None:
        return _train_all(options)
    mute(group.rank > 0)
    with group.together():
        return _train_all(options)


def _train_all(options: argparse.Namespace) -> int:
    code, result, line = _run(options) if options.seeds is None else with_seeds(_run, _first_seed, options)
    if options.json or (options.quiet and line):
        show(options, result, line)
    return code


def _first_seed(options: argparse.Namespace) -> int:
    return _plan(options)[0].seed


def _run(options: argparse.Namespace) -> Outcome:
    """Train once."""
    group = group_of(world())
    outcome = _prepare(options, group)
    return outcome if group is None else group.from_first(outcome)


def _prepare(options: argparse.Namespace, group: Group | None) -> Outcome:
    """Find out what is to be done, read the images, hold the folder, and train."""
    out = None if options.out is None else _check_out(options.out)
    recipe, folder = _plan(options)
    if recipe.threads:
        set_num_threads(recipe.threads)
    use_engine(recipe.engine)
    manual_seed(recipe.seed)
    images = stored_images(options.config or options.resume, recipe, options)
    images = readable_images(images, options, skip=recipe.skip_broken)
    with ExitStack() as stack:  # nobody else writes into the folder meanwhile
        if group is None or group.rank == 0:
            folder = _held(stack, folder, recipe, images, options)
        folder = folder if group is None else group.from_first(folder)
        assert folder is not None
        run = Run(folder, recipe, images.classes, images.shape)
        try:
            return _train(run, images, out, options, group)
        except KeyboardInterrupt:  # a second one, while what has been trained is saved and measured
            if (folder / CONFIG).exists():
                say(options, f"go on with {resume_command(run, out)}")
            raise


def _held(stack: ExitStack, folder: Path | None, recipe: Recipe, images: Images, options: argparse.Namespace) -> Path:
    """Return the run's folder, held until the stack is left; of a run to be resumed, it is checked."""
    if folder is None or not options.resume:
        return stack.enter_context(claimed(folder, recipe.data))
    stack.enter_context(FolderLock(folder))
    _check_resume(folder, recipe, images)
    if options.inexact:  # otherwise the fit refuses a folder that has changed in any way
        check_test_images(folder, images)
    return folder


def _train(
    run: Run, images: Images, out: Path | None, options: argparse.Namespace, group: Group | None = None
) -> Outcome:
    """Train the run's model; of several ranks the first ends the run, and the others wait."""
    model = _make_model(run, options, group)
    if options.lr == FIND:
        loader, plain = _loader(run, images), replace(run, recipe=run.recipe.with_values({"schedule": "none"}))
        run = find_lr(run, _make_trainer(plain, model, images, len(loader), "none", group), loader, options)
    trainer = _fit(run, model, images, options, group)
    if trainer.rank:
        return 0, {}, ""
    with nullcontext() if group is None else group.alone():
        return _finish(run, run.make_model() if group is not None else model, trainer, images, out, options)


def _make_model(run: Run, options: argparse.Namespace, group: Group | None) -> Module:
    """Make the run's model; for several ranks, with batch normalisation over all of them."""
    model = run.make_model()
    if run.recipe.init and not _at_first(group, lambda: has_checkpoint(run.folder)):
        say(options, initial_weights(model, run.recipe.init))
    if group is not None:
        try:
            convert_sync_batchnorm(model)
        except ValueError as error:
            say(options, f"each rank normalises its share of a batch by itself: {error}")
    return model


def _at_first(group: Group | None, look: Callable[[], Any]) -> Any:
    """Return what the first rank finds in its files, which others may not have."""
    if group is None:
        return look()
    return group.from_first(look() if group.rank == 0 else None)


def _finish(
    run: Run, model: Module, trainer: Trainer, images: Images, out: Path | None, options: argparse.Namespace
) -> Outcome:
    """Save the weights of the run's model, and measure it."""
    model.load_state_dict(trainer.model.state_dict())
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


def _fit(run: Run, model: Module, images: Images, options: argparse.Namespace, group: Group | None) -> Trainer:
    """Train the model; return its Trainer."""
    recipe, folder = run.recipe, run.folder
    loader = _loader(run, images)
    trainer = _make_trainer(run, model, images, len(loader), _progress(options), group)
    done = _at_first(group, lambda: _epochs_done(latest_checkpoint(folder)[0])) if options.inexact else 0
    _move_ahead(trainer, done, len(loader))
    config = folder / CONFIG
    before = config.read_bytes() if options.resume and trainer.rank == 0 else b""
    if trainer.rank == 0:
        if not has_checkpoint(folder):  # a run that goes on is tested on the same ones
            add_test_images(folder, images)
        run.write()
    parameters = sum(p.data.size for p in model.params())
    say(
        options,
        f"{recipe.data}: {_counts(images)}; {recipe.model} with {parameters:,} parameters; {recipe.optimizer}, "
        f"lr {recipe.lr:g}, batch size {recipe.batch_size}, seed {recipe.seed}; {folder}"
        + ("" if group is None else f"; {group.size} ranks, threads of each: {get_num_threads()}"),
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
    validated = images.val is None and _at_first(group, lambda: any("val_loss" in row for row in run.history()))
    val = images.test if validated else images.val
    try:
        trainer.fit(
            loader,
            None if val is None else DataLoader(val, batch_size_for(val)),
            epochs=recipe.epochs,
            resume=folder if options.resume else None,
            exact=not options.inexact,
        )
    except Exception:
        if options.resume and trainer.rank == 0:
            write_atomically(config, before)  # it is the run that it was
        raise
    if options.inexact and len(trainer.history) == done and trainer.rank == 0:  # as is its checkpoint
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


def _make_trainer(
    run: Run, model: Module, images: Images, batches: int, progress: str, group: Group | None = None
) -> Trainer:
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
        comm=None if group is None else world(),
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
