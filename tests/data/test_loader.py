"""DataLoader: sizes, order, passes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.data import ArrayDataset, DataLoader


def order(loader):
    return [int(i) for (batch,) in loader for i in batch]


@given(samples=st.integers(1, 40), batch_size=st.integers(1, 45), drop_last=st.booleans(), shuffle=st.booleans())
def test_every_sample_once_a_pass(samples, batch_size, drop_last, shuffle):
    loader = DataLoader(ArrayDataset(np.arange(samples)), batch_size, shuffle, drop_last=drop_last)
    for _ in range(2):
        sizes = [len(batch) for (batch,) in loader]
        assert len(sizes) == len(loader)
        assert all(size == batch_size for size in sizes[:-1])
        seen = order(loader)
        assert len(set(seen)) == len(seen)
        assert len(seen) == (samples // batch_size * batch_size if drop_last else samples)
        if not shuffle:
            assert seen == sorted(seen)


def test_shuffling_differs_between_passes_and_repeats_with_the_seed():
    data = ArrayDataset(np.arange(50))
    minidl.manual_seed(1)
    loader = DataLoader(data, 8, shuffle=True)
    first, second = order(loader), order(loader)
    assert first != second
    minidl.manual_seed(1)
    assert [order(loader), order(loader)] == [first, second]
    own = [order(DataLoader(data, 8, shuffle=True, rng=np.random.default_rng(2))) for _ in range(2)]
    assert own[0] == own[1]


def test_without_shuffling_no_random_number_is_drawn():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    order(DataLoader(ArrayDataset(np.arange(5)), 2, rng=rng))
    assert rng.bit_generator.state == before


def test_the_transform_gets_the_whole_batch_of_images():
    shapes = []

    def transform(images):
        shapes.append(images.shape)
        return images * 2

    data = ArrayDataset(np.ones((5, 1, 2, 2)), np.arange(5))
    batches = list(DataLoader(data, 3, transform=transform))
    assert shapes == [(3, 1, 2, 2), (2, 1, 2, 2)]
    assert (batches[0][0] == 2).all()
    assert batches[0][1].tolist() == [0, 1, 2]
    assert (data.arrays[0] == 1).all()


def test_a_transform_that_loses_images_is_found():
    loader = DataLoader(ArrayDataset(np.ones((4, 1)), np.arange(4)), 4, transform=lambda x: x[:2])
    with pytest.raises(ValueError, match=r"transform must return 4 images, got shape \(2, 1\)"):
        next(iter(loader))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda d: DataLoader(d, 0), ValueError, "DataLoader: batch_size must be at least 1, got 0"),
        (lambda d: DataLoader(d, 2.5), TypeError, "DataLoader: batch_size must be an integer, got 2.5"),
        (
            lambda d: DataLoader(ArrayDataset(np.zeros((0, 3)))),
            ValueError,
            "DataLoader: the dataset is empty",
        ),
        (
            lambda d: DataLoader(np.zeros(3)),
            TypeError,
            r"must be a Dataset, got ndarray; arrays go into ArrayDataset",
        ),
        (lambda d: DataLoader(d, shuffle="yes"), TypeError, "DataLoader: shuffle must be True or False"),
        (lambda d: DataLoader(d, rng=0), TypeError, "rng must be a numpy.random.Generator"),
        (lambda d: DataLoader(d, transform=3), TypeError, "transform must be a function"),
    ],
)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(ArrayDataset(np.arange(4)))


def test_workers_and_pinned_memory_are_told_what_does_this_here():
    data = ArrayDataset(np.arange(6))
    for options in ({"num_workers": 2}, {"pin_memory": True}):
        with pytest.warns(UserWarning, match=r"no effect.*prefetch=2 prepares two batches in advance"):
            loader = DataLoader(data, 4, **options)
        assert [batch.tolist() for (batch,) in loader] == [[0, 1, 2, 3], [4, 5]]
    assert len(DataLoader(data, 4, num_workers=0, pin_memory=False)) == 2  # no warning: nothing is asked for
    with pytest.raises(ValueError, match="DataLoader: num_workers must be at least 0"):
        DataLoader(data, 4, num_workers=-1)
