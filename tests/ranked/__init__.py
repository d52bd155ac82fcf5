"""Checks that run on several ranks at once, each in the processes of one launch: `python -m ranked FOLDER CHECKS`.

A check is a function of the communicator, None in one process. What it returns on each rank, plain data for JSON, is
what a test judges: `launching.Ranked` has it by the check's name. A new check is a function with `@check`, and a test.

| What is shown | Checks | Judged by |
|---|---|---|
| random problems have the numbers of one process; the same bits again | `exact.py` | `training/test_ranks.py` |
| batch normalisation; streams of random layers and transforms | `layers.py` | `training/test_ranks_layers.py` |
| metrics, early stopping, schedules that watch a column | `judging.py` | `training/test_sharing.py` |
| evaluate, validation and predict in order, bit for bit | `evaluating.py` | `training/test_sharing.py` |
| stop, StopTraining, limits, Ctrl-C, not finite: one decision | `stopping.py` | `training/test_ranks_stop.py` |
| checkpoints on the same number of ranks, and on another | `resuming.py` | `training/test_ranks_resume.py` |
| errors on one rank; bad input | `failing.py` | `training/test_ranks_fail.py` |
| ranks that are not alike | `failing.py` | `training/test_alike.py` |
| lr_find, cross_validate, report, callbacks | `tools.py` | `training/test_ranks_tools.py` |
| what a group does; threads | `groups.py` | `distributed/test_group.py` |
| exit codes, what is printed, SIGKILL and a resume | `ending.py`, launched alone | `distributed/test_ending.py` |

Other problems than the suite's: MINIDL_RANK_SEED=100 MINIDL_RANK_PROBLEMS=30 pytest tests/training/test_ranks.py -rP
"""

from collections.abc import Callable
from typing import Any

CHECKS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {}


def check(*sizes, name=None):
    """Register a check, for some numbers of ranks: 2 and 3 if none are given."""

    def register(function):
        CHECKS[name or function.__name__] = function, sizes or (2, 3)
        return function

    return register
