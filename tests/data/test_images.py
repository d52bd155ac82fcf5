"""read_image: every mode that Pillow has, transparency, 16 bits, turned photos, animations, with values by hand."""

from collections import Counter

import numpy as np
import pytest

from minidl.data import ImageFolder, read_image
from minidl.data.images import _plain, image_batches

Image = pytest.importorskip("PIL.Image")

RED, WHITE = (1.0, 0.0, 0.0), (1.0, 1.0, 1.0)
BOTH_BYTES = np.array([[13107]])  # 0.2 * 65535, whose two bytes are the same in either order


def of_16_bits(mode):
    return Image.frombytes(mode, (1, 1), BOTH_BYTES.astype(np.uint16).tobytes())


def with_palette(mode, *colours, alpha=None):
    image = Image.new("P", (1, 1))
    image.putpalette([part for colour in colours for part in colour], "RGBA" if mode == "P, RGBA" else "RGB")
    if mode == "PA":
        image = image.convert("PA")
        image.putalpha(Image.new("L", (1, 1), alpha))
    return image


# every mode of Pillow, a pixel of it, and what becomes of the pixel, in front of white
MODES = {
    "1": (Image.new("1", (1, 1), 1), WHITE),
    "L": (Image.new("L", (1, 1), 51), (0.2, 0.2, 0.2)),
    "LA": (Image.new("LA", (1, 1), (0, 51)), (0.8, 0.8, 0.8)),
    "La": (Image.new("La", (1, 1), (0, 51)), (0.8, 0.8, 0.8)),
    "P": (with_palette("P", (255, 0, 51)), (1.0, 0.0, 0.2)),
    "PA": (with_palette("PA", (255, 0, 0), alpha=51), (1.0, 0.8, 0.8)),
    "RGB": (Image.new("RGB", (1, 1), (255, 0, 51)), (1.0, 0.0, 0.2)),
    "RGBA": (Image.new("RGBA", (1, 1), (0, 0, 255, 51)), (0.8, 0.8, 1.0)),
    "RGBa": (Image.new("RGBa", (1, 1), (0, 0, 51, 51)), (0.8, 0.8, 1.0)),  # multiplied by its alpha
    "RGBX": (Image.new("RGBX", (1, 1), (255, 0, 51, 0)), (1.0, 0.0, 0.2)),
    "CMYK": (Image.new("CMYK", (1, 1), (0, 255, 255, 0)), RED),
    "YCbCr": (Image.new("YCbCr", (1, 1), (76, 85, 255)), RED),
    "LAB": (Image.new("LAB", (1, 1), (136, 208, 195)), RED),  # L 53 % of 255, a 80 + 128, b 67 + 128
    "HSV": (Image.new("HSV", (1, 1), (0, 255, 255)), RED),
    "I": (Image.fromarray(BOTH_BYTES.astype(np.int32)), (0.2, 0.2, 0.2)),
    "F": (Image.new("F", (1, 1), 0.5), "its pixels are floating-point numbers, whose range is not known"),
    "I;16": (of_16_bits("I;16"), (0.2, 0.2, 0.2)),
    "I;16B": (of_16_bits("I;16B"), (0.2, 0.2, 0.2)),
    "I;16L": (of_16_bits("I;16L"), (0.2, 0.2, 0.2)),
    "I;16N": (of_16_bits("I;16N"), (0.2, 0.2, 0.2)),
}
FILES = {"CMYK": "tif", "PA": "tif", "YCbCr": "tif", "LAB": "tif", "I": "tif", "F": "tif", "I;16B": "tif"}
NO_FILE = ("La", "RGBa", "RGBX", "HSV", "I;16L", "I;16N")  # Pillow reads no file as one of these


def test_one_number_is_the_size_of_both_sides(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", 32)
    resized = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(image, np.asarray(resized).transpose(2, 0, 1) / 255, atol=1e-6)
    with pytest.raises(ValueError, match="read_image: size must be"):
        read_image(tmp_path / "a.png", 0)


def test_every_mode_is_in_the_table():
    assert set(Image.MODES) <= set(MODES)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_by_hand(mode, tmp_path):
    image, expected = MODES[mode]
    assert image.mode == mode
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected):
            _plain(image, "RGB", (255, 255, 255))
    else:
        for kind, wanted in (("RGB", expected), ("L", (np.dot(expected, (0.299, 0.587, 0.114)),) * 3)):
            made, white = _plain(image, kind, (255, 255, 255))
            assert made.mode == ("F" if mode.startswith("I") else kind)
            np.testing.assert_allclose(np.asarray(made).reshape(-1) / white * np.ones(3), wanted, atol=0.05)
    if mode in NO_FILE:
        return
    path = tmp_path / f"a.{FILES.get(mode, 'png')}"
    image.save(path)
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=f"read_image: cannot read the image {path}: {expected}"):
            read_image(path)
        return
    pixel = read_image(path)
    assert (pixel.shape, pixel.dtype) == ((3, 1, 1), np.float32)
    np.testing.assert_allclose(pixel[:, 0, 0], expected, atol=0.05 if mode == "LAB" else 0.005)
    grey = read_image(path, channels=1)
    assert grey.shape == (1, 1, 1)
    np.testing.assert_allclose(
        grey[0, 0, 0], np.dot(expected, (0.299, 0.587, 0.114)), atol=0.05 if mode == "LAB" else 0.005
    )


