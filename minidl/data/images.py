"""Reading images from files: image files through pillow, and .npy arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._core import Array, IntPair, check_pair, user_path
from .naming import named

__all__ = ["check_channels", "image_batches", "image_files", "pillow", "read_image"]

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_BATCH = 256
_WITH_ALPHA = {"RGBA", "RGBa", "LA", "La", "PA"}


def read_image(
    path: str | os.PathLike[str],
    size: IntPair | None = None,
    channels: int = 3,
    *,
    background: str | tuple[int, int, int] = "white",
) -> Array:
    """Read an image file.

    Args:
        path: the file.
        size: (H, W), or an int for both, to which it is resized; None: keep its size.
        channels: 3 for colour, 1 for grey.
        background: the colour behind what is transparent, by name or as (R, G, B) from 0 to 255.

    Returns:
        (C, H, W), float32 in [0, 1].

    Raises:
        ImportError: the extra ``images`` is not installed.
        ValueError: the file cannot be read as an image.
    """
    image_module = pillow("read_image")
    from PIL import ImageOps  # noqa: PLC0415

    mode = "RGB" if check_channels("read_image", channels) == 3 else "L"
    shape = None if size is None else check_pair("read_image", "size", size)
    with named("read_image"):
        path = user_path(path)
    try:
        with image_module.open(path) as file:
            image, white = ImageOps.exif_transpose(file), 255
            if image.mode == "F":
                raise ValueError("its pixels are floating-point numbers, whose range is not known")
            if image.mode.startswith("I"):  # Pillow would clip it to 8 bits
                image, white = _of_16_bits(image), 65535
            elif image.mode in _WITH_ALPHA or "transparency" in image.info:
                image = _on(background, image).convert(mode)
            else:
                image = image.convert(mode)
            if shape is not None and image.size != shape[::-1]:
                image = image.resize(shape[::-1], image_module.Resampling.BILINEAR)
            pixels = np.asarray(image, np.float32)
    except Exception as error:  # each format fails in its own way
        raise ValueError(f"read_image: cannot read the image {path}: {error}") from error
    planes = pixels.transpose(2, 0, 1) if pixels.ndim == 3 else np.repeat(pixels[None], channels, axis=0)
    return np.multiply(planes, np.float32(1 / white), dtype=np.float32)


def _of_16_bits(image: Any) -> Any:
    """Return an image of integers as one of floats from 0 to 65535, or raise ValueError if it has more than 16 bits."""
    values = np.asarray(image)
    if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise ValueError("its pixels are integers of 32 bits, whose range is not known")
    return pillow("read_image").fromarray(values.astype(np.float32))


def _on(background: Any, image: Any) -> Any:
    """Put a transparent image onto a colour: what is transparent may have any colour, usually black."""
    front = image.convert("RGBA")
    back = pillow("read_image").new("RGBA", front.size, background)
    back.alpha_composite(front)
    return back.convert("RGB")


def image_files(folder: Path) -> list[Path]:
    """Return the image files in a folder and its subfolders, sorted, without hidden ones; links are followed."""
    return sorted(path for path in _files(folder, frozenset()) if path.suffix.lower() in _SUFFIXES and path.is_file())


def _files(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    """Yield what is in a folder and below. A link to a folder that holds it would lead in a circle, and is skipped."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for path in folder.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            yield from _files(path, above | {real})
        elif not path.name.startswith("."):
            yield path


def image_batches(paths: Iterable[Path], shape: tuple[int, ...]) -> Iterator[tuple[list[str], Array]]:
    """Read images of one shape from files of all kinds.

    Args:
        paths: image files, which are resized; folders of them; .npy files of images (N, C, H, W) or one image
            (C, H, W), floats in [0, 1].
        shape: (C, H, W).

    Yields:
        (names, images): a name for each image, such as 'cat.png' or 'images.npy[3]', and images (N, C, H, W) float32.

    Raises:
        FileNotFoundError: there is no such file, or a folder holds no images.
        ImportError: the extra ``images`` is not installed.
        ValueError: a file cannot be read, or its images do not have the shape or the range.
        TypeError: a .npy file does not hold floats.
    """
    for path in paths:
        if path.suffix == ".npy" and path.is_file():
            images = _read_array(path, shape)
            for begin in range(0, len(images), _BATCH):
                batch = images[begin : begin + _BATCH]
                yield [f"{path}[{begin + number}]" for number in range(len(batch))], batch
            continue
        files = image_files(path) if path.is_dir() else [path]
        if not files or not path.exists():
            raise FileNotFoundError(f"{path}: there are no images" if path.is_dir() else f"there is no file {path}")
        for file in files:
            yield [str(file)], read_image(file, (shape[1], shape[2]), shape[0])[None]


def _read_array(path: Path, shape: tuple[int, ...]) -> Array:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a .npy file of numbers, or it is damaged: {error}") from error
    if array.shape == shape:
        array = array[None]
    if array.ndim != 4 or array.shape[1:] != shape:
        raise ValueError(f"{path}: expected images of shape (N, {', '.join(map(str, shape))}), got {array.shape}")
    if array.dtype.kind != "f":
        raise TypeError(f"{path}: expected numbers in [0, 1] as float32, got {array.dtype}; divide by 255")
    if not (np.isfinite(array).all() and array.min(initial=0) >= -0.001 and array.max(initial=0) <= 1.001):
        raise ValueError(f"{path}: expected numbers in [0, 1], got {np.min(array):g} to {np.max(array):g}")
    return np.asarray(array, np.float32)


def check_channels(owner: str, channels: Any) -> int:
    """Return the number of channels of an image, 1 or 3, or raise ValueError."""
    if channels not in (1, 3):
        raise ValueError(f"{owner}: channels must be 1 or 3, got {channels!r}")
    return int(channels)


def pillow(owner: str) -> Any:
    """Return pillow's Image module, or raise an ImportError that names the extra."""
    try:
        from PIL import Image  # noqa: PLC0415 - an extra, imported where it is used
    except ImportError as error:
        raise ImportError(f"{owner} needs an extra: pip install 'minidl[images]'") from error
    return Image
