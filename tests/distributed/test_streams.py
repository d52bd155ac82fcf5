"""Streams of random numbers that follow from one state."""

import numpy as np
import pytest

from minidl.distributed.streams import _derived


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.SFC64, np.random.Philox, np.random.MT19937])
def test_a_stream_follows_from_the_state_and_the_rank(kind):
    generator = np.random.Generator(kind(3))
    streams = [_derived(generator.bit_generator, generator.bit_generator.state, rank) for rank in (1, 2, 1)]
    drawn = []
    for state in streams:
        generator.bit_generator.state = state
        drawn.append(generator.random(4).tolist())
    assert drawn[0] == drawn[2]
    assert drawn[0] != drawn[1]
    generator.random()
    generator.bit_generator.state = _derived(generator.bit_generator, generator.bit_generator.state, 1)
    assert generator.random(4).tolist() != drawn[0]