def opened(path, attribute):
    with Image.open(path) as image:
        return getattr(image, attribute)


def row(mode, *values):
    image = Image.new(mode, (len(values), 1))
    for place, value in enumerate(values):
        image.putpixel((place, 0), value)
    return image


def test_black_strokes_on_a_transparent_background_are_not_lost(tmp_path):
    path = tmp_path / "a.png"
    row("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)).save(path)
    for channels in (1, 3):
        np.testing.assert_array_equal(
            read_image(path, channels=channels), np.broadcast_to([[0.0, 1.0]], (channels, 1, 2))
        )
        for background in ("black", (0, 0, 0), [0, 0, 0], "#000"):
            assert not read_image(path, channels=channels, background=background).any()
    np.testing.assert_allclose(read_image(path, background=(255, 0, 51))[:, 0, 1], (1.0, 0.0, 0.2), atol=1e-6)
    np.testing.assert_allclose(
        read_image(path, 1, background="white").reshape(-1), [0.5] * 3, atol=0.01
    )  # not resized first


TRANSPARENT = {  # a colour or a palette's entry that stands for transparent; black and what is not
    "1": (row("1", 0, 1), 0),
    "L": (row("L", 0, 255), 0),
    "RGB": (row("RGB", (0, 0, 0), (255, 255, 255)), (0, 0, 0)),
    "I;16": (Image.fromarray(np.array([[0, 65535]], np.uint16)), 0),
}


@pytest.mark.parametrize("mode", TRANSPARENT)
def test_transparent_colours(mode, tmp_path):
    image, key = TRANSPARENT[mode]
    image.save(tmp_path / "a.png", transparency=key)
    assert opened(tmp_path / "a.png", "mode") == mode
    for channels in (1, 3):
        assert (read_image(tmp_path / "a.png", channels=channels) == 1).all()
        grey = read_image(tmp_path / "a.png", channels=channels, background=(51, 51, 51))
        np.testing.assert_allclose(grey, np.broadcast_to([[0.2, 1.0]], (channels, 1, 2)), atol=1e-6)


def test_palettes_with_transparency(tmp_path):
    palette = row("P", 0, 1, 2)
    palette.putpalette([255, 0, 0, 0, 0, 0, 0, 0, 0])
    palette.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[:, 0], [[1, 0, 0], [0, 0, 0], [0, 0, 0]])
    for name in ("one.png", "one.gif"):  # one entry is transparent
        palette.save(tmp_path / name, transparency=1)
        assert read_image(tmp_path / name)[:, 0].tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
    palette.save(tmp_path / "each.png", transparency=bytes([255, 51, 0]))  # an alpha for each entry
    np.testing.assert_allclose(read_image(tmp_path / "each.png", channels=1)[0, 0], [0.299, 0.8, 1], atol=0.003)
    made, _ = _plain(with_palette("P, RGBA", (255, 0, 0, 51)), "RGB", (255, 255, 255))  # or in the palette itself
    assert made.getpixel((0, 0)) == (255, 204, 204)


def test_colours_that_are_none_are_refused_even_if_nothing_is_transparent(tmp_path):
    (tmp_path / "ant").mkdir()
    row("L", 0).save(tmp_path / "ant" / "a.png")
    for wrong in ("whit", (1, 2), (1, 2, 256), (0.5, 0.5, 0.5), 3, None):
        with pytest.raises(
            ValueError, match="read_image: background must be a colour's name or .R, G, B. from 0 to 255"
        ):
            read_image(tmp_path / "ant" / "a.png", background=wrong)
        with pytest.raises(ValueError, match="ImageFolder: background must be a colour's name"):
            ImageFolder(tmp_path, background=wrong)


