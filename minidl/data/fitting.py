"""From an image of any size to one of the size that is wanted: stretched, padded or cropped.

A large JPEG file is decoded at a half, a quarter or an eighth of its size, which its format allows and which takes a
third of the time or less. What is decoded keeps at least three pixels for each that is wanted, in both directions, so
that the result is close to that of the whole image: it differs by less than 0.4 of 255 levels on average, and at single
pixels beside hard edges by less than 24 (tests/data/test_fitting.py).
"""

from __future__ import annotations

from typing import Any

__all__ = ["FITS", "fitted", "reduce"]

FITS = ("stretch", "pad", "crop")
_GAP = 3  # pixels that are decoded for each that is wanted, in each direction
_ORIENTATION = 0x0112  # EXIF's number of the entry: 1 upright; 2 to 8 mirrored, turned or both

Box = tuple[float, ...]  # left, top, right, bottom, in pixels


def reduce(file: Any, shape: tuple[int, int], fit: str) -> Box | None:
    """Let an image file that has not been decoded yet be decoded at a smaller size, if its format is JPEG.

    Args:
        file: Pillow's, just opened.
        shape: (H, W) that is wanted, of the image as it is seen: upright.
        fit: one of `FITS`.

    Returns:
        Where the image will lie in what is decoded, once it is upright: part of the last row and column may be beyond
        its edge, as 333 pixels are 83.25 at a quarter of their size. None: it is decoded whole.
    """
    if file.format not in ("JPEG", "MPO"):
        return None
    turn = file.getexif().get(_ORIENTATION, 1)

    def seen(sides: Any) -> Any:
        """Return (W, H) in the file as it is of the upright image, or the other way round."""
        return sides[::-1] if turn in (5, 6, 7, 8) else sides

    width, height = seen(_resized((0, 0, *seen(file.size)), shape, fit))
    drafted = file.draft(None, (_GAP * width, _GAP * height))
    if drafted is None:
        return None
    width, height = seen(file.size)
    x, y = seen([size - end for size, end in zip(file.size, drafted[1][2:], strict=True)])
    left, top = x * (turn in (2, 3, 6, 7)), y * (turn in (3, 4, 7, 8))  # the right edge is on the left then, and so on
    return left, top, width - x + left, height - y + top


def fitted(image: Any, box: Box | None, shape: tuple[int, int], fit: str, colour: Any) -> Any:
    """Return an image of Pillow's, resized, by bilinear interpolation over all the pixels that become one.

    Args:
        image: the image, upright.
        box: where it lies in ``image``, as `reduce` returned it.
        shape: (H, W) of the result.
        fit: "stretch" changes its proportions if they differ from the result's; "pad" makes the whole image fit and
            puts bars on both sides, or above and below; "crop" fills the result with the middle of the image.
        colour: of the bars, as the image's mode has it.
    """
    from PIL import Image  # noqa: PLC0415 - an extra, imported where it is used

    whole = (0.0, 0.0, *map(float, image.size))
    box = whole if box is None else box
    if fit == "crop":
        box = _middle(box, shape[1] / shape[0])
    size = _resized(box, shape, fit)
    if size != image.size or box != whole:
        image = image.resize(size, Image.Resampling.BILINEAR, box=box)
    if size == shape[::-1]:
        return image
    result = Image.new(image.mode, shape[::-1], colour)
    result.paste(image, (round((shape[1] - size[0]) / 2), round((shape[0] - size[1]) / 2)))
    return result


def _resized(box: Box, shape: tuple[int, int], fit: str) -> tuple[int, int]:
    """Return the (W, H) to which a part of an image is resized: the result's, or less if it is padded."""
    height, width = shape
    if fit != "pad":
        return width, height
    scale = min(width / (box[2] - box[0]), height / (box[3] - box[1]))
    return max(1, round(scale * (box[2] - box[0]))), max(1, round(scale * (box[3] - box[1])))


def _middle(box: Box, ratio: float) -> Box:
    """Return the largest part of a box in its middle whose width is ``ratio`` times its height."""
    left, top, right, bottom = box
    x = max(0.0, (right - left) - ratio * (bottom - top)) / 2
    y = max(0.0, (bottom - top) - (right - left) / ratio) / 2
    return left + x, top + y, right - x, bottom - y
