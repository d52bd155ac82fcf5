"""What else takes a Trainer: lr_find, cross_validate, report, callbacks that watch and write."""

import contextlib
import io

import numpy as np

from minidl.training import ModelCheckpoint, cross_validate, lr_find
from minidl.training.callbacks import CSVLogger, EMAWeights, GradientMonitor, HealthMonitor, LearningRateMonitor

from . import check
from .exact import numbers_of, rows_of
from .problems import Fresh
from .small import At, arrays, fit, folder_of, trainer_of


@check(1, 2, 3)
def finding_a_rate(comm):
    trainer = trainer_of(comm)
    before = numbers_of(trainer.model)
    found = lr_find(trainer, arrays(), steps=20, batch_size=6)
    assert numbers_of(trainer.model) == before
    return [found.rates.tolist(), found.losses.tolist(), found.suggestion, rows_of(fit(trainer, epochs=1))]


@check(1, 2, 3)
def cross_validation(comm):
    from .small import small_net

    seeds = iter(range(10))
    found = cross_validate(
        lambda: trainer_of(comm, model=small_net(seed=next(seeds))),
        arrays(),
        3,
        epochs=2,
        batch_size=5,
        rng=np.random.default_rng(0),
    )
    return [found.mean, found.std]


@check(1, 2, 3)
def watching(comm):
    """What the callbacks that watch have seen, and what was printed and written."""
    folder, told = folder_of(comm), io.StringIO()
    gradients, rates, health = GradientMonitor(), LearningRateMonitor(), HealthMonitor(every=1)
    callbacks = [gradients, rates, health, CSVLogger(folder / "log.csv"), EMAWeights(0.9), ModelCheckpoint(folder)]
    trainer = trainer_of(comm, callbacks=callbacks, progress="lines")
    with contextlib.redirect_stdout(told):
        fit(trainer, batch_size=11, val=arrays(9))  # of 23 samples: the last batch has one
        trainer.report(folder / "report.html", arrays(9))
    if comm is not None:
        comm.Barrier()
    return {
        "gradients": gradients.rows,
        "rates": rates.rates,
        "layers": [len(row) for row in health.rows],
        "updates": [layer.update for row in health.rows for layer in row if layer.update is not None],
        "told": told.getvalue(),
        "files": sorted(path.name for path in folder.iterdir()),
        "csv": [line.rsplit(",", 1)[0] for line in (folder / "log.csv").read_text().splitlines()],
        "report": (folder / "report.html").read_text().count("<h2"),
    }


@check(2)
def tensorboard(comm):
    try:
        from minidl.training.callbacks import TensorBoardLogger

        logger = TensorBoardLogger(folder_of(comm))
    except ImportError:
        return None
    fit(trainer_of(comm, callbacks=[logger]))
    comm.Barrier()
    return len(list(logger.folder.glob("events*")))


@check()
def batches_in_callbacks(comm):
    """What a callback sees of the step: its rank's part, nothing of a batch that has no sample for it."""
    seen = []

    class Look(At):
        def _call(self, trainer):
            seen.append([[len(batch.inputs), batch.output is not None] for batch in trainer.batches])

    x, labels = arrays(13)
    small_first = Fresh([(x[:1], labels[:1]), (x[1:7], labels[1:7]), (x[7:], labels[7:])])
    trainer = trainer_of(comm, accumulate=2, callbacks=[Look("on_batch_end", None)])
    trainer.fit(small_first, epochs=1)
    return seen
