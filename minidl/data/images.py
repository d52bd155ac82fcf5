"""Reading images from files: image files through pillow, and .npy arrays."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .._core import Array, IntPair, check_choice, check_npy, check_pair, printable, reading, user_path
from .fitting import FITS, fitted, reduce
from .naming import named
from .unreadable import UnreadableImageError

__all__ = [
    "Colour",
    "check_background",
    "check_channels",
    "check_fit",
    "decoded",
    "described",
    "header",
    "image_batches",
    "image_files",
    "pillow",
    "pixels_of",
    "read_image",
    "scaled",
]

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # PPM is PGM and PBM, too; others may start programs
_BATCH = 256
_STRIP = 2**22  # pixels
_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}  # Pillow converts them to these only
_WITH_ALPHA = ("LA", "PA", "RGBA")

Colour = str | tuple[int, int, int]


def read_image(
    path: str | os.PathLike[str],
    size: IntPair | None = None,
    channels: int = 3,
    *,
    background: Colour = "white",
    fit: str = "stretch",
) -> Array:
    """Read an image file; of several images in it, as in an animation, the first one.

    The file is BMP, GIF, JPEG, PBM, PGM, PNG, PPM, TIFF or WebP, whatever its name. What becomes of each of Pillow's
    modes is in docs/training.md; the orientation that EXIF gives is applied. An image with more pixels than Pillow
    finds safe, ``PIL.Image.MAX_IMAGE_PIXELS``, 89 million, is refused before it is decoded; set another limit there.

    Args:
        path: the file.
        size: (H, W), or an int for both, to which it is resized; None: keep its size.
        channels: 3 for colour, 1 for grey.
        background: the colour behind what is transparent, by name or as (R, G, B) from 0 to 255.
        fit: how an image of other proportions is resized: "stretch" changes them; "pad" keeps the whole image and puts
            bars of the background beside it; "crop" keeps the middle.

    Returns:
        (C, H, W), float32 in [0, 1].

    Raises:
        ImportError: the extra ``images`` is not installed.
        ValueError: the file cannot be read as an image of one of these formats, it has too many pixels, or they have
            no known range.
        MemoryError: there is not enough memory for it.
    """
    pillow("read_image")
    channels = check_channels("read_image", channels)
    shape = None if size is None else check_pair("read_image", "size", size)
    colour = check_background("read_image", background)
    fit = check_fit("read_image", fit, shape)
    with named("read_image"):
        path = user_path(path)
    return decoded(path, shape, channels, colour, fit)


def decoded(
    path: Path, shape: tuple[int, int] | None, channels: int, background: tuple[int, int, int], fit: str
) -> Array:
    """Return what `read_image` does of a path that was found, which may have any name, with arguments that are checked.

    Raises:
        ValueError, MemoryError: as for `read_image`.
    """
    return scaled(*pixels_of(path, shape, channels, background, fit), channels)


def scaled(planes: Array, white: int, channels: int) -> Array:
    """Return what `pixels_of` returned as (C, H, W), float32 in [0, 1]."""
    values: Array = np.multiply(planes, np.float32(1 / white), dtype=np.float32)
    return values if len(values) == channels else np.repeat(values, channels, axis=0)


def pixels_of(
    path: Path, shape: tuple[int, int] | None, channels: int, background: tuple[int, int, int], fit: str
) -> tuple[Array, int]:
    """Read an image file whose arguments are checked.

    Returns:
        (C or 1, H, W), uint8, or float32 for an image of 16 bits, which is grey; and the value of white in it.

    Raises:
        UnreadableImageError, MemoryError: as for `read_image`.
    """
    image_module = pillow("read_image")
    from PIL import ImageOps  # noqa: PLC0415

    try:
        # given a name, Pillow 13 maps a plain TIFF file into memory, and garbles one that is turned by a quarter
        with path.open("rb") as stream, _opened(image_module, stream) as file:
            box = None if shape is None else reduce(file, shape, fit)
            ImageOps.exif_transpose(file, in_place=True)
            image, white = _plain(file, "RGB" if channels == 3 else "L", background)
            if shape is not None:
                colour = background if image.mode == "RGB" else _grey(background) * white // 255
                image = fitted(image, box, shape, fit, colour)
            pixels = np.asarray(image)
            return pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None], white
    except MemoryError as error:
        raise MemoryError(f"read_image: there is not enough memory for the image {printable(path)}: {error}") from error
    except Exception as error:  # each format fails in its own way
        raise UnreadableImageError(path, error) from error


def header(path: Path) -> tuple[str, tuple[int, int]]:
    """Return an image file's mode and (W, H), which are known without decoding it.

    Raises:
        UnreadableImageError: it is none that `read_image` reads.
    """
    try:
        with path.open("rb") as stream, _opened(pillow("read_image"), stream) as file:
            return str(file.mode), file.size
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableImageError(path, error) from error


def _opened(image_module: Any, stream: BinaryIO) -> Any:
    """Return an image of a documented format and of a safe size, which has not been decoded yet."""
    from PIL import UnidentifiedImageError  # noqa: PLC0415

    limit = image_module.MAX_IMAGE_PIXELS
    too_large = f"it has more pixels than PIL.Image.MAX_IMAGE_PIXELS, {limit}; set a higher limit to read it"
    try:
        file = image_module.open(stream, formats=_FORMATS)
    except UnidentifiedImageError as error:
        empty = stream.seek(0, os.SEEK_END) == 0
        raise ValueError("it is empty" if empty else f"it is damaged, or none of {', '.join(_FORMATS)}") from error
    except (image_module.DecompressionBombWarning, image_module.DecompressionBombError) as error:
        raise ValueError(too_large) from error
    if limit is not None and file.width * file.height > limit:  # a warning of Pillow's, up to twice as many
        raise ValueError(too_large)
    if file.format != "PNG":
        return file
    file.verify()  # the checksums of its pieces, which Pillow does not compare when it decodes them
    stream.seek(0)
    return image_module.open(stream, formats=["PNG"])


def _plain(image: Any, mode: str, background: tuple[int, int, int]) -> tuple[Any, int]:
    """Return an image of any of Pillow's modes as one of a mode without transparency, and the value of white in it.

    Args:
        image: the image.
        mode: "RGB" or "L". An image of 16 bits becomes one of floats, grey whatever the mode.
        background: the colour behind what is transparent.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose range is not known")
    if image.mode.startswith("I"):  # Pillow would clip it to 8 bits
        return _of_16_bits(image, background), 65535
    if image.mode in _PREMULTIPLIED:
        image = image.convert(_PREMULTIPLIED[image.mode])
    in_palette = image.mode == "P" and image.palette.mode.endswith("A")
    if image.mode in _WITH_ALPHA or in_palette or "transparency" in image.info:
        image = _on(background, image)
    elif image.mode == "LAB":  # not to grey in one step
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode), 255


