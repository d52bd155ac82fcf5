"""ImageFolder: classes in order, hidden files, damage; the split; images from files of all kinds."""

import os
from collections import Counter

import numpy as np
import pytest

from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader, ImageFolder, Subset, load_image_folder, read_image
from minidl.data.folder import class_counts, skipped_in
from minidl.data.images import image_batches
from minidl.training import Trainer

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("zebra", "ant", "bee/deep"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for number in range(2):
            Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    (tmp_path / ".git").mkdir()
    (tmp_path / "ant" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "ant" / "._0.png").write_bytes(b"x")
    (tmp_path / "ant" / "notes.txt").write_text("x")
    return tmp_path


def test_classes_are_sorted_and_what_is_hidden_is_skipped(root):
    data = ImageFolder(root)
    assert data.classes == ["ant", "bee", "zebra"]
    np.testing.assert_array_equal(data.labels, [0, 0, 1, 1, 2, 2])
    images, labels = next(iter(DataLoader(data, 6)))
    assert images.shape == (6, 3, 6, 8)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(labels, data.labels)
    pixels = np.asarray(Image.open(root / "ant" / "0.png"))
    np.testing.assert_allclose(images[0], pixels.transpose(2, 0, 1) / 255, rtol=1e-6)
    assert "6 images" in repr(data)


def test_sizes_and_grey(root):
    image, label = ImageFolder(root, size=(4, 5), channels=1)[5]
    assert (image.shape, label) == ((1, 4, 5), 2)
    Image.new("RGBA", (3, 3), (255, 0, 0, 10)).save(root / "ant" / "odd.png")
    data = ImageFolder(root)
    with pytest.raises(ValueError, match=r"odd.png is \(3, 3\), .*0.png \(6, 8\); give a size"):
        data.batch(np.arange(3))
    assert ImageFolder(root, size=7).batch(np.arange(3))[0].shape == (3, 3, 7, 7)
    assert read_image(root / "ant" / "odd.png").shape == (3, 3, 3)


def test_damage_is_named(root):
    (root / "bee" / "bad.jpg").write_bytes(b"no image")
    content = (root / "ant" / "0.png").read_bytes()
    (root / "ant" / "0.png").write_bytes(content[: len(content) // 2])
    data = ImageFolder(root)
    for index, name in ((0, "0.png"), (2, "bad.jpg")):
        with pytest.raises(ValueError, match=f"cannot read the image .*{name}"):
            data[index]


def test_empty_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        ImageFolder(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="holds no folders, one for each class"):
        ImageFolder(tmp_path)
    (tmp_path / "ant").mkdir()
    with pytest.raises(FileNotFoundError, match="there are no images in ant"):
        ImageFolder(tmp_path)
    with pytest.raises(ValueError, match="channels must be 1 or 3, got 4"):
        ImageFolder(tmp_path, channels=4)


def write(folder, names, count):
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (4, 4), number).save(folder / name / f"{number:02}.png")


def test_every_fifth_image_of_a_class_is_for_testing(tmp_path):
    write(tmp_path, ["b", "a"], 11)
    train, test = load_image_folder(str(tmp_path), size=np.int64(2), channels=1)
    assert train.classes == test.classes == ["a", "b"]
    images, labels = test.batch(np.arange(len(test)))
    assert images.shape == (4, 1, 2, 2)
    np.testing.assert_array_equal(images[:, 0, 0, 0] * 255, [4, 9, 4, 9])
    np.testing.assert_array_equal(labels, [0, 0, 1, 1])
    assert len(train) == 18
    write(tmp_path, ["few"], 4)
    with pytest.raises(ValueError, match="load_image_folder: .* every class needs five images or more.* in few"):
        load_image_folder(tmp_path)


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_split_that_is_there_is_used(name, tmp_path):
    write(tmp_path / "train", ["a", "b"], 3)
    write(tmp_path / name, ["a", "b"], 1)
    train, test = load_image_folder(tmp_path)
    assert (len(train), len(test)) == (6, 2)
    write(tmp_path / name, ["c"], 1)
    with pytest.raises(
        ValueError, match=f"load_image_folder: .*: train and {name} have different classes: .* and .*'c'"
    ):
        load_image_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load_image_folder(tmp_path / "nowhere")


def test_images_from_files_of_all_kinds(tmp_path):
    write(tmp_path / "some", ["a"], 2)
    values = np.random.default_rng(0).random((300, 1, 3, 3))
    np.save(tmp_path / "many.npy", values)
    np.save(tmp_path / "one.npy", values[0])
    paths = [tmp_path / name for name in ("some", "many.npy", "one.npy", "some/a/00.png")]
    made = list(image_batches(paths, (1, 3, 3)))
    assert [len(images) for _, images in made] == [1, 1, 256, 44, 1, 1]
    names = [name for names, _ in made for name in names]
    assert names[0] == names[-1] == str(tmp_path / "some" / "a" / "00.png")
    assert names[2:302] == [f"{tmp_path / 'many.npy'}[{number}]" for number in range(300)]
    assert all(images.dtype == np.float32 for _, images in made)
    np.testing.assert_array_equal(np.concatenate([made[2][1], made[3][1]]), values.astype(np.float32))


def make_images(root, *folders, count=5):
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (2, 2), (number, 0, 0)).save(root / folder / f"{number}.png")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        *(("train", "test"), ("train", "validation"), ("Training", "Testing"), ("TRAIN", "val"), ("train", "dev")),
        *(("training_set", "test_set"), ("TrainSet", "evaluation"), ("train images", "test-data")),
    ],
)
def test_all_common_names_of_the_parts_are_understood(tmp_path, train, test):
    make_images(tmp_path, f"{train}/ant", f"{train}/bee", f"{test}/ant", f"{test}/bee", count=2)
    one, other = load_image_folder(tmp_path)
    assert one.classes == other.classes == ["ant", "bee"]
    assert (one.root.name, other.root.name) == (train, test)


