"""Streams: pure functions of their seed, over data that is split once."""

import helpers
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plastic_env.errors import InvalidData, InvalidSetting, UnknownName
from plastic_env.scenarios import SCENARIOS, find
from plastic_env.scenarios.data import load
from plastic_env.streams.samples import Dataset, Samples
from plastic_env.streams.stream import Signature, Task, TaskStream, epochs


def everything(samples):
    return samples.fetch(torch.arange(len(samples)))


def counting_stream(lengths, batch_size=2):
    """Sample i is the number i; tasks go through the samples in order, from sample 10 * task."""
    numbers = torch.arange(100.0)[:, None]
    labels = torch.zeros(100, dtype=torch.int64)
    samples = Samples(numbers, labels)

    def draw(index, rng):
        rows = 10 * index + torch.arange(lengths[index] * batch_size)
        return Task(samples, rows.reshape(-1, batch_size))

    return TaskStream(Signature(1, 2), lengths, batch_size, draw, seed=0)


def test_batches_run_across_tasks_of_any_length():
    stream = counting_stream([2, 1, 3])
    x, y = stream.batches(1, 5)
    assert x[..., 0].tolist() == [[2, 3], [10, 11], [20, 21], [22, 23]]
    assert y.shape == (4, 2)
    assert stream.updates == 6
    assert stream.shifts == (2, 3)
    assert [stream.is_shift(u) for u in range(7)] == [False, False, True, True, False, False, False]
    assert [stream.next_shift(u) for u in range(6)] == [2, 2, 3, 6, 6, 6]
    assert [stream.task_at(u) for u in range(6)] == [0, 0, 1, 2, 2, 2]


@given(cut=st.integers(1, 39))
def test_any_stretch_is_the_same_however_it_is_cut(cut):
    stream = find("PermutedDigits-small-v0", tasks=4, updates=10).stream(5)
    again = find("PermutedDigits-small-v0", tasks=4, updates=10).stream(5)
    whole = stream.batches(0, 40)
    last = again.batches(cut, 40)  # later tasks first
    first = again.batches(0, cut)
    for all_of_it, *parts in zip(whole, first, last, strict=True):
        assert torch.equal(all_of_it, torch.cat(parts))


@given(samples=st.integers(1, 30), updates=st.integers(1, 20), batch_size=st.integers(1, 8))
def test_epochs_use_every_sample_equally_often(samples, updates, batch_size):
    rows = epochs(np.random.default_rng(0), samples, updates, batch_size).flatten()
    counts = torch.bincount(rows, minlength=samples)
    assert counts.max() - counts.min() <= 1
    assert len(rows) == updates * batch_size


@pytest.mark.parametrize("name", SCENARIOS)
def test_seed_decides_every_batch(name):
    scenario = find(name, **helpers.short(name))
    x, y = scenario.stream(1).batches(0, scenario.stream(1).updates)
    x_again, y_again = scenario.stream(1).batches(0, scenario.stream(1).updates)
    assert torch.equal(x, x_again)
    assert torch.equal(y, y_again)
    x_other, y_other = scenario.stream(2).batches(0, scenario.stream(2).updates)
    assert not torch.equal(x, x_other)
    assert not torch.equal(y, y_other)


def test_permuted_digits_permutes_the_pixels_of_each_task_alike():
    stream = find("PermutedDigits-small-v0", tasks=2, updates=90).stream(3)
    data = load("digits")
    orders = []
    for start in (0, 90):
        x, _ = stream.batches(start, start + 90)
        rows = x.flatten(0, 1)[:1437]  # one pass: every training image once
        by_pixel = {
            tuple(column.tolist()): at
            for at, column in enumerate(data.train.fetch(torch.arange(1437)).sort(0).values.T)
        }
        orders.append([by_pixel.get(tuple(column.tolist())) for column in rows.sort(0).values.T])
    known = [at for at, order in enumerate(orders[0]) if order is not None]
    assert len(known) > 50  # pixels that are always 0 look alike
    assert orders[0] != orders[1]


def test_random_labels_keep_images_and_change_their_labels():
    scenario = find("RandomLabelDigits-small-v0", tasks=2, images=40, updates=10)
    stream = scenario.stream(0)
    tasks = []
    for start in (0, 10):
        x, y = stream.batches(start, start + 10)
        pairs = list(zip(map(tuple, x.flatten(0, 1).tolist()), y.flatten().tolist(), strict=True))
        labels = dict(pairs)
        assert all(labels[image] == label for image, label in pairs)  # fixed within a task
        tasks.append(labels)
    assert set(tasks[0]) == set(tasks[1])
    assert len(tasks[0]) == 40
    changed = np.mean([tasks[0][image] != tasks[1][image] for image in tasks[0]])
    assert 0.7 < changed <= 1  # nine in ten are expected to