def test_a_folder_has_a_background(tmp_path):
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        row("LA", (0, 0)).save(tmp_path / name / "a.png")
    assert ImageFolder(tmp_path, channels=1)[0][0].item() == 1
    assert ImageFolder(tmp_path, channels=1, background="black").batch(np.arange(2))[0].sum() == 0


def test_16_bits_are_kept_and_resized(tmp_path):
    values = np.array([[0, 65535], [1, 257]], np.uint16)
    for name in ("a.png", "a.tif", "a.pgm"):
        Image.fromarray(values).save(tmp_path / name)
        np.testing.assert_allclose(read_image(tmp_path / name, channels=1)[0], values / 65535, rtol=1e-6)
        np.testing.assert_array_equal(read_image(tmp_path / name)[2], read_image(tmp_path / name, channels=1)[0])
    assert np.isclose(read_image(tmp_path / "a.png", 1, channels=1).item(), values.mean() / 65535, rtol=1e-3)


@pytest.mark.parametrize("values", [[[0, 70000]], [[-1, 5]]])
def test_integers_without_a_range_are_refused(values, tmp_path):
    Image.fromarray(np.array(values, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="its pixels are integers of 32 bits, whose range is not known"):
        read_image(tmp_path / "a.tif")


def test_16_bits_of_colour_become_8(tmp_path):
    """As the docs say: Pillow has no such mode, and reads the higher byte."""
    import struct
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    pixel = np.array([65535, 0x33FF, 0], ">u2").tobytes()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" + pixel)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(content)
    np.testing.assert_allclose(read_image(tmp_path / "a.png")[:, 0, 0], [1, 0x33 / 255, 0], atol=1e-6)


# the first row and the last as a viewer shows them, of a photo stored as [[0, 1, 2], [3, 4, 5]]
TURNED = {
    1: [[0, 1, 2], [3, 4, 5]],
    2: [[2, 1, 0], [5, 4, 3]],
    3: [[5, 4, 3], [2, 1, 0]],
    4: [[3, 4, 5], [0, 1, 2]],
    5: [[0, 3], [1, 4], [2, 5]],
    6: [[3, 0], [4, 1], [5, 2]],
    7: [[5, 2], [4, 1], [3, 0]],
    8: [[2, 5], [1, 4], [0, 3]],
}


@pytest.mark.parametrize("orientation", TURNED)
def test_photos_are_turned_as_exif_says(orientation, tmp_path):
    exif = Image.Exif()
    exif[274] = orientation
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3) * 50
    for name, image in (
        ("a.png", Image.fromarray(stored)),
        ("a.tif", Image.fromarray(stored)),
        ("a.webp", Image.fromarray(np.repeat(stored[..., None], 3, axis=2))),
        ("b.png", Image.fromarray(stored.astype(np.uint16) * 257)),
    ):
        image.save(tmp_path / name, exif=exif, **({"lossless": True} if name == "a.webp" else {}))
        pixels = read_image(tmp_path / name, channels=1)[0]
        np.testing.assert_allclose(pixels, np.array(TURNED[orientation]) * 50 / 255, atol=1e-6)
    Image.fromarray(np.kron(stored, np.ones((8, 8), np.uint8))).save(tmp_path / "a.jpg", exif=exif, quality=100)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg", channels=1)[0, ::8, ::8], pixels, atol=0.01)
    key = Image.fromarray(stored)
    key.save(tmp_path / "key.png", exif=exif, transparency=0)
    shown = np.array(TURNED[orientation]) * 50 / 255
    np.testing.assert_allclose(
        read_image(tmp_path / "key.png", channels=1)[0], np.where(shown == 0, 1, shown), atol=1e-6
    )


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tif"])
def test_the_first_image_of_several_is_read(name, tmp_path):
    first, second = Image.new("RGB", (2, 2), (255, 0, 0)), Image.new("RGB", (2, 2), (0, 0, 255))
    first.save(tmp_path / name, save_all=True, append_images=[second], **({"lossless": True} if "webp" in name else {}))
    assert opened(tmp_path / name, "n_frames") == 2
    np.testing.assert_array_equal(read_image(tmp_path / name)[:, 0, 0], RED)


def test_photos_in_cmyk_and_ycbcr(tmp_path):
    colours = [(255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)]
    image = Image.fromarray(np.kron(np.array(colours, np.uint8).reshape(1, 4, 3), np.ones((16, 16, 1), np.uint8)))
    for mode in ("CMYK", "RGB"):  # Adobe stores the former inverted; the latter is stored as YCbCr
        image.convert(mode).save(tmp_path / "a.jpg", quality=100, subsampling=0)
        assert opened(tmp_path / "a.jpg", "mode") == mode
        pixels = read_image(tmp_path / "a.jpg")[:, 8, 8::16].T
        np.testing.assert_allclose(pixels, np.array(colours) / 255, atol=0.02)