def test_the_test_images_come_before_those_for_validation(tmp_path):
    make_images(tmp_path, *(f"{part}/{name}" for part in ("train", "val", "test") for name in ("ant", "bee")))
    assert load_image_folder(tmp_path)[1].root.name == "test"


def test_classes_may_have_such_names_too(tmp_path):
    make_images(tmp_path, "train", "car", "bus")
    train, test = load_image_folder(tmp_path)
    assert train.classes == ["bus", "car", "train"]
    assert (len(train), len(test)) == (12, 3)


def test_layouts_that_are_nearly_right_are_refused(tmp_path):
    make_images(tmp_path / "a", "train/ant", "train/bee")
    with pytest.raises(ValueError, match="holds train; expected a folder train beside test or val"):
        load_image_folder(tmp_path / "a")
    make_images(tmp_path / "b", "train/ant", "val/ant", "validation/ant")
    with pytest.raises(ValueError, match="holds train, val, validation, two of which are for the same part"):
        load_image_folder(tmp_path / "b")
    make_images(tmp_path / "c", "pictures/ant", "pictures/bee")
    with pytest.raises(ValueError, match=r"holds one class, pictures; did you mean .*pictures, which holds ant, bee\?"):
        load_image_folder(tmp_path / "c")
    make_images(tmp_path / "d", "train/ant", "test/ant")
    with pytest.raises(ValueError, match="train holds one class, ant"):
        load_image_folder(tmp_path / "d")


