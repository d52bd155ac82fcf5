"""``minidl train`` with --patience, --ema, --mixup, --cutmix and --class-weights: what they do, and that runs go on."""

import numpy as np
import pytest

import minidl
from minidl.cli import main
from minidl.cli.recipe import Recipe
from minidl.cli.run import Run
from minidl.data import transforms

PLAIN = ["--schedule", "none", "--lr", "0.1", "--quiet"]


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def images():
    return Recipe().load_images()


def weights(name):
    return dict(np.load(f"{name}/weights.npz"))


@pytest.mark.parametrize(
    "options",
    [
        ["--patience", "5"],
        ["--ema", "0.9"],
        ["--mixup", "0.4", "--augment", "none"],
        ["--cutmix", "1", "--label-smoothing", "0.1"],
        ["--class-weights", "balanced", "--mixup", "0.2"],
    ],
    ids=lambda options: options[0],
)
def test_a_run_goes_on_bit_for_bit(options, in_tmp):
    assert main(["train", "--epochs", "3", "--run", "whole", *PLAIN, *options]) == 0
    assert main(["train", "--epochs", "1", "--run", "parts", *PLAIN, *options]) == 0
    assert main(["train", "--epochs", "3", "--resume", "parts", "--quiet"]) == 0
    for name, value in weights("whole").items():
        np.testing.assert_array_equal(value, weights("parts")[name])


def test_patience_ends_the_run_which_keeps_the_best_epoch(in_tmp, capsys):
    # a rate of 0 never improves on the first epoch
    assert main(["train", "--epochs", "9", "--patience", "2", "--lr", "0", "--schedule", "none", "--run", "r"]) == 0
    out = capsys.readouterr().out
    assert "stopped after epoch 4: val_accuracy has not improved for 3 epochs, its best is 0." in out
    assert len(Run.read("r").history()) == 4
    assert main(["train", "--resume", "r"]) == 0
    assert "the fit was stopped after epoch 4; there is nothing left to do" in capsys.readouterr().out


def test_patience_needs_validation(in_tmp, capsys):
    assert main(["train", "--patience", "2", "--val-fraction", "0"]) == 2
    assert "--patience 2: there are no images for validation; give --val-fraction" in capsys.readouterr().err
    assert not list(in_tmp.iterdir())


def test_mixup_and_cutmix_are_not_for_the_same_run(in_tmp, capsys):
    assert main(["train", "--mixup", "0.2", "--cutmix", "1"]) == 2
    assert "--mixup and --cutmix: give one of them" in capsys.readouterr().err
    assert not list(in_tmp.iterdir())


def test_the_average_is_validated_kept_and_measured(in_tmp):
    """The weights of a run of one epoch are the average that minidl.optim.EMA takes, not the model's own."""
    assert main(["train", "--epochs", "1", "--ema", "0.95", "--run", "average", *PLAIN]) == 0
    assert main(["train", "--epochs", "1", "--run", "own", *PLAIN]) == 0
    average, own = weights("average"), weights("own")
    assert any(not np.array_equal(average[name], own[name]) for name in own)
    best = dict(np.load("average/best.npz"))
    assert all(np.array_equal(average[name], best[name]) for name in best)
    minidl.manual_seed(0)
    start = Run.read("own").make_model().state_dict()
    between = [np.abs(average[name] - start[name]).sum() < np.abs(own[name] - start[name]).sum() for name in own]
    assert all(between)


def test_what_is_made_of_the_options(images):
    recipe = Recipe(augment="none", mixup=0.3)
    assert isinstance(recipe.make_transform((1, 8, 8), 10), transforms.MixUp)
    assert recipe.make_transform((1, 8, 8), 10).alpha == 0.3
    both = Recipe(augment="crop", cutmix=1.0).make_transform((1, 8, 8), 10)
    assert [type(part).__name__ for part in both.transforms] == ["RandomCrop", "CutMix"]
    x, y = both.apply(images.train.batch(np.arange(32)), np.random.default_rng(0))
    assert x.shape == (32, 1, 8, 8)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    assert Recipe(augment="none").make_transform((1, 8, 8), 10) is None
    loss = Recipe(class_weights="balanced").make_loss(images)
    labels = images.train.batch(np.arange(len(images.train)))[1]
    counts = np.bincount(labels, minlength=10)
    np.testing.assert_allclose(loss.weight, len(labels) / 10 / counts, rtol=1e-6)
    assert Recipe().make_loss(images).weight is None
