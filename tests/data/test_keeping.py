"""Decoded images are kept: within the limit, once each, from several threads, and not in copies."""

import copy
import pickle
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest

from minidl.data import DataLoader, ImageFolder, load_image_folder
from minidl.data.keeping import KeptImages

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(20):
            pixels = rng.integers(0, 256, (12, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number:02}.png")
    Image.fromarray(rng.integers(0, 65536, (12, 9), dtype=np.uint16)).save(tmp_path / "bee" / "deep.png")
    return tmp_path


def test_a_second_pass_is_the_first_and_reads_no_file(root):
    data = ImageFolder(root, 8)
    first = list(DataLoader(data, 8))
    assert len(data.kept) == 41
    assert data.kept.used == 40 * 3 * 8 * 8 + 4 * 8 * 8  # bytes; an image of 16 bits is float32, and grey
    for path in data.files:
        path.unlink()
    for prefetch in (0, 2):
        for (x, y), (again, labels) in zip(first, DataLoader(data, 8, prefetch=prefetch), strict=True):
            np.testing.assert_array_equal(x, again)
            np.testing.assert_array_equal(y, labels)
            assert again.dtype == np.float32
    images, _ = first[0]
    images[:] = 0  # what a batch holds is the caller's own
    assert data[0][0].max() > 0


def test_the_limit_is_kept_and_the_first_are(root):
    data = ImageFolder(root, 8)
    data.kept = KeptImages(1000)  # five images of 192 bytes
    list(DataLoader(data, 8))
    assert (len(data.kept), data.kept.used) == (5, 960)
    for path in data.files[:5]:
        path.unlink()
    data[4]
    data[5]
    data.files[5].unlink()
    with pytest.raises(ValueError, match=r"05\.png"):
        data[5]
    off = ImageFolder(root, 8, cache=0)
    off[7]
    assert len(off.kept) == 0
    with pytest.raises(ValueError, match="ImageFolder: cache must be"):
        ImageFolder(root, cache=-1)


def test_the_parts_of_a_folder_share_one_limit(root):
    whole, test = load_image_folder(root, 8, cache=3)
    assert whole.dataset is test.dataset
    for part in ("train", "test"):
        (root / "all" / part).mkdir(parents=True)
        for name in ("ant", "bee"):
            (root / "all" / part / name).mkdir()
            Image.new("L", (9, 9)).save(root / "all" / part / name / "0.png")
    train, test = load_image_folder(root / "all", cache=3)
    assert train.kept is test.kept
    assert train.kept.limit == 3 * 2**20


def test_threads_never_exceed_the_limit_and_get_what_they_ask_for():
    kept, wrong = KeptImages(50 * 100), []
    start = Barrier(4)

    def ask(seed):
        start.wait()
        for number in np.random.default_rng(seed).permutation(200):
            got, _ = kept.get(Path(str(number)), lambda n=number: (np.full(100, n, np.uint8), 255))
            if not (got == number).all() or kept.used > kept.limit:
                wrong.append(number)

    threads = [Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert kept.used == 100 * len(kept) <= kept.limit


def test_a_lock_that_nobody_releases_stops_nobody():
    """As in a child that was forked while another thread held it."""

    class Taken:
        def acquire(self, blocking=True):
            assert not blocking
            return False

    kept = KeptImages(1000)
    kept._lock = Taken()
    assert kept.get(Path("a"), lambda: (np.zeros(3, np.uint8), 255))[1] == 255
    assert len(kept) == 0


def test_an_image_that_another_thread_has_decoded_meanwhile_counts_once():
    kept, pixels = KeptImages(1000), (np.zeros(3, np.uint8), 255)

    def decode():
        kept.get(Path("a"), lambda: pixels)
        return pixels

    kept.get(Path("a"), decode)
    assert (len(kept), kept.used) == (1, 3)


def test_copies_begin_empty(root):
    data = ImageFolder(root, 8)
    data[0]
    for other in (copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        assert (len(other.kept), other.kept.limit) == (0, data.kept.limit)
        np.testing.assert_array_equal(other[0][0], data[0][0])