def test_links_are_followed_and_circles_noticed(tmp_path):
    make_images(tmp_path / "store", "more", count=2)
    make_images(tmp_path / "root", "ant", "bee", count=1)
    (tmp_path / "root" / "ant" / "linked").symlink_to(tmp_path / "store" / "more", target_is_directory=True)
    (tmp_path / "root" / "ant" / "file.png").symlink_to(tmp_path / "store" / "more" / "0.png")
    (tmp_path / "root" / "bee" / "circle").symlink_to(tmp_path / "root" / "bee", target_is_directory=True)
    (tmp_path / "root" / "bee" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "root" / "bee" / "broken.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "root" / "self").symlink_to(tmp_path / "root", target_is_directory=True)
    (tmp_path / "root" / "cow").symlink_to(tmp_path / "store", target_is_directory=True)  # a class that is a link
    data = ImageFolder(tmp_path / "root")
    assert data.classes == ["ant", "bee", "cow"]
    assert np.bincount(data.labels).tolist() == [4, 1, 2]
    assert data.skipped == {"circle of links": 3, "broken link": 1}
    (tmp_path / "there").symlink_to(tmp_path / "root", target_is_directory=True)
    assert ImageFolder(tmp_path / "there").skipped == data.skipped


def test_what_is_skipped_is_counted_and_said(root, monkeypatch):
    for name in (
        "notes.txt",
        "ant/photo.HEIC",
        "ant/photo2.heic",
        "bee/README",
        "bee/deep/.hidden.png",
        "zebra/Thumbs.db",
    ):
        (root / name).write_bytes(b"x")
    (root / "gone.png").symlink_to(root / "nothing")
    (root / "zebra" / "empty").mkdir()
    os.mkfifo(root / "zebra" / "pipe.png")  # which would never end
    Image.new("L", (1, 1)).save(root / "beside.png")
    data = ImageFolder(root)
    assert data.skipped == {
        "hidden": 4,
        "beside the classes": 3,
        ".txt": 1,
        ".heic": 2,
        ".db": 1,
        "without a suffix": 1,
        "not a file": 1,
    }
    said = "13 skipped: 1 .db, 2 .heic, 1 .txt, 3 beside the classes, 4 hidden, 1 not a file, 1 without a suffix"
    assert repr(data) == f"ImageFolder({str(root)!r}, 6 images: ant 2, bee 2, zebra 2; {said})"
    listed = type(root).iterdir

    def iterdir(self):
        if self.name == "empty":
            raise PermissionError
        return listed(self)

    monkeypatch.setattr(type(root), "iterdir", iterdir)
    assert ImageFolder(root).skipped == {**data.skipped, "folder that may not be read": 1}
    (root / "new").mkdir()
    (root / "new" / "a.heic").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match="there are no images in new of .*; 15 skipped: 1 .db, 3 .heic"):
        ImageFolder(root)


def test_prediction_says_what_it_skips(root):
    skipped = Counter()
    assert len(list(image_batches([root / "ant", root / "bee"], (3, 6, 8), skipped))) == 4
    assert skipped == {"hidden": 2, ".txt": 1}
    with pytest.raises(FileNotFoundError, match=r"there are no images; 1 skipped: 1 .txt"):
        (root / "odd").mkdir()
        (root / "odd" / "a.txt").write_bytes(b"x")
        list(image_batches([root / "odd"], (3, 6, 8)))


def test_a_folder_of_images_knows_when_it_is_one_level_too_high(tmp_path):
    make_images(tmp_path / "a", *(f"{part}/{name}" for part in ("Train", "validation") for name in ("ant", "bee")))
    with pytest.raises(
        ValueError,
        match=r"ImageFolder: .*a holds the parts of a dataset, Train, validation; load_image_folder reads them, Imag",
    ):
        ImageFolder(tmp_path / "a")
    make_images(tmp_path / "b", "pictures/ant", "pictures/bee")
    with pytest.raises(
        ValueError, match=r"ImageFolder: .* holds one class, pictures; did you mean .*pictures, which ho"
    ):
        ImageFolder(tmp_path / "b")
    make_images(tmp_path / "c", "test", "dev")  # images of two classes that are called so
    assert ImageFolder(tmp_path / "c").classes == ["dev", "test"]
    make_images(tmp_path / "d", "all")  # without classes, for an autoencoder
    assert ImageFolder(tmp_path / "d").classes == ["all"]


