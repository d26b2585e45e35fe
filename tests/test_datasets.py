"""Data sets by name: where they are found, what is refused, and that one copy serves all."""

import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from files import everything, write_idx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from plastic_env.errors import InvalidData, UnknownName
from plastic_env.files import UNFINISHED
from plastic_env.scenarios import find
from plastic_env.scenarios.data import DATASETS, _load, arrays, files, libraries, load, named, places
from plastic_env.streams.samples import Dataset, Samples

REAL = Path(__file__).parents[2] / "shared" / "data" / "mnist.npz"


forget = _load.cache_clear  # what was loaded, as a new process would have it


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """An empty data folder, a home and a working folder of the test's own, and no network."""

    def unreachable(*_args, **_kwargs):
        raise URLError("no network here")

    for folder in ("data", "home", "work"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("PLASTIC_ENV_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    forget()
    yield tmp_path / "data"
    forget()


def bytes_of(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(path, **changes):
    whole = {
        "x_train": bytes_of(20, 5, 4, 3),
        "y_train": np.arange(20)[:, None] % 3,
        "x_test": bytes_of(6, 5, 4, 3, seed=1),
        "y_test": np.arange(6) % 3,
    }
    whole = {key: value for key, value in {**whole, **changes}.items() if value is not None}
    np.savez(path, **whole)
    return whole


def write_large(path, seed=0):
    """Large enough for a shared copy."""
    return write(path, x_train=bytes_of(500, 48, 48, seed=seed), y_train=np.arange(500) % 5, x_test=bytes_of(6, 48, 48))


def write_mnist(root, folder="MNIST", prefixes=("train", "t10k"), classes=10):
    """As torchvision lays it out: idx files; returns the images and labels to train on and to test."""
    parts = []
    for seed, (prefix, count) in enumerate(zip(prefixes, (50, 20), strict=True)):
        parts.append((bytes_of(count, 28, 28, seed=seed), np.arange(count) % classes))
        for kind, array in zip(("images-idx3", "labels-idx1"), parts[-1], strict=True):
            write_idx(Path(root) / folder / "raw" / f"{prefix}-{kind}-ubyte", array)
    return parts


def assert_holds(found, parts):
    for part, (images, labels) in zip((found.train, found.test), parts, strict=True):
        np.testing.assert_array_equal(part.inputs, images.reshape(len(images), -1))
        assert part.targets.tolist() == labels.tolist()


def leave_unfinished(folder, name, hours=25):
    """As a process that was killed does, some time ago."""
    path = folder / f".{name}{UNFINISHED}"
    (path / "below").mkdir(parents=True)
    (path / "below" / "some.bin").write_bytes(b"half")
    then = time.time() - hours * 3600
    for changed in (path / "below" / "some.bin", path / "below", path):
        os.utime(changed, (then, then))
    return path


def entries(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


# what is checked, whatever it is made of


def made(train, test=None, offset=0.0, scale=1.0, classes=3, shape=None, name="mine"):
    labels = torch.arange(6) % 3
    train, test = (x if isinstance(x, tuple) else (x, labels) for x in (train, train if test is None else test))
    return Dataset(name, *(Samples(*part, offset, scale) for part in (train, test)), classes, shape)


def test_a_digest_belongs_to_all_of_the_content_and_to_nothing_else(tmp_path):
    x, y = torch.from_numpy(bytes_of(6, 8)), torch.arange(6) % 3
    changed, relabelled = x.clone(), y.clone()
    changed[5, 7] += 1
    relabelled[5] = 0
    first = made(x)
    assert (len(first.digest), int(first.digest, 16) > 0) == (16, True)
    assert made(x.clone(), name="other").digest == first.digest
    assert made(x.T.contiguous().T).digest == first.digest
    others = [
        made(changed, x),
        made(x, changed),
        made((x, relabelled), (x, y)),
        made((x, y), (x, relabelled)),
        made(x.float()),
        made(x, shape=(2, 2, 2)),
        made(x, shape=(1, 2, 4)),
        made(x, offset=1.0),
        made(x, scale=2.0),
        made(x, scale=torch.ones(8)),
        made(x, scale=torch.arange(8.0)),
        made((torch.cat([x, x]), torch.cat([y, y])), (x, y)),
    ]
    assert len({first.digest, *(other.digest for other in others)}) == 1 + len(others)
    write_large(tmp_path / "a.npz")
    decoded = load(f"npz:{tmp_path / 'a.npz'}").digest
    forget()
    assert load(f"npz:{tmp_path / 'a.npz'}").digest == decoded  # of the mapped copy


@pytest.mark.parametrize(
    ("x", "y", "what"),
    [
        (torch.zeros(48), torch.arange(6) % 3, r"inputs \(48,\) and targets \(6,\); give inputs \[samples, features\]"),
        (torch.zeros(6, 8), torch.arange(6.0) % 3, "labels of type torch.float32; give whole numbers"),
        (torch.zeros(6, 8), torch.arange(6) > 2, "labels of type torch.bool; give whole numbers"),
    ],
)
def test_inputs_and_labels_of_another_kind_are_refused(x, y, what):
    with pytest.raises(InvalidData, match=f"The training part of data set 'mine' has {what}"):
        made((x, y), shape=(2, 2, 2))


def test_classes_that_nothing_can_be_learnt_about_are_refused(tmp_path):
    write(tmp_path / "a.npz", y_train=np.arange(20) % 10 + 1)
    with pytest.raises(InvalidData, match=r"a\.npz: .*no samples of 1 of its 11 classes: 0; number the classes from 0"):
        load(f"npz:{tmp_path / 'a.npz'}")
    x = torch.zeros(6, 8)
    with pytest.raises(InvalidData, match=r"of 2 of its 5 classes: 3, 4; number"):
        made(x, classes=5)
    with pytest.raises(InvalidData, match=r"classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, \.\.\.; number"):
        made((x, torch.full((6,), 10**15)), (x, torch.full((6,), 10**15)), classes=10**15 + 1)
    made((x, torch.arange(6)), (x, torch.zeros(6, dtype=torch.int64)), classes=6)  # not all need be tested


# what comes along


def test_digits_are_split_and_standardised():
    found = load("digits")
    seen = everything(found.train)
    assert seen.shape == (1437, 64)
    assert everything(found.test).shape == (360, 64)
    assert seen.mean().item() == pytest.approx(0, abs=1e-5)
    assert seen.std().item() == pytest.approx(1, abs=1e-3)
    assert torch.bincount(found.test.targets).min() > 25


def test_mnist1d_is_computed_and_leaves_the_global_generators_alone(tmp_path):
    pytest.importorskip("mnist1d")
    random.seed(3)
    np.random.seed(3)
    before = random.random(), np.random.rand()
    random.seed(3)
    np.random.seed(3)
    found = load("mnist1d")
    assert (random.random(), np.random.rand()) == before
    assert (len(found.train), len(found.test), found.features, found.classes) == (4000, 1000, 40, 10)
    assert everything(found.train).std(unbiased=False).item() == pytest.approx(1, abs=1e-5)
    forget()
    assert torch.equal(load("mnist1d").train.inputs, found.train.inputs)
    assert entries(tmp_path / "work") == []  # its authors' own loader would leave a pickle here


def test_without_its_package_mnist1d_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mnist1d", None)
    monkeypatch.setitem(sys.modules, "mnist1d.data", None)
    with pytest.raises(InvalidData, match=r"pip install 'plastic_env\[mnist1d\]'"):
        load("mnist1d")


def test_unknown_names_list_the_known_ones():
    for name in (3, None, [1], {"a": []}, "mnits", "zip:a"):
        with pytest.raises(UnknownName, match="Unknown data set") as caught:
            load(name)
        assert all(known in str(caught.value) for known in (*DATASETS, "npz:PATH", "folder:PATH", "torchvision:NAME"))
    with pytest.raises(UnknownName, match="Did you mean 'mnist'"):
        load("mnits")
    with pytest.raises(UnknownName, match="Unknown data set of torchvision 'ImageFolder'"):
        load("torchvision:ImageFolder")
    with pytest.raises(UnknownName, match="data set of torchvision"):
        load("torchvision:../MNIST")


# NumPy files


def test_a_file_of_images_is_a_data_set(tmp_path):
    raw = write(tmp_path / "mine.npz")
    found = load(f"npz:{tmp_path / 'mine.npz'}")
    assert (found.name, found.shape, found.features, found.classes) == ("mine", (3, 5, 4), 60, 3)
    images = raw["x_train"].astype(float)
    expected = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
    seen = everything(found.train).reshape(20, 3, 5, 4).permute(0, 2, 3, 1)
    np.testing.assert_allclose(seen, expected, atol=1e-5)
    test = (raw["x_test"].astype(float) - images.mean((0, 1, 2))) / images.std((0, 1, 2))
    np.testing.assert_allclose(everything(found.test).reshape(6, 3, 5, 4).permute(0, 2, 3, 1), test, atol=1e-5)
    assert found.train.targets.tolist() == raw["y_train"][:, 0].tolist()
    stream = find("PermutedDigits-small-v0", data=f"npz:{tmp_path / 'mine.npz'}", tasks=2).stream(0)
    assert stream.task(1).train is found.train
    assert entries(tmp_path / "data") == [".cache"]
    assert entries(tmp_path / "data" / ".cache") == []  # too small to be worth a copy


@pytest.mark.parametrize(("shape", "expected"), [((9,), None), ((4, 5), (1, 4, 5))])
def test_grey_images_and_plain_features(tmp_path, shape, expected):
    rng = np.random.default_rng(0)
    write(tmp_path / "a.npz", x_train=rng.normal(5, 2, (20, *shape)), x_test=rng.normal(5, 2, (6, *shape)))
    found = load(f"npz:{tmp_path / 'a.npz'}")
    assert found.shape == expected
    assert found.train.inputs.dtype == torch.float32
    assert everything(found.train).mean().item() == pytest.approx(0, abs=1e-6)
    assert everything(found.train).std(unbiased=False).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("shape", [(3, 5, 3), (1, 5, 1), (5, 4, 2)])
def test_channels_that_may_be_last_are(tmp_path, shape):
    write(tmp_path / "a.npz", x_train=bytes_of(20, *shape), x_test=bytes_of(6, *shape))
    assert load(f"npz:{tmp_path / 'a.npz'}").shape == (shape[2], *shape[:2])


def test_whole_numbers_that_fit_are_kept_as_bytes(tmp_path):
    images = bytes_of(20, 9).astype(np.int64)
    write(tmp_path / "a.npz", x_train=images, x_test=images[:6])
    write(tmp_path / "b.npz", x_train=images, x_test=images[:6] + 1000)
    assert load(f"npz:{tmp_path / 'a.npz'}").train.inputs.dtype == torch.uint8
    both = load(f"npz:{tmp_path / 'b.npz'}")
    assert both.train.inputs.dtype == both.test.inputs.dtype == torch.float32
    np.testing.assert_array_equal(both.test.inputs, images[:6] + 1000)


def test_inputs_that_never_change_are_left_in_scale(tmp_path):
    write(tmp_path / "a.npz", x_train=np.full((20, 4), 7, np.uint8), x_test=np.full((6, 4), 9, np.uint8))
    assert everything(load(f"npz:{tmp_path / 'a.npz'}").test).unique().tolist() == [2]


@given(
    samples=st.integers(1, 9),
    pixels=st.integers(1, 5),
    channels=st.integers(1, 3),
    floating=st.booleans(),
    chunk=st.integers(1, 40),
    seed=st.integers(0, 9),
)
def test_mean_and_deviation_are_those_of_each_channel_however_they_are_cut(
    samples, pixels, channels, floating, chunk, seed
):
    x = bytes_of(samples, channels * pixels, seed=seed)
    x = x.astype(np.float32) * 3 if floating else x
    before, arrays._CHUNK = arrays._CHUNK, chunk
    try:
        labels = np.zeros(samples, np.int64)
        found = arrays.measured((x, labels), (x, labels), 1, (channels, 1, pixels))
    finally:
        arrays._CHUNK = before
    by_channel = x.reshape(samples, channels, pixels).astype(float)
    np.testing.assert_allclose(found.mean, by_channel.mean((0, 2)))
    np.testing.assert_allclose(found.deviation, by_channel.std((0, 2)), atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "lacks y_test; it has x_train"),
        ({"x_test": np.zeros((6, 5, 5, 3))}, "alike in both"),
        ({"x_train": np.zeros(20)}, "alike in both"),
        ({"x_train": np.full((20, 5, 4, 3), "a")}, "give numbers"),
        ({"x_train": np.full((20, 5, 4, 3), None)}, "never unpickled"),
        ({"y_train": np.array([{"a": 1}] * 20)}, "never unpickled"),
        ({"y_train": np.linspace(0, 1, 20)}, "one whole number per sample"),
        ({"y_train": np.eye(20, dtype=int)}, "one whole number per sample"),
        ({"y_train": np.array(3)}, r"labels y_train int64 \(\); give one whole number per sample"),
        ({"y_test": np.zeros(0, int)}, "one whole number per sample"),
        ({"y_train": np.arange(19) % 3}, "training part"),
        ({"y_train": np.arange(20) - 1}, r"labels -1\.\.18"),
        ({"y_test": np.arange(6)}, r"labels 0\.\.5; 3 classes"),
        ({"x_train": np.full((20, 5, 4, 3), np.nan), "x_test": np.zeros((6, 5, 4, 3))}, "NaN or infinite"),
        ({"x_train": np.zeros((20, 5, 4, 3)), "x_test": np.full((6, 5, 4, 3), 1e300)}, "NaN or infinite"),
        ({"x_test": bytes_of(6, 5, 4, 3) / 255}, r"uint8 from 0 to 255 and x_test float64 from 0\.0 to .*both alike"),
        ({"x_train": np.zeros((20, 5, 4, 3), np.float32)}, r"float32 from 0\.0 to 0\.0 and x_test uint8 .*both alike"),
        ({"x_train": bytes_of(20, 3, 5, 5), "x_test": bytes_of(6, 3, 5, 5)}, r"\(20, 3, 5, 5\).*moveaxis\(x, 1, -1\)"),
        ({"x_train": bytes_of(20, 1, 5, 9), "x_test": bytes_of(6, 1, 5, 9)}, r"\(20, 1, 5, 9\).*moveaxis\(x, 1, -1\)"),
    ],
)
def test_files_that_hold_something_else_are_refused_by_their_name(tmp_path, changes, message):
    write(tmp_path / "bad.npz", **changes)
    with pytest.raises(InvalidData, match=message) as caught:
        load(f"npz:{tmp_path / 'bad.npz'}")
    assert str(tmp_path / "bad.npz") in str(caught.value)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    write(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_text("")
    (tmp_path / "folder.npz").mkdir()
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("cut.npz", "text.npz", "empty.npz", "folder.npz", "array.npy", "absent.npz"):
        with pytest.raises(InvalidData, match=name):
            load(f"npz:{tmp_path / name}")


@given(at=st.floats(0, 1, exclude_max=True), value=st.one_of(st.none(), st.integers(1, 255)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_anywhere_is_refused_or_harmless(tmp_path, at, value):
    write(tmp_path / "whole.npz")
    content = bytearray((tmp_path / "whole.npz").read_bytes())
    place = int(at * len(content))
    if value is None:
        del content[place:]
    else:
        content[place] ^= value
    (tmp_path / "damaged.npz").write_bytes(content)
    try:
        assert isinstance(files.from_npz(tmp_path / "damaged.npz"), Dataset)
    except InvalidData as error:
        assert "damaged.npz" in str(error)  # noqa: PT017


# folders of images


def write_images(folder, count, size=(5, 4), mode="RGB", start=0):
    folder.mkdir(parents=True, exist_ok=True)
    for at in range(count):
        channels = (3,) if mode == "RGB" else ()
        Image.fromarray(bytes_of(*size, *channels, seed=start + at)).save(folder / f"{at:03}.png")


def test_a_folder_of_classes_is_a_data_set(tmp_path):
    for at, label in enumerate(("cat", "ant", "bee")):
        write_images(tmp_path / "pets" / label, 10, start=10 * at)
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("not an image")
    found = load(f"folder:{tmp_path / 'pets'}")
    assert (found.name, found.shape, found.classes) == ("pets", (3, 5, 4), 3)
    assert found.train.targets.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert found.test.targets.tolist() == [0, 0, 1, 1, 2, 2]
    fifth_of_ants = bytes_of(5, 4, 3, seed=14).transpose(2, 0, 1).ravel()
    assert found.test.inputs[0].tolist() == fifth_of_ants.tolist()
    assert everything(found.train).view(-1, 3, 20).mean((0, 2)).abs().max() < 1e-5


def test_a_folder_with_test_images_set_apart(tmp_path):
    for part, count in (("train", 4), ("test", 2)):
        for label in ("a", "b"):
            write_images(tmp_path / "x" / part / label / "deeper", count, mode="L")
    found = load(f"folder:{tmp_path / 'x'}")
    assert (len(found.train), len(found.test), found.shape) == (8, 4, (1, 5, 4))
    write_images(tmp_path / "x" / "test" / "c", 1, mode="L")
    forget()
    with pytest.raises(InvalidData, match=r"c is a class that .*train lacks"):
        load(f"folder:{tmp_path / 'x'}")


@pytest.mark.parametrize(("train", "test"), [("train", "val"), ("Train", "VALID"), ("train", "Validation")])
def test_a_folder_whose_test_images_are_called_otherwise(tmp_path, train, test):
    for part, count in ((train, 4), (test, 2)):
        for label in ("a", "b"):
            write_images(tmp_path / "x" / part / label, count)
    found = load(f"folder:{tmp_path / 'x'}")
    assert (len(found.train), len(found.test), found.classes) == (8, 4, 2)
    for label in ("a", "b"):
        write_images(tmp_path / "x" / "test" / label, 3)
    forget()
    assert len(load(f"folder:{tmp_path / 'x'}").test) == 6  # test/ comes before


@pytest.mark.parametrize("parts", [("train",), ("Test",), ("test", "val"), ("validation",)])
def test_a_folder_with_one_part_alone_is_refused(tmp_path, parts):
    for part in parts:
        for label in ("a", "b"):
            write_images(tmp_path / "x" / part / label, 5)
    with pytest.raises(InvalidData, match=rf"x holds {'/ and '.join(parts)}/ alone; give train/ and test/"):
        load(f"folder:{tmp_path / 'x'}")
    write_images(tmp_path / "x" / "bus", 5)  # then they are vehicles and the like
    assert load(f"folder:{tmp_path / 'x'}").classes == len(parts) + 1


def test_a_folder_with_two_folders_for_one_part_is_refused(tmp_path):
    for part in ("train", "val", "valid"):
        write_images(tmp_path / "x" / part / "a", 5)
    with pytest.raises(InvalidData, match="x holds both val/ and valid/; keep one"):
        load(f"folder:{tmp_path / 'x'}")


@pytest.mark.parametrize("name", ["folder:", "npz:"])
def test_no_path_at_all_is_refused(tmp_path, name):
    for label in ("a", "b"):
        write_images(tmp_path / "work" / label, 5)
    with pytest.raises(InvalidData, match=f"'{name}' names no .*; give {name}PATH"):
        load(name)


def test_grey_images_among_coloured_ones_are_shown_in_colour(tmp_path):
    write_images(tmp_path / "x" / "a", 5)
    write_images(tmp_path / "x" / "b", 5, mode="L")
    found = load(f"folder:{tmp_path / 'x'}")
    assert found.shape == (3, 5, 4)
    grey = found.train.inputs[4].view(3, 20)
    assert (grey == grey[0]).all()


def test_folders_that_are_no_data_sets_are_refused_by_the_file(tmp_path):
    root = tmp_path / "x"

    def refused(message):
        forget()
        with pytest.raises(InvalidData, match=message):
            load(f"folder:{root}")

    refused("x is no folder")
    root.mkdir()
    refused("x holds no folders")
    (root / "a").mkdir()
    refused("a holds no images; give some")
    write_images(root / "a", 4)
    refused("at least 5 images per class")
    write_images(root / "a", 6)
    Image.fromarray(bytes_of(5, 5, 3)).save(root / "a" / "003.png")
    refused(r"003.png has channels, height and width \(3, 5, 5\), but .*000.png has \(3, 5, 4\).*resize")
    Image.fromarray(np.zeros((5, 4), np.uint16)).save(root / "a" / "003.png")
    refused("003.png can't be read as an image: .*give 8-bit")
    (root / "a" / "003.png").write_bytes((root / "a" / "002.png").read_bytes()[:60])
    refused("003.png can't be read as an image")


# one copy for all


def copies(folder):
    return [path for path in (folder / ".cache").iterdir() if not path.name.startswith(".")]


def mapped(found):
    """The file that the training inputs are mapped from, by this process's own account."""
    address = found.train.inputs.data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(number, 16) for number in line.split()[0].split("-"))
        if start <= address < end:
            return line.split(maxsplit=5)[3:]
    return None


def test_large_files_are_decoded_once_and_mapped(tmp_path, data, monkeypatch):
    raw = write_large(tmp_path / "a.npz")
    name = f"npz:{tmp_path / 'a.npz'}"
    first = load(name)
    (copy,) = copies(data)
    if sys.platform == "linux":
        assert mapped(first)[-1] == str(copy / "x_train.npy")
    forget()
    monkeypatch.setattr(files, "_of_npz", None)  # which would be called to decode it
    again = load(name)
    assert again is not first
    assert (again.classes, again.shape, again.train.offset) == (first.classes, first.shape, first.train.offset)
    np.testing.assert_array_equal(again.train.inputs, raw["x_train"].reshape(500, -1))
    again.train.inputs[0] = 0  # a private change
    assert np.load(copy / "x_train.npy")[0].any()
    assert first.train.inputs[0].any()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_processes_that_start_together_share_one_copy(tmp_path, data):
    write_large(tmp_path / "a.npz")
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]; import test_datasets as t; found = t.load('npz:' + sys.argv[1]);"
        "print(*t.mapped(found))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.npz"), str(Path(__file__).parent), *sys.path]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    seen = {worker.communicate()[0].strip() for worker in workers}
    (copy,) = copies(data)
    written = (copy / "x_train.npy").stat()
    found = load(f"npz:{tmp_path / 'a.npz'}")
    assert seen == {" ".join(mapped(found))}
    assert mapped(found)[1:] == [str(written.st_ino), str(copy / "x_train.npy")]
    assert (copy / "x_train.npy").stat().st_mtime_ns == written.st_mtime_ns


def test_changed_files_are_read_again_and_old_copies_removed(tmp_path, data):
    write_large(tmp_path / "a.npz")
    first = load(f"npz:{tmp_path / 'a.npz'}")
    forget()
    raw = write_large(tmp_path / "a.npz", seed=7)
    second = load(f"npz:{tmp_path / 'a.npz'}")
    np.testing.assert_array_equal(second.train.inputs, raw["x_train"].reshape(500, -1))
    assert not torch.equal(first.train.inputs, second.train.inputs)  # the first one is still whole
    assert len(copies(data)) == 1


@pytest.mark.parametrize("file", ["x_train.npy", "y_test.npy", "about.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "else"])
def test_damaged_copies_are_made_anew(tmp_path, data, file, damage):
    raw = write_large(tmp_path / "a.npz")
    load(f"npz:{tmp_path / 'a.npz'}")
    (copy,) = copies(data)
    whole = (copy / file).read_bytes()
    (copy / file).unlink()
    if damage != "gone":
        (copy / file).write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "else": b"[1, 2]"}[damage])
    leave_unfinished(data / ".cache", "killed")
    forget()
    np.testing.assert_array_equal(load(f"npz:{tmp_path / 'a.npz'}").train.inputs, raw["x_train"].reshape(500, -1))
    assert (copy / file).read_bytes() == whole
    assert entries(data / ".cache") == [copy.name]


def test_labels_of_a_copy_that_are_out_of_range_are_not_believed(tmp_path, data):
    write_large(tmp_path / "a.npz")
    load(f"npz:{tmp_path / 'a.npz'}")
    (copy,) = copies(data)
    np.save(copy / "y_train.npy", np.full(500, 99))
    forget()
    assert load(f"npz:{tmp_path / 'a.npz'}").train.targets.max() == 4


def test_without_a_place_for_copies_data_stay_in_memory(tmp_path, monkeypatch):
    raw = write_large(tmp_path / "a.npz")
    monkeypatch.delenv("PLASTIC_ENV_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a.npz"))  # no folder
    found = load(f"npz:{tmp_path / 'a.npz'}")
    np.testing.assert_array_equal(found.train.inputs, raw["x_train"].reshape(500, -1))