def test_prediction_reads_images_as_training_does(tmp_path):
    """The same function: background, mode, bits, orientation and size."""
    exif = Image.Exif()
    exif[274] = 6
    for number, (mode, (image, expected)) in enumerate(MODES.items()):
        if mode not in NO_FILE and not isinstance(expected, str):
            for folder in ("ant", "bee"):
                (tmp_path / folder).mkdir(exist_ok=True)
                path = tmp_path / folder / f"{number:02}.{FILES.get(mode, 'png')}"
                image.resize((5, 3), 0).save(path, exif=exif)
    for channels in (1, 3):
        training = ImageFolder(tmp_path, 4, channels)
        skipped = Counter()
        names, images = zip(*image_batches([tmp_path], (channels, 4, 4), skipped), strict=True)
        assert [name for (name,) in names] == [str(path) for path in training.files]
        np.testing.assert_array_equal(np.concatenate(images), training.batch(np.arange(len(training)))[0])
        assert not skipped


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 moveto\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("suffix", ["png", "eps", "jpg", "tif"])
def test_an_eps_file_whatever_its_name_starts_no_program(tmp_path, monkeypatch, suffix):
    started = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: started.append("gs"))
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(EPS)
    with pytest.raises(ValueError, match=rf"cannot read the image .*x\.{suffix}: it is damaged, or none of BMP, GIF"):
        read_image(path)
    assert not started


@pytest.mark.parametrize("kind", ["DIB", "ICO", "TGA", "PCX", "SGI", "DDS", "EPS", "PDF"])
def test_only_the_documented_formats_are_read(tmp_path, kind):
    Image.init()
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png", kind)
    with pytest.raises(ValueError, match=r"x\.png: it is damaged, or none of BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP"])
def test_every_documented_format_is_read(tmp_path, kind):
    image = Image.new("RGB", (16, 16), (255, 255, 255))
    image.save(tmp_path / "x", kind, **({"save_all": True, "append_images": [image]} if kind == "MPO" else {}))
    np.testing.assert_array_equal(read_image(tmp_path / "x"), np.ones((3, 16, 16), np.float32))


@pytest.mark.parametrize("times", [1.25, 4])  # Pillow itself warns of the one and refuses the other
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, monkeypatch, times):
    Image.new("L", (100, 100)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(10_000 / times))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("it is decoded"))
    with pytest.raises(
        ValueError, match=rf"x\.png: it has more pixels than PIL.Image.MAX_IMAGE_PIXELS, {10_000 // times:.0f}"
    ):
        read_image(tmp_path / "x.png")


def test_the_limit_is_pillows_and_may_be_taken_away(tmp_path, monkeypatch):
    Image.new("L", (10, 10)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read_image(tmp_path / "x.png").shape == (3, 10, 10)


def test_where_memory_ends_the_error_is_a_memory_error_that_names_the_file(tmp_path, monkeypatch):
    def load(self):
        raise MemoryError

    Image.new("L", (10, 10)).save(tmp_path / "x.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(MemoryError, match=r"there is not enough memory for the image .*x\.png"):
        read_image(tmp_path / "x.png")


def test_a_large_transparent_image_is_put_onto_its_background_in_pieces(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (37, 11, 4), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    whole = read_image(tmp_path / "x.png", background="red")
    monkeypatch.setattr("minidl.data.images._STRIP", 55)
    np.testing.assert_array_equal(read_image(tmp_path / "x.png", background="red"), whole)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA"])
def test_no_flipped_bit_of_a_png_changes_the_image(tmp_path, mode):
    """Pillow does not compare the checksums of what it decodes."""
    rng = np.random.default_rng(0)
    path = tmp_path / "x.png"
    Image.fromarray(rng.integers(0, 256, (9, 7, 4), np.uint8)).convert(mode).save(path)
    content, expected, read = path.read_bytes(), read_image(path), 0
    for place in range(len(content)):
        hurt = bytearray(content)
        hurt[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(hurt)
        try:
            image = read_image(path)
        except ValueError:
            continue
        read += 1
        np.testing.assert_array_equal(image, expected, err_msg=f"byte {place}")
    assert read < 10


def test_a_npy_file_whose_header_is_no_python_is_refused(tmp_path):
    head = b"{'descr': ['" + b"(" * 40
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head)
    with pytest.raises(ValueError, match=r"x\.npy is not a \.npy file of numbers, or it is damaged"):
        list(image_batches([tmp_path / "x.npy"], (1, 4, 4)))