def test_a_background_for_parts_and_for_a_whole(tmp_path):
    for number in range(5):
        for folder in (
            "whole/ant",
            "whole/bee",
            "parts/train/ant",
            "parts/train/bee",
            "parts/test/ant",
            "parts/test/bee",
        ):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            Image.new("LA", (1, 1), (0, 0)).save(tmp_path / folder / f"{number}.png")
    for name in ("whole", "parts"):
        for part in load_image_folder(tmp_path / name, channels=1):
            assert part[0][0].item() == 1
        for part in load_image_folder(tmp_path / name, channels=1, background="black"):
            assert part[0][0].item() == 0


def test_what_was_skipped_in_parts_is_counted_once(tmp_path):
    make_images(tmp_path / "parts", *(f"{part}/{name}" for part in ("train", "test") for name in ("ant", "bee")))
    make_images(tmp_path / "whole", "ant", "bee")
    for folder in ("whole/ant", "parts/train/ant", "parts/test/bee"):
        (tmp_path / folder / "x.txt").write_bytes(b"")
    assert skipped_in(load_image_folder(tmp_path / "whole")) == "1 skipped: 1 .txt"
    assert skipped_in(load_image_folder(tmp_path / "parts")) == "2 skipped: 2 .txt"
    assert skipped_in([ArrayDataset(np.zeros(3))]) == ""


def test_training_on_one_class_is_refused(tmp_path):
    make_images(tmp_path, "all")
    for data in (
        ImageFolder(tmp_path),
        Subset(ImageFolder(tmp_path), [0, 1]),
        ArrayDataset(np.zeros((2, 12)), [0, 0], classes=["all"]),
    ):
        model = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
        optimizer = optim.SGD(model.params(), 0.1)
        trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, progress="none")
        with pytest.raises(
            ValueError, match="Trainer.fit: the dataset has one class, all: there is nothing to tell apart"
        ):
            trainer.fit(DataLoader(data, 2))


def test_images_are_counted_by_class(tmp_path):
    make_images(tmp_path, "ant", count=5)
    make_images(tmp_path, "bee", count=10)
    train, test = load_image_folder(tmp_path)
    assert class_counts(train) == {"ant": 4, "bee": 8}
    assert class_counts(test) == {"ant": 1, "bee": 2}
    assert class_counts(ImageFolder(tmp_path)) == {"ant": 5, "bee": 10}
    assert class_counts(ArrayDataset(np.zeros(3))) == {}


