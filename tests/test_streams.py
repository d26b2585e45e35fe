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