def test_a_full_disk_leaves_nothing_behind(tmp_path, data, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    write_large(tmp_path / "a.npz")
    monkeypatch.setattr(np, "save", full)
    assert len(load(f"npz:{tmp_path / 'a.npz'}").train) == 500
    assert entries(data / ".cache") == []


def test_copies_go_to_the_users_own_folder_where_no_other_is_named(tmp_path, monkeypatch):
    write_large(tmp_path / "a.npz")
    monkeypatch.delenv("PLASTIC_ENV_DATA")
    load(f"npz:{tmp_path / 'a.npz'}")
    assert len(entries(tmp_path / "home" / ".cache" / "plastic_env")) == 1
    forget()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    load(f"npz:{tmp_path / 'a.npz'}")
    assert len(entries(tmp_path / "xdg" / "plastic_env")) == 1


# published data sets


def test_a_numpy_file_in_the_data_folder_comes_first(data):
    write_mnist(data)
    raw = write(data / "mnist.npz", x_train=bytes_of(20, 28, 28), x_test=bytes_of(6, 784))
    with pytest.raises(InvalidData, match=r"mnist\.npz has .*alike in both"):
        load("mnist")
    ten = {"x_train": bytes_of(20, 784), "y_train": np.arange(20) % 10, "x_test": bytes_of(6, 784)}
    raw = write(data / "mnist.npz", **ten)
    found = load("mnist")
    assert (found.name, found.shape, found.classes) == ("mnist", (1, 28, 28), 10)
    np.testing.assert_array_equal(found.train.inputs, raw["x_train"])
    write(data / "cifar10.npz", x_train=bytes_of(20, 28, 28), x_test=bytes_of(6, 28, 28))
    with pytest.raises(InvalidData, match=r"cifar10\.npz has x_train .*\(3, 32, 32\)"):
        load("cifar10")
    write(data / "fashion_mnist.npz", **ten, y_test=np.arange(6) + 5)
    with pytest.raises(InvalidData, match=r"fashion_mnist\.npz: .*labels 5\.\.10; 10 classes"):
        load("fashion_mnist")


@pytest.mark.parametrize(
    "place",
    [
        "data",
        "data/mnist",
        "home/.avalanche/data/mnist",
        "elsewhere/mnist",
        "work/data",
        "home/.cache/plastic_env/mnist",
    ],
)
def test_torchvisions_files_are_found_in_all_the_usual_places(tmp_path, place):
    if place.startswith("elsewhere"):
        (tmp_path / "home" / ".avalanche").mkdir()
        config = {"dataset_location": str(tmp_path / "elsewhere")}
        (tmp_path / "home" / ".avalanche" / "config.json").write_text(json.dumps(config))
    parts = write_mnist(tmp_path / place)
    found = load("mnist")
    assert (found.shape, found.classes, found.train.inputs.dtype) == ((1, 28, 28), 10, torch.uint8)
    assert_holds(found, parts)


def test_other_layouts_of_torchvision(data):
    parts = write_mnist(data, "FashionMNIST")
    assert_holds(load("fashion_mnist"), parts)
    parts = write_mnist(data, "EMNIST", ("emnist-balanced-train", "emnist-balanced-test"), classes=47)
    found = load("emnist")
    assert found.classes == 47
    assert_holds(found, parts)
    parts = write_mnist(data, "KMNIST")
    assert_holds(load("torchvision:KMNIST"), parts)
    assert load("torchvision:FashionMNIST").name == "fashion_mnist"


def test_svhn_whose_parts_are_called_splits(data, monkeypatch):
    torchvision, scipy_io = pytest.importorskip("torchvision"), pytest.importorskip("scipy.io")
    for split, count in (("train", 20), ("test", 10)):
        images = bytes_of(32, 32, 3, count)
        (data / "svhn").mkdir(exist_ok=True)
        scipy_io.savemat(data / "svhn" / f"{split}_32x32.mat", {"X": images, "y": np.arange(count)[:, None] % 10 + 1})
    monkeypatch.setattr(torchvision.datasets.svhn, "check_integrity", lambda *_: True)
    found = load("torchvision:SVHN")
    assert (len(found.train), len(found.test), found.shape, found.classes) == (20, 10, (3, 32, 32), 10)
    np.testing.assert_array_equal(found.test.inputs[3], bytes_of(32, 32, 3, 10)[..., 3].transpose(2, 0, 1).ravel())


def test_semeion_that_is_not_split_and_needs_a_folder_of_its_own(tmp_path, data, monkeypatch):
    torchvision = pytest.importorskip("torchvision")
    rows = np.concatenate([bytes_of(20, 256) > 127, np.eye(10)[np.arange(20) // 5 % 10]], 1)
    np.savetxt(data / "semeion.data", rows, "%.4f")
    monkeypatch.setattr(torchvision.datasets.semeion, "check_integrity", lambda path, *_: Path(path).is_file())
    with pytest.raises(InvalidData, match="Looked for"):
        load("torchvision:SEMEION")
    folder = tmp_path / "work" / "data" / "semeion"
    folder.mkdir(parents=True)
    (data / "semeion.data").rename(folder / "semeion.data")
    found = load("torchvision:SEMEION")
    assert (len(found.train), found.test.targets.tolist(), found.shape) == (16, [0, 1, 2, 3], (1, 16, 16))


def test_only_its_own_files_make_a_data_set_be_decoded_again(data, monkeypatch):
    monkeypatch.setattr("plastic_env.scenarios.data.copies.SMALL", 0)
    parts = write_mnist(data, "KMNIST")
    assert_holds(load("torchvision:KMNIST"), parts)
    (data / "other.bin").write_bytes(b"of somebody else")
    write_mnist(data, "QMNIST")
    forget()
    with monkeypatch.context() as patched:
        patched.setattr(libraries, "decode", lambda *_: pytest.fail("decoded again"))
        assert_holds(load("torchvision:KMNIST"), parts)
    parts[0] = (255 - parts[0][0], parts[0][1])
    write_idx(data / "KMNIST" / "raw" / "train-images-idx3-ubyte", parts[0][0])
    forget()
    assert_holds(load("torchvision:KMNIST"), parts)


@pytest.mark.parametrize("place", ["data/eurosat", "data/eurosat/eurosat"])
def test_an_own_folder_may_have_the_name_of_the_one_below_it(tmp_path, place):
    pytest.importorskip("torchvision")
    for label in ("a", "b"):
        write_images(tmp_path / place / "2750" / label, 5, size=(4, 4))
    found = load("torchvision:EuroSAT")
    assert (len(found.train), found.classes, found.shape) == (8, 2, (3, 4, 4))


def test_damaged_files_of_torchvision_are_refused(data):
    write_mnist(data)
    whole = (data / "MNIST" / "raw" / "train-images-idx3-ubyte").read_bytes()
    (data / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(whole[:5000])
    with pytest.raises(InvalidData, match=r"MNIST.raw can't be read as mnist: .*python -c"):
        load("mnist")
    (data / "MNIST" / "raw" / "train-images-idx3-ubyte").unlink()
    with pytest.raises(InvalidData, match=r"MNIST.raw can't be read as mnist: Dataset not found"):
        load("mnist")
    write_idx(data / "MNIST" / "raw" / "train-images-idx3-ubyte", bytes_of(50, 27, 27))
    with pytest.raises(InvalidData, match=r"MNIST.raw has images of .*\(1, 27, 27\) .*give \(1, 28, 28\)"):
        load("mnist")
    write_mnist(data, classes=11)
    with pytest.raises(InvalidData, match=r"MNIST.raw: .*labels 0\.\.10; 10 classes"):
        load("mnist")


def test_archives_of_pickles_are_read_only_if_they_are_the_published_ones(tmp_path, data):
    folder = data / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        (folder / name).write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "run").encode() + b"'\ntR.")
    (folder / "batches.meta").write_bytes((folder / "test_batch").read_bytes())
    with pytest.raises(
        InvalidData, match=r"cifar-10-batches-py can't be read as cifar10: Dataset not found or corrupt"
    ):
        load("cifar10")
    processed = data / "MNIST" / "processed"  # a layout of old versions of torchvision
    processed.mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        (processed / name).write_bytes((folder / "test_batch").read_bytes())
    with pytest.raises(InvalidData, match="Looked for"):
        load("torchvision:MNIST")
    assert not (tmp_path / "run").exists()


def test_tiny_imagenet_through_avalanche(tmp_path, data):
    pytest.importorskip("avalanche")
    root = tmp_path / "home" / ".avalanche" / "data" / "tinyimagenet" / "tiny-imagenet-200"
    names = [f"n{at:03}" for at in range(200)]
    (root / "val" / "images").mkdir(parents=True)
    (root / "wnids.txt").write_text("\n".join(names))
    for at, name in enumerate(names):
        (root / "train" / name / "images").mkdir(parents=True)
        for copy in (1, 0):  # whatever the order on the disk
            image = Image.fromarray(np.full((64, 64, 3), (at, copy, 0), np.uint8))
            image.save(root / "train" / name / "images" / f"{name}_{copy}.png")
        Image.fromarray(np.full((64, 64), at, np.uint8)).save(root / "val" / "images" / f"{at}.png")
    (root / "val" / "val_annotations.txt").write_text("".join(f"{at}.png\t{n}\t0\n" for at, n in enumerate(names)))
    found = load("tiny_imagenet")
    assert (len(found.train), len(found.test), found.classes, found.shape) == (400, 200, 200, (3, 64, 64))
    assert found.train.targets.tolist() == [at // 2 for at in range(400)]
    middle = found.train.inputs.view(400, 3, 64, 64)[:, :, 32, 32]
    assert middle.tolist() == [[at // 2, at % 2, 0] for at in range(400)]
    assert found.test.inputs[7].unique().tolist() == [7]
    assert len(copies(data)) == 1
    with pytest.raises(UnknownName, match=r"Unknown data set of avalanche 'MNIST'.*CUB200"):
        load("avalanche:MNIST")
    (data / "core50").mkdir()
    (data / "core50" / "paths.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(InvalidData, match=r"paths\.pkl is not the file that was published"):
        load("avalanche:CORe50Dataset")


# without a network, and with one


@pytest.mark.parametrize(
    ("name", "key", "files_below", "command"),
    [
        ("mnist", "mnist", "MNIST/raw", "from torchvision.datasets import MNIST; MNIST('data', download=True)"),
        ("emnist", "emnist", "EMNIST/raw", "EMNIST('data', split='balanced', download=True)"),
        ("cifar100", "cifar100", "cifar-100-python", "CIFAR100('data', download=True)"),
        ("torchvision:USPS", "usps", "", "USPS('data/usps', download=True)"),
    ],
)
def test_without_a_network_one_error_says_it_all(tmp_path, data, name, key, files_below, command):
    with pytest.raises(InvalidData) as caught:
        load(name)
    message = str(caught.value)
    own = (f"data/{key}", f"home/.avalanche/data/{key}", f"home/.cache/plastic_env/{key}")
    roots = ("data", "work/data", *own) if files_below else (f"work/data/{key}", *own)
    for place in (data / f"{key}.npz", *(tmp_path / root / files_below for root in roots)):
        assert f"\n  {place}\n" in message
    assert repr(name) in message
    assert "no network here" in message
    assert f"{key}.npz, with the arrays x_train, y_train, x_test and y_test" in message
    assert command in message
    assert message.count("$PLASTIC_ENV_DATA") == 2
    assert f"\n  {data}\n" not in message  # which is many data sets'
    assert [entry for entry in entries(data) if entry != ".cache"] == []
    assert entries(tmp_path / "work") == []


def test_without_a_data_folder_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("PLASTIC_ENV_DATA")
    with pytest.raises(InvalidData, match=r"\n  \$PLASTIC_ENV_DATA \(not set\)\n"):
        load("mnist")
    assert entries(tmp_path / "home" / ".cache" / "plastic_env") == []


def test_a_download_that_fails_half_way_leaves_nothing(data, monkeypatch):
    torchvision = pytest.importorskip("torchvision")

    def broken(self):
        write_mnist(self.root)
        raise URLError("connection lost")

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", broken)
    for _ in range(2):
        with pytest.raises(InvalidData, match="connection lost"):
            load("mnist")
        assert entries(data) == []


def test_downloads_are_kept(tmp_path, data, monkeypatch):
    torchvision = pytest.importorskip("torchvision")
    monkeypatch.setattr(torchvision.datasets.MNIST, "download", lambda self: write_mnist(self.root))
    parts = write_mnist(tmp_path / "expected")
    leave_unfinished(data, "mnist-killed")
    assert_holds(load("mnist"), parts)
    assert "mnist" in entries(data)
    assert not [entry for entry in entries(data) if entry.endswith(UNFINISHED)]
    monkeypatch.undo()
    monkeypatch.setenv("PLASTIC_ENV_DATA", str(data))
    forget()
    assert_holds(load("mnist"), parts)


def test_what_another_process_downloads_meanwhile_is_used(data, monkeypatch):
    @contextmanager
    def wait(folder):
        if folder == data:
            write_mnist(data / "mnist")
        yield

    monkeypatch.setattr(places, "alone_in", wait)
    assert len(load("mnist").train) == 50


@pytest.mark.parametrize("fails", ["download", "rename"])
def test_without_locks_what_another_process_downloads_meanwhile_is_used(data, monkeypatch, fails):
    torchvision = pytest.importorskip("torchvision")
    other = leave_unfinished(data, "mnist-other", hours=23)

    def download(self):
        write_mnist(data / "mnist")
        if fails == "download":
            raise URLError("connection lost")
        write_mnist(self.root)

    monkeypatch.setattr(places, "fcntl", None)
    monkeypatch.setattr(torchvision.datasets.MNIST, "download", download)
    assert len(load("mnist").train) == 50
    assert entries(other) == ["below"]  # it may still be at work


def test_what_another_process_has_downloaded_just_before_is_used(data, monkeypatch):
    look = named._holds_something

    def late(folder):
        if not folder.exists():
            write_mnist(folder)
        return look(folder)

    monkeypatch.setattr(named, "_holds_something", late)
    assert len(load("mnist").train) == 50


def test_without_locks_copies_of_others_are_left_alone(tmp_path, data, monkeypatch):
    raw = write_large(tmp_path / "a.npz")
    decode, made = files._of_npz, []

    def meanwhile(*arguments):
        monkeypatch.setattr(files, "_of_npz", decode)
        files.from_npz(tmp_path / "a.npz")  # as another process does
        made.extend((copy / "x_train.npy").stat().st_ino for copy in copies(data))
        return decode(*arguments)

    monkeypatch.setattr(places, "fcntl", None)
    monkeypatch.setattr(files, "_of_npz", meanwhile)
    other = leave_unfinished(data / ".cache", "other", hours=23)
    found = load(f"npz:{tmp_path / 'a.npz'}")
    np.testing.assert_array_equal(found.train.inputs, raw["x_train"].reshape(500, -1))
    assert [(copy / "x_train.npy").stat().st_ino for copy in copies(data)] == made
    assert entries(other) == ["below"]


def test_a_folder_in_the_way_of_a_download_is_left_alone(data):
    (data / "mnist").mkdir()
    (data / "mnist" / "mine.txt").write_text("keep")
    with pytest.raises(InvalidData, match="mnist is in the way"):
        load("mnist")
    assert (data / "mnist" / "mine.txt").read_text() == "keep"


# large data sets and many learners


def test_permuted_images_for_32_learners_add_little(data):
    write(
        data / "mnist.npz",
        x_train=np.tile(bytes_of(600, 784), (100, 1)),
        y_train=np.arange(60_000) % 10,
        x_test=bytes_of(10_000, 784),
        y_test=np.arange(10_000) % 10,
    )
    scenario = find("PermutedMNIST-paper-v0", images=None, updates=3750)
    streams = [scenario.stream(seed) for seed in range(32)]
    added = 0
    for stream in streams:
        stream.batches(3750, 3752)  # the second task
        task = stream.task(1)
        assert task.train.inputs.data_ptr() == streams[0].task(1).train.inputs.data_ptr()
        assert task.train.targets.data_ptr() == streams[0].task(1).train.targets.data_ptr()
        own = [task.order, *(value for value in vars(task.transform).values() if hasattr(value, "nbytes"))]
        added += sum(value.nbytes for value in own)
    assert len({tuple(stream.task(1).transform.source) for stream in streams}) == 32
    assert added < 200e6


@pytest.mark.skipif(not REAL.is_file(), reason="only where the published file is at hand")
def test_the_published_mnist(data):
    (data / "mnist.npz").symlink_to(REAL)
    found = load("mnist")
    assert (len(found.train), len(found.test), found.shape) == (60_000, 10_000, (1, 28, 28))
    assert found.train.offset == pytest.approx(0.1307 * 255, abs=0.02)
    x, y = find("PermutedMNIST-paper-v0").stream(0).batches(0, 10)
    assert (x.shape, y.shape) == ((10, 16, 784), (10, 16))
