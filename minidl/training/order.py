"""The order of predictions: row i of the outputs must belong to sample i."""

from __future__ import annotations

from typing import Any

__all__ = ["check_order"]

# the samplers that visit every sample in order; the second is what PyTorch gives a dataset without a length
_IN_ORDER = ("NoneType", "SequentialSampler", "_InfiniteConstantSampler")


def check_order(loader: Any) -> None:
    """Raise ValueError if a loader, ours or PyTorch's, is known to visit samples in another order, or not all of them.

    What cannot be asked, such as a generator, is taken as it is.
    """
    batches = getattr(loader, "batch_sampler", None)  # PyTorch's: it may have been given instead of a sampler
    if type(batches).__name__ not in ("NoneType", "BatchSampler"):
        raise _refusal(f"a batch_sampler ({type(batches).__name__}) decides which samples it visits")
    for part in (loader, batches):
        if getattr(part, "shuffle", False) is True:
            raise _refusal("it shuffles (shuffle=True)")
        sampler = getattr(part, "sampler", None)
        if type(sampler).__name__ not in _IN_ORDER:
            how = "it shuffles" if "Random" in type(sampler).__name__ else "a sampler decides which samples it visits"
            raise _refusal(f"{how} ({type(sampler).__name__})")
        samples: Any = getattr(part, "dataset", sampler)
        size = getattr(part, "batch_size", None)
        if getattr(part, "drop_last", False) is True and size and hasattr(samples, "__len__") and len(samples) % size:
            raise _refusal(f"it leaves out the last {len(samples) % size} of {len(samples)} samples (drop_last=True)")


def _refusal(why: str) -> ValueError:
    return ValueError(
        f"Trainer.predict: row i of the outputs would not belong to sample i, because of the loader: {why}; use one "
        "that visits all samples in order: DataLoader(loader.dataset, batch_size=256, transform=loader.transform)"
    )