@pytest.mark.parametrize(
    "parts",
    [("seg_train", "seg_test"), ("train1", "test1"), ("X_train", "X_test"), ("train_256", "val_256"),
     ("train-aug", "train-raw", "holdout"), ("ant", "bee", "my train", "my.test")],
)  # fmt: skip
def test_folders_named_nearly_like_parts_are_no_classes(tmp_path, parts):
    image = pytest.importorskip("PIL.Image")
    for part in parts:
        for name in ("ant", "bee"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(5):
                image.new("L", (4, 4)).save(tmp_path / part / name / f"{number}.png")
    with pytest.raises(ValueError, match="parts of a dataset. Rename the parts to train, val and test"):
        load_image_folder(tmp_path)


def test_classes_with_such_names_and_things_left_by_systems_are_fine(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for name in ("train_station", "test_tube", "__MACOSX", "@eaDir"):
        (tmp_path / name).mkdir()
        for number in range(5):
            image.new("L", (4, 4)).save(tmp_path / name / f"{number}.png")
    assert load_image_folder(tmp_path)[0].classes == ["test_tube", "train_station"]


def test_parts_inside_classes_and_parts_that_are_one_are_refused(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for name in ("ant", "bee"):
        for part in ("train", "test"):
            (tmp_path / "a" / name / part).mkdir(parents=True)
            (tmp_path / "b" / "train" / name).mkdir(parents=True, exist_ok=True)
            for number in range(5):
                image.new("L", (4, 4)).save(tmp_path / "a" / name / part / f"{number}.png")
                image.new("L", (4, 4)).save(tmp_path / "b" / "train" / name / f"{number}.png")
    with pytest.raises(ValueError, match="put the classes into the parts: train/CLASS, test/CLASS"):
        load_image_folder(tmp_path / "a")
    (tmp_path / "b" / "val").symlink_to(tmp_path / "b" / "train")
    with pytest.raises(ValueError, match="two of which are links to the same images"):
        load_image_folder(tmp_path / "b")


@pytest.fixture
def broken(tmp_path):
    """A folder of two classes of ten images that differ, of which ant/0, ant/4 and bee/5 are broken."""
    for label, name in enumerate(("ant", "bee")):
        (tmp_path / name).mkdir()
        for number in range(10):
            Image.new("L", (4, 4), 100 * label + number).save(tmp_path / name / f"{number}.png")
    for path in ("ant/0.png", "ant/4.png", "bee/5.png"):
        (tmp_path / path).write_bytes(b"")
    return tmp_path


def told(caught, root, paths):
    """Check that there was one warning, on this file's behalf, that names the files."""
    (warning,) = caught
    assert warning.filename == __file__
    head, *files = str(warning.message).splitlines()
    assert files == [f"  {root / path}: it is empty" for path in paths]
    return head


def test_a_folder_leaves_broken_images_out_if_asked(broken):
    with pytest.warns(UserWarning) as caught:
        data = ImageFolder(broken, channels=1, skip_broken=True)
    head = told(caught, broken, ["ant/0.png", "ant/4.png", "bee/5.png"])
    assert head == "ImageFolder: 3 images left out, which cannot be read:"
    images, labels = data.batch(np.arange(len(data)))
    grey = [number for number in range(10) if number not in (0, 4)] + [100 + n for n in range(10) if n != 5]
    np.testing.assert_array_equal(np.rint(images[:, 0, 0, 0] * 255), grey)
    np.testing.assert_array_equal(labels, np.array(grey) // 100)
    assert data.skipped == {"cannot be read": 3}
    assert len(ImageFolder(broken)) == 20


def test_parts_leave_broken_images_out_and_the_others_stay_where_they_are(broken):
    """The commands split before they leave out: an image is in the same part in both."""
    with pytest.warns(UserWarning) as caught:
        parts = load_image_folder(broken, channels=1, skip_broken=True)
    head = told(caught, broken, ["ant/0.png", "bee/5.png", "ant/4.png"])
    assert head == "load_image_folder: 3 images left out, which cannot be read:"
    found = [np.rint([image[0, 0, 0] * 255 for image, _ in part]).astype(int).tolist() for part in parts]
    in_test = {4, 9, 104, 109}
    good = [n for n in (*range(10), *range(100, 110)) if n not in (0, 4, 105)]
    assert found == [[n for n in good if n not in in_test], [n for n in good if n in in_test]]


def test_a_class_without_a_readable_image_is_refused(broken):
    for number in range(10):
        (broken / "bee" / f"{number}.png").write_bytes(b"")
    with pytest.raises(ValueError, match="^ImageFolder: no image of bee can be read$"):
        ImageFolder(broken, skip_broken=True)
    with pytest.raises(ValueError, match="^load_image_folder: no image of bee in the images for train can be read$"):
        load_image_folder(broken, skip_broken=True)


def test_nothing_is_said_of_a_folder_without_broken_images(root, recwarn):
    data = ImageFolder(root, skip_broken=True)
    assert (len(data), "cannot be read" in data.skipped, len(recwarn)) == (6, False, 0)