def _of_16_bits(image: Any, background: tuple[int, int, int]) -> Any:
    """Return an image of integers as one of floats from 0 to 65535, or raise ValueError if it has more than 16 bits."""
    values = np.asarray(image)
    if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise ValueError("its pixels are integers of 32 bits, whose range is not known")
    floats = values.astype(np.float32)
    if isinstance(key := image.info.get("transparency"), int):
        floats[values == key] = 257 * _grey(background)
    return pillow("read_image").fromarray(floats)


def _grey(colour: tuple[int, int, int]) -> int:
    """Return a colour's grey, from 0 to 255."""
    return int(pillow("read_image").new("RGB", (1, 1), colour).convert("L").getpixel((0, 0)))


def _on(background: tuple[int, int, int], image: Any) -> Any:
    """Put a transparent image onto a colour: what is transparent may have any colour, usually black."""
    module = pillow("read_image")
    width, height = image.size
    result, rows = module.new("RGB", image.size), max(1, _STRIP // max(1, width))
    for top in range(0, height, rows):  # a few rows at a time, for the memory
        front = image.crop((0, top, width, min(height, top + rows))).convert("RGBA")
        back = module.new("RGBA", front.size, (*background, 255))
        result.paste(module.alpha_composite(back, front).convert("RGB"), (0, top))
    return result


def image_files(folder: Path, above: Iterable[str] = ()) -> tuple[list[Path], Counter[str]]:
    """Find the image files in a folder and its subfolders. Links are followed.

    Args:
        folder: the folder.
        above: real paths of folders that hold it.

    Returns:
        The files, sorted; and how many files and folders were skipped, by reason. A link to a folder that holds it
        would lead in a circle, and is skipped.
    """
    files, skipped = list[Path](), Counter[str]()
    _collect(folder, frozenset(above), files, skipped)
    return sorted(files), skipped


def _collect(folder: Path, above: frozenset[str], files: list[Path], skipped: Counter[str]) -> None:
    real = os.path.realpath(folder)
    if real in above:
        skipped["circle of links"] += 1
        return
    try:
        paths = list(folder.iterdir())
    except PermissionError:
        skipped["folder that may not be read"] += 1
        return
    for path in paths:
        if path.name.startswith("."):
            skipped["hidden"] += 1
        elif path.is_file():
            if path.suffix.lower() in _SUFFIXES:
                files.append(path)
            else:
                skipped[path.suffix.lower() or "without a suffix"] += 1
        elif path.is_dir():
            _collect(path, above | {real}, files, skipped)
        else:
            skipped["not a file" if path.exists() else "broken link"] += 1


def described(skipped: Mapping[str, int]) -> str:
    """Return what was skipped as text, such as '3 skipped: 2 hidden, 1 .txt'; "" if nothing was."""
    if not skipped:
        return ""
    return f"{sum(skipped.values())} skipped: " + ", ".join(
        f"{n} {printable(reason)}" for reason, n in sorted(skipped.items())
    )


def image_batches(
    paths: Iterable[Path],
    shape: tuple[int, ...],
    skipped: Counter[str] | None = None,
    broken: list[UnreadableImageError] | None = None,
    fit: str = "stretch",
) -> Iterator[tuple[list[str], Array]]:
    """Read images of one shape from files of all kinds.

    Args:
        paths: image files, which are resized; folders of them; .npy files of images (N, C, H, W) or one image
            (C, H, W), floats in [0, 1].
        shape: (C, H, W).
        skipped: counts what is skipped in folders, by reason.
        broken: gets the errors of image files that cannot be read, which are left out; None: the first is raised.
        fit: how image files of other proportions are resized, as for `read_image`.

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
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        white = check_background("read_image", "white")
        files, left = image_files(path) if path.is_dir() else ([path], Counter[str]())
        if not files:
            raise FileNotFoundError(f"{path}: there are no images{'; ' if left else ''}{described(left)}")
        if skipped is not None:
            skipped.update(left)
        for file in files:
            try:
                image = decoded(file, (shape[1], shape[2]), shape[0], white, fit)
            except UnreadableImageError as error:
                if broken is None:
                    raise
                broken.append(error)
                continue
            yield [str(file)], image[None]


def _read_array(path: Path, shape: tuple[int, ...]) -> Array:
    with reading(path, "is not a .npy file of numbers, or it is damaged"), path.open("rb") as stream:
        check_npy(stream, path.stat().st_size, "it")
        array = np.load(stream, allow_pickle=False)
    if array.shape == shape:
        array = array[None]
    if array.ndim != 4 or array.shape[1:] != shape:
        raise ValueError(f"{path}: expected images of shape (N, {', '.join(map(str, shape))}), got {array.shape}")
    if array.dtype.kind != "f":
        raise TypeError(f"{path}: expected numbers in [0, 1] as float32, got {array.dtype}; divide by 255")
    if not (np.isfinite(array).all() and array.min(initial=0) >= -0.001 and array.max(initial=0) <= 1.001):
        raise ValueError(f"{path}: expected numbers in [0, 1], got {np.min(array):g} to {np.max(array):g}")
    return np.asarray(array, np.float32)


def check_background(owner: str, background: Any) -> tuple[int, int, int]:
    """Return a colour, given by name or as (R, G, B), as (R, G, B) from 0 to 255, or raise ValueError."""
    pillow(owner)
    from PIL import ImageColor  # noqa: PLC0415

    try:
        red, green, blue = ImageColor.getrgb(background)[:3] if isinstance(background, str) else background
        if not all(isinstance(part, (int, np.integer)) and 0 <= part <= 255 for part in (red, green, blue)):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{owner}: background must be a colour's name or (R, G, B) from 0 to 255, got {background!r}"
        ) from error
    return int(red), int(green), int(blue)


def check_channels(owner: str, channels: Any) -> int:
    """Return the number of channels of an image, 1 or 3, or raise ValueError."""
    if channels not in (1, 3):
        raise ValueError(f"{owner}: channels must be 1 or 3, got {channels!r}")
    return int(channels)


def check_fit(owner: str, fit: Any, shape: tuple[int, int] | None) -> str:
    """Return how an image is resized, one of `FITS`, or raise ValueError."""
    name = check_choice(owner, "fit", fit, FITS)
    if name != "stretch" and shape is None:
        raise ValueError(f"{owner}: fit={name!r} needs a size to which images are resized")
    return name


def pillow(owner: str) -> Any:
    """Return pillow's Image module, or raise an ImportError that names the extra."""
    try:
        from PIL import Image  # noqa: PLC0415 - an extra, imported where it is used
    except ImportError as error:
        raise ImportError(f"{owner} needs an extra: pip install 'minidl[images]'") from error
    return Image