def test_digits_are_split_and_standardised():
    data = load("digits")
    seen = everything(data.train)
    assert seen.shape == (1437, 64)
    assert everything(data.test).shape == (360, 64)
    assert seen.mean().item() == pytest.approx(0, abs=1e-5)
    assert seen.std().item() == pytest.approx(1, abs=1e-3)
    assert torch.bincount(data.test.targets).min() > 25


X, Y = torch.zeros(3, 2), torch.tensor([0, 1, 1])


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (torch.full((3, 2), float("nan")), Y, "training part of data set 'mine' has inputs that are NaN"),
        (X, torch.tensor([0, 1, 2]), "labels 0..2; 2 classes allow 0..1"),
        (X, torch.tensor([0, -1, 1]), "labels -1..1"),
        (X, torch.tensor([0, 1]), r"inputs \(3, 2\) and targets \(2,\)"),
        (X[:0], Y[:0], "at least one sample"),
    ],
)
def test_bad_data_are_refused(inputs, targets, message):
    with pytest.raises(InvalidData, match=message):
        Dataset("mine", Samples(inputs, targets), Samples(X, Y), classes=2)


def test_bad_settings_are_refused():
    with pytest.raises(UnknownName, match="Did you mean 'PermutedDigits-small-v0'"):
        find("PermutedDigit-v0")
    with pytest.raises(UnknownName, match="Did you mean 'tasks'"):
        find("PermutedDigits-small-v0", task=3)
    with pytest.raises(InvalidSetting, match="at least 1"):
        find("PermutedDigits-small-v0", tasks=0)
    with pytest.raises(InvalidSetting, match="at least one task"):
        counting_stream([])


def write(path, **arrays):
    rng = np.random.default_rng(0)
    whole = {
        "x_train": rng.integers(0, 256, (20, 5, 4, 3), dtype=np.uint8),
        "y_train": np.arange(20)[:, None] % 3,
        "x_test": rng.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }
    whole = {key: value for key, value in {**whole, **arrays}.items() if value is not None}
    np.savez(path, **whole)
    return whole


def test_a_file_of_images_is_a_data_set(tmp_path):
    raw = write(tmp_path / "mine.npz")
    data = load(f"npz:{tmp_path / 'mine.npz'}")
    assert (data.name, data.shape, data.features, data.classes) == ("mine", (3, 5, 4), 60, 3)
    images = raw["x_train"].astype(float)
    expected = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
    found = everything(data.train).reshape(20, 3, 5, 4).permute(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    test = (raw["x_test"].astype(float) - images.mean((0, 1, 2))) / images.std((0, 1, 2))
    np.testing.assert_allclose(everything(data.test).reshape(6, 3, 5, 4).permute(0, 2, 3, 1), test, atol=1e-5)
    assert data.train.targets.tolist() == raw["y_train"][:, 0].tolist()
    stream = find("PermutedDigits-small-v0", data=f"npz:{tmp_path / 'mine.npz'}", tasks=2).stream(0)
    assert stream.task(1).train is data.train


@pytest.mark.parametrize(("shape", "expected"), [((9,), None), ((4, 5), (1, 4, 5))])
def test_grey_images_and_plain_features(tmp_path, shape, expected):
    rng = np.random.default_rng(0)
    write(tmp_path / "a.npz", x_train=rng.normal(5, 2, (20, *shape)), x_test=rng.normal(5, 2, (6, *shape)))
    data = load(f"npz:{tmp_path / 'a.npz'}")
    assert data.shape == expected
    assert everything(data.train).mean().item() == pytest.approx(0, abs=1e-6)
    assert everything(data.train).std(unbiased=False).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y_test": None}, "lacks y_test; it has x_train"),
        ({"x_test": np.zeros((6, 5, 5, 3))}, "alike in both"),
        ({"x_train": np.zeros(20)}, "alike in both"),
        ({"x_train": np.full((20, 5, 4, 3), "a")}, "give numbers"),
        ({"y_train": np.linspace(0, 1, 20)}, "one whole number per sample"),
        ({"y_train": np.arange(19) % 3}, "training part"),
        ({"y_test": np.arange(6)}, "labels 0..5; 3 classes"),
    ],
)
def test_files_that_hold_something_else_are_refused(tmp_path, arrays, message):
    write(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InvalidData, match=message):
        load(f"npz:{tmp_path / 'bad.npz'}")


def test_files_that_cannot_be_read_are_refused(tmp_path):
    write(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("cut.npz", "text.npz", "array.npy", "absent.npz"):
        with pytest.raises(InvalidData, match=name):
            load(f"npz:{tmp_path / name}")
    with pytest.raises(UnknownName, match="Unknown data set 3"):
        load(3)
