"""Photographs for tests: made up, with what real ones have."""

import numpy as np


def photo(rng, width, height):
    """What a photograph has: smooth shades at every scale, hard edges, noise."""
    from PIL import Image  # an extra

    shades = np.zeros((height, width, 3))
    for octave in range(1, 8):
        rough = rng.standard_normal((2**octave, 2**octave, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(rough[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            shades[..., channel] += np.asarray(layer) * 2.0**-octave
    for _ in range(8):
        x, y = rng.integers(width), rng.integers(height)
        shades[y : y + height // 4, x : x + width // 5] = rng.standard_normal(3)
    return Image.fromarray(np.clip(127 + 70 * shades + 6 * rng.standard_normal(shades.shape), 0, 255).astype(np.uint8))
