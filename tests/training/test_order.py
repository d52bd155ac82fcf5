"""predict: row i of the outputs belongs to sample i, or there is an error that says what to do."""

import numpy as np
import pytest
from fits import make, problem

from minidl.data import DataLoader, StratifiedSampler, WeightedSampler


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"shuffle": True}, "it shuffles"),
        ({"shuffle": True, "prefetch": 2}, "it shuffles"),
        ({"sampler": WeightedSampler(np.ones(50))}, "a sampler decides .*WeightedSampler"),
        ({"sampler": StratifiedSampler(np.arange(50) % 3)}, "a sampler decides .*StratifiedSampler"),
        ({"drop_last": True}, "it leaves out the last 2 of 50 samples"),
    ],
)
def test_a_loader_that_visits_samples_in_another_order_is_refused(options, reason):
    with pytest.raises(ValueError, match=f"Trainer.predict: row i .*{reason}.*DataLoader.loader.dataset"):
        make().predict(DataLoader(problem(50), 16, **options))


def test_a_loader_in_order_is_not():
    trainer, data = make(), problem(50)
    expected = trainer.model.eval()(data.arrays[0])
    for loader in (DataLoader(data, 16), DataLoader(data, 10, drop_last=True), DataLoader(data, 16, prefetch=1)):
        np.testing.assert_allclose(trainer.predict(loader), expected, rtol=1e-5, atol=1e-6)


class Arrays:
    """Gives the batches of one of PyTorch's loaders as arrays, with its attributes."""

    def __init__(self, loader):
        self.loader = loader

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def __iter__(self):
        return (tuple(part.numpy() for part in batch) for batch in self.loader)


def test_pytorchs_loaders_likewise(torch):
    from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler, SubsetRandomSampler, TensorDataset

    data, trainer, loader = problem(50), make(), torch.utils.data.DataLoader
    dataset = TensorDataset(*(torch.tensor(a) for a in data.arrays))
    expected = trainer.model.eval()(data.arrays[0])
    batches = BatchSampler(SequentialSampler(dataset), 8, drop_last=False)
    for given in (loader(dataset, 16), loader(dataset, 10, drop_last=True), loader(dataset, batch_sampler=batches)):
        np.testing.assert_allclose(trainer.predict(Arrays(given)), expected, rtol=1e-5, atol=1e-6)
    for options, reason in (
        ({"batch_size": 8, "shuffle": True}, "it shuffles .RandomSampler"),
        ({"batch_size": 8, "sampler": SubsetRandomSampler([1, 2])}, "it shuffles .SubsetRandomSampler"),
        ({"batch_size": 8, "sampler": [3, 2, 1]}, "a sampler decides which samples it visits .list"),
        ({"batch_size": 8, "drop_last": True}, "it leaves out the last 2 of 50"),
        ({"batch_sampler": BatchSampler(RandomSampler(dataset), 8, drop_last=False)}, "it shuffles .RandomSampler"),
        ({"batch_sampler": BatchSampler(range(50), 8, drop_last=True)}, "a sampler decides which samples it visits"),
        ({"batch_sampler": [[1, 2], [0]]}, "a batch_sampler .list. decides"),
    ):
        with pytest.raises(ValueError, match=f"Trainer.predict: row i .*{reason}"):
            trainer.predict(loader(dataset, **options))
