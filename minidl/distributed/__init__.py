"""Several processes as one: what the ranks of an MPI communicator do together. Nothing in here imports mpi4py."""

from .communicator import Communicator, check_comm
from .group import Group, RankError, active_group, group_of, is_told_elsewhere, mark_told
from .launcher import alone, launched_rank, launched_ranks, world

__all__ = [
    "Communicator",
    "Group",
    "RankError",
    "active_group",
    "alone",
    "check_comm",
    "group_of",
    "is_told_elsewhere",
    "launched_rank",
    "launched_ranks",
    "mark_told",
    "world",
]
