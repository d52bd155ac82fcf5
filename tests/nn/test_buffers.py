"""A snapshot of buffers: restored whether a layer changed them in place or assigned new arrays."""

import numpy as np

from minidl import nn
from minidl.nn.buffers import BufferSnapshot


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("in_place", np.zeros(2))
        self.register_buffer("assigned", np.zeros(2))
        self.register_buffer("absent", None)

    def forward(self, x):
        self.in_place += 1
        self.assigned = self.assigned + 1
        return x


def test_restore_rolls_back_what_was_taken_and_no_further():
    model = nn.Sequential(Counter(), nn.BatchNorm1d(2))
    snapshot = BufferSnapshot(model)
    model(np.ones((3, 2), np.float32))
    snapshot.take()
    taken = {name: value.copy() for name, value in model.named_buffers()}
    assert taken["0.in_place"].any()
    assert taken["1.num_batches_tracked"] == 1
    model(np.full((3, 2), 7, np.float32))
    assert all((value != taken[name]).any() for name, value in model.named_buffers())
    snapshot.restore()
    for name, value in model.named_buffers():
        np.testing.assert_array_equal(value, taken[name], name)
