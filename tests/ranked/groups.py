"""What a group does, without a Trainer; and how many threads a rank takes."""

import threading

import numpy as np

import minidl
from minidl._core import threads
from minidl.distributed import active_group, group_of
from minidl.distributed.streams import diverge, rejoin

from . import check
from .small import raised


@check()
def operations(comm):
    group = group_of(comm)
    with group.together():
        active = active_group() is group
        array = np.arange(3.0) + group.rank
        found = [group.sum(array) is array, array.tolist(), group.gather(np.array([group.rank])).tolist()]
        arrays = [np.ones(2, np.float32), np.full((2, 2), group.rank)]
        group.sums(arrays)
        found += [[one.tolist() for one in arrays], group.collect(str(group.rank)), group.from_first(group.rank)]
        first = [np.full(3, group.rank), np.full((1, 2), float(group.rank))]
        group.copy_first(first)
        found.append([one.tolist() for one in first])
    same = group_of(comm) is group and group_of(group.comm) is group
    return {"found": found, "active": active, "after": active_group() is None, "same": same}


@check()
def other_operations(comm):
    """The last rank is somewhere else."""
    group = group_of(comm)

    def mixed():
        with group.together():
            group.sum(np.ones(2)) if group.rank < group.size - 1 else group.collect(2)

    def too_many():
        with group.together():
            for _ in range(1 + (group.rank == group.size - 1)):
                group.sum(np.ones(2))

    found = [raised(mixed), raised(too_many)]
    with group.together():
        return [*found, group.collect(1)]


@check()
def errors_of_several(comm):
    """All fail, each in its own way: each has its own error, and hears of none."""
    group = group_of(comm)

    def fail():
        with group.together():
            raise ValueError(f"rank {group.rank}")

    return raised(fail)


@check()
def streams(comm):
    """What the ranks draw after diverging, and after they have joined again."""
    group, generator = group_of(comm), np.random.default_rng(comm.rank)  # of other states before
    with group.together():
        diverge(group, [generator])
        own = generator.random(3).tolist()
        rejoin(group, [generator])
    return [own, generator.random(3).tolist()]


@check()
def shares_of_the_cpus(comm):
    group_of(comm)
    usual = minidl.get_num_threads()
    blas = threads.blas_threads() or 1
    minidl.set_num_threads(3)
    asked = minidl.get_num_threads()
    threads._state.threads = None
    return [threads._state.sharing, usual, min(blas, max(1, threads.available_cpus() // comm.size)), asked]


@check()
def another_thread(comm):
    """Outside of the main thread there is no handler of Ctrl-C to replace."""
    group, found = group_of(comm), []

    def work():
        with group.together():
            found.append(group.collect(comm.rank))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]
