"""The shares of the ranks."""

from itertools import pairwise

from minidl.distributed.shares import share


def test_shares_are_a_partition_in_order_as_even_as_possible():
    for size in range(1, 9):
        for count in range(30):
            parts = [share(count, rank, size) for rank in range(size)]
            assert parts[0].start == 0
            assert parts[-1].stop == count
            assert all(one.stop == other.start for one, other in pairwise(parts))
            lengths = [part.stop - part.start for part in parts]
            assert max(lengths) - min(lengths) <= 1
            assert lengths == sorted(lengths, reverse=True)
