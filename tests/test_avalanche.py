"""Avalanche's benchmarks as streams and streams as its benchmarks: the same samples, labels, tasks and batches."""

import io
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from avalanche.benchmarks import CLScenario, CLStream, benchmark_from_datasets, with_task_labels
from avalanche.benchmarks.scenarios.dataset_scenario import DatasetExperience
from avalanche.benchmarks.utils import (
    ConstantSequence,
    DataAttribute,
    TaskAwareSupervisedClassificationDataset,
    TaskLabels,
    as_classification_dataset,
)
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.logging import TextLogger
from avalanche.training.plugins import EvaluationPlugin, ReplayPlugin
from avalanche.training.supervised import EWC, GDumb, Naive
from files import everything, write_idx
from torch import nn
from torch.utils.data import TensorDataset

from plastic_env import SGD, EpisodeSettings, LearnerSettings, Lifetime, Plan
from plastic_env.avalanche import benchmarks, from_avalanche, to_avalanche
from plastic_env.avalanche.classic import _CLASSIC
from plastic_env.avalanche.reading import pack
from plastic_env.cli import main
from plastic_env.errors import InvalidData, InvalidSetting, InvalidSnapshot, UnknownName
from plastic_env.learner.export import to_module
from plastic_env.scenarios import find
from plastic_env.scenarios.avalanche_classic import _DATA, root_of
from plastic_env.scenarios.data.named import PUBLISHED
from plastic_env.streams.stream import batches_of

SHARED = Path(__file__).parent.parent.parent / "shared" / "data" / "mnist.npz"


class Failing:
    """What must not be looked at."""

    def __call__(self, *_):
        raise AssertionError


def labelled(x, y, label=None):
    attributes = [DataAttribute(y.tolist(), "targets")]
    if label is not None:
        attributes.append(TaskLabels(ConstantSequence(label, len(y))))
        return TaskAwareSupervisedClassificationDataset([TensorDataset(x, y)], data_attributes=attributes)
    samples = TensorDataset(x, y)
    samples.targets = y.tolist()
    return as_classification_dataset(samples)


def numbers(count, first=0, classes=(0, 1)):
    """Samples [count, 3] that all differ, with labels."""
    x = torch.arange(first, first + count).float()[:, None] + torch.tensor([0.0, 0.25, 0.625]) * torch.pi
    return x, torch.tensor(classes).repeat(count)[:count]


def make_benchmark(tests=2):
    train = [labelled(*numbers(10), label=7), labelled(*numbers(20, 100, (2, 3)), label=9)]
    test = [labelled(*numbers(4, 1000 + 10 * at, classes), label=7) for at, classes in enumerate([(0, 1), (2, 3)])]
    return with_task_labels(benchmark_from_datasets(train=train, test=test[:tests]))


def strategy(kind, model, optimizer=None, **settings):
    return kind(
        model=model,
        optimizer=optimizer or torch.optim.SGD(model.parameters(), 0.05),
        criterion=nn.CrossEntropyLoss(),
        evaluator=EvaluationPlugin(accuracy_metrics(experience=True), loggers=[TextLogger(io.StringIO())]),
        **{"train_mb_size": 16, "eval_mb_size": 256} | settings,
    )


def test_experiences_become_tasks():
    scenario = from_avalanche(make_benchmark(), epochs=2, batch_size=5)
    stream, other = scenario.stream(0), scenario.stream(1)
    assert stream.signature.inputs == 3
    assert stream.signature.outputs == 4
    assert stream.lengths == (4, 8)
    for at, (count, classes) in enumerate([(10, [0, 1]), (20, [2, 3])]):
        task = stream.task(at)
        assert task.label == (7, 9)[at]
        assert task.train.targets.unique().tolist() == classes
        assert task.train is other.task(at).train  # one copy for all learners
        assert not torch.equal(task.order, other.task(at).order)
        assert torch.equal(everything(task.train), numbers(count, 100 * at)[0])
        assert torch.equal(stream.test(at)[0], numbers(4, 1000 + 10 * at)[0])
        assert torch.bincount(task.order.flatten()).tolist() == [2] * count


def test_all_is_tested_on_where_test_experiences_do_not_correspond():
    stream = from_avalanche(make_benchmark(tests=1)).stream(0)
    assert torch.equal(stream.test(0)[0], stream.test(1)[0])
    both = benchmark_from_datasets(
        train=[labelled(*numbers(16))], test=[labelled(*numbers(2, 50)), labelled(*numbers(3, 60))]
    )
    assert from_avalanche(both).stream(0).test(0)[0][:, 0].tolist() == [50, 51, 60, 61, 62]


def test_images_become_bytes_where_nothing_is_lost():
    levels = torch.arange(256).repeat(3 * 16)[: 16 * 3 * 8 * 8].view(16, 3, 8, 8)
    images = levels / 255
    mean, deviation = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1), torch.tensor([0.3, 0.2, 0.1]).view(3, 1, 1)
    y = torch.zeros(16, dtype=torch.int64)
    for shown in (images, (images - mean) / deviation):
        packed = pack(shown.flatten(1), y, (3, 8, 8))
        assert packed.inputs.dtype == torch.uint8
        torch.testing.assert_close(everything(packed), shown.flatten(1), rtol=2e-6, atol=2e-6)
    for kept in (torch.randn(16, 192), torch.zeros(16, 192), images.flatten(1) ** 2):
        assert torch.equal(pack(kept, y, (3, 8, 8)).inputs, kept)
    with pytest.raises(InvalidData, match="NaN or infinite"):
        pack(torch.full((16, 192), torch.inf), y, (3, 8, 8))


def test_generated_experiences_are_read_when_they_are_needed_and_once():
    made = []

    def experiences(part):
        at = 0
        while True:  # there is no end
            made.append((part, at))
            yield DatasetExperience(dataset=labelled(*numbers(8, 100 * at)))
            at += 1

    benchmark = CLScenario([CLStream(part, experiences(part)) for part in ("train", "test")])
    with pytest.raises(InvalidSetting, match="give updates and classes"):
        from_avalanche(benchmark)
    with pytest.raises(InvalidSetting, match="give tasks=N"):
        from_avalanche(benchmark, updates=3, classes=2).stream(0)
    scenario = from_avalanche(benchmark, updates=3, classes=2, tasks=4, batch_size=4)
    assert not made
    stream, other = scenario.stream(0), scenario.stream(1)
    assert made == [("train", 0)]  # for the shape
    assert stream.batches(0, 6)[0].shape == (6, 4, 3)
    other.batches(0, 6)
    assert made == [("train", 0), ("test", 0), ("train", 1), ("test", 1)]
    assert stream.task(3).train.inputs[0, 0] == 300
    assert len(made) == 8


def test_benchmarks_are_told_apart():
    def part(*firsts):
        x = [torch.cat([torch.arange(7.0)[:, None].expand(7, 3), torch.full((1, 3), float(each))]) for each in firsts]
        return [labelled(each.flip(0), torch.tensor([0, 1]).repeat(4)) for each in x]

    def scenario(*firsts, **tested):
        return from_avalanche(benchmark_from_datasets(train=part(*firsts), **tested), updates=4, batch_size=2)

    mine, same = scenario(1, 2), scenario(1, 2)
    assert mine.digest == same.digest
    assert repr(mine) == repr(same)
    assert len(bytes.fromhex(mine.digest)) == 8
    others = [scenario(3, 2), scenario(1, 3), scenario(1, 2, 3), replace(mine, updates=5), replace(mine, classes=3)]
    assert len({other.digest for other in others} | {mine.digest}) == 6
    tests = [part(1, 2), part(1, 3), part(1), [labelled(torch.ones(2, 3), torch.tensor([0, 1]))]]
    digests = {scenario(1, 2, test=test).digest for test in tests}
    assert len(digests | {mine.digest}) == 5
    assert scenario(1, 2, test=part(1, 2)).digest in digests
    settings = EpisodeSettings(learner=LearnerSettings(hidden=(4,)))
    lives = [Lifetime(each, settings) for each in (mine, same, scenario(1, 3))]
    for life in lives:
        life.begin({0: np.random.default_rng(0)})
    captured = lives[0].capture()
    lives[1].restore(captured)
    with pytest.raises(InvalidSnapshot, match="digest="):
        lives[2].restore(captured)
    assert "digest=None" in repr(from_avalanche(make_benchmark(), tasks=3))


def test_digests_do_not_generate_experiences_and_leave_the_generator_alone():
    made = []

    def experiences():
        for at in range(3):
            made.append(at)
            yield DatasetExperience(dataset=labelled(*numbers(8, 100 * at)))

    scenario = from_avalanche(CLScenario([CLStream("train", experiences())]), updates=3, classes=2, tasks=3)
    state = torch.get_rng_state()
    assert scenario.digest in repr(scenario)
    assert made == [0]
    assert torch.equal(torch.get_rng_state(), state)


def test_benchmarks_that_cannot_be_learnt_from_are_refused():
    with pytest.raises(UnknownName, match=r"'epoch'. Did you mean 'epochs'"):
        from_avalanche(make_benchmark(), epoch=2)
    with pytest.raises(InvalidSetting, match="has no train_stream"):
        from_avalanche("SplitMNIST")
    with pytest.raises(InvalidSetting, match="epochs is 0"):
        from_avalanche(make_benchmark(), epochs=0)
    with pytest.raises(InvalidSetting, match="has 2 experiences"):
        from_avalanche(make_benchmark(), tasks=3).stream(0)
    with pytest.raises(InvalidData, match=r"labels 2\.\.3"):
        from_avalanche(make_benchmark(), classes=3).stream(0).task(1)
    wider = benchmark_from_datasets(train=[labelled(*numbers(4)), labelled(torch.zeros(4, 5), torch.zeros(4).long())])
    with pytest.raises(InvalidData, match=r"\(5,\)"):
        from_avalanche(wider).stream(0).task(1)
    short = CLScenario([CLStream("train", (e for e in make_benchmark().train_stream))])
    with pytest.raises(InvalidData, match="ends after 2"):
        from_avalanche(short, updates=1, classes=4, tasks=3).stream(0).task(2)


def test_streams_become_benchmarks():
    stream = find("ClassPairsDigits-small-v0", tasks=3, updates=10).stream(4)
    benchmark = to_avalanche(stream)
    seen = set()
    for at, (experience, tested) in enumerate(zip(benchmark.train_stream, benchmark.test_stream, strict=True)):
        start = sum(stream.lengths[:at])
        x, y = stream.batches(start, start + stream.lengths[at])
        samples = [experience.dataset[row] for row in range(len(experience.dataset))]
        assert samples[0][0].shape == stream.signature.inputs
        assert torch.equal(torch.stack([sample[0] for sample in samples]).flatten(1), x.flatten(0, 1))
        assert [sample[1] for sample in samples] == y.flatten().tolist()
        classes = set(y.unique().tolist())
        assert experience.classes_in_this_experience == classes
        assert experience.previous_classes == seen
        seen |= classes
        assert experience.task_label == tested.task_label == at
        x, y = stream.test(at)
        assert torch.equal(torch.stack([tested.dataset[row][0] for row in range(len(y))]).flatten(1), x)
        assert list(tested.dataset.targets) == y.tolist()
    again = from_avalanche(benchmark).stream(0)  # and back
    assert again.signature.inputs == stream.signature.inputs
    assert again.task(1).train.targets.unique().tolist() == sorted(benchmark.train_stream[1].classes_in_this_experience)
    assert again.task(2).label == 2


@pytest.mark.parametrize("limit", [2**28, 3 * 10 * 16 * 64 * 4 - 1, 0])
@pytest.mark.parametrize("name", ["NoiseDigits-small-v0", "ClassPairsDigits-small-v0"])
def test_samples_are_the_same_in_any_order(name, limit, monkeypatch):
    monkeypatch.setattr(benchmarks.Memory.__init__, "__defaults__", (limit,))
    stream = find(name, tasks=3, updates=10).stream(1)
    benchmark = to_avalanche(stream)
    calls = []
    monkeypatch.setattr(benchmarks, "batches_of", lambda *given: calls.append(given[1:]) or batches_of(*given))
    expected, labels = (part.flatten(0, 1) for part in stream.batches(0, 30))
    for order in (range(480), *(np.random.default_rng(seed).permutation(480).tolist() for seed in range(3))):
        for at in order:
            task, place = divmod(at, 160)
            x, label, _ = benchmark.train_stream[task].dataset[place]
            assert torch.equal(x.flatten(), expected[at])
            assert label == labels[at]
    whole = calls.count((0, 10))
    assert calls[:30] == [(at, at + 1) for _ in range(3) for at in range(10)]  # in order: one by one
    assert whole == {2**28: 3, 0: 0}.get(limit, whole)
    assert len(calls) < {2**28: 40}.get(limit, 2000)
    assert 2 * 10 * whole <= 10 * whole + len(calls)  # never more than twice the work
    for task, experience in enumerate(benchmark.test_stream):
        x = stream.test(task)[0]
        assert all(torch.equal(experience.dataset[at][0].flatten(), x[at]) for at in reversed(range(0, len(x), 7)))


def test_samples_are_counted_from_either_end():
    stream = find("PermutedDigits-small-v0", tasks=1, updates=5).stream(0)
    for kind in (benchmarks.Ordered, benchmarks.Tested):
        data = kind(stream.task(0), 0, (8, 8), benchmarks.Memory())
        assert torch.equal(data[-1][0], data[len(data) - 1][0])
        assert data[-len(data)][1] == data[0][1]
        for index in (len(data), -len(data) - 1):
            with pytest.raises(IndexError, match=f"no sample {index}"):
                data[index]
        assert len(list(data)) == len(data)


def test_samples_can_be_sent_to_workers():
    benchmark = to_avalanche(find("PermutedDigits-small-v0", tasks=2, updates=5).stream(0))
    for stream in (benchmark.train_stream, benchmark.test_stream):
        data = stream[1].dataset
        expected = torch.stack([data[at][0] for at in range(len(data))])
        copied = pickle.loads(pickle.dumps(data))
        assert torch.equal(torch.stack([copied[at][0] for at in range(len(data))]), expected)


def test_tasks_without_tests_have_none():
    stream = find("PermutedDigits-small-v0", tasks=3, updates=5).stream(0)
    draw, none = stream.draw, torch.zeros(0, dtype=torch.int64)
    stream.draw = lambda index, rng: replace(draw(index, rng), test_rows=none if index == 1 else None)
    benchmark = to_avalanche(stream)
    assert [experience.task_label for experience in benchmark.test_stream] == [0, 2]
    train, test = ([labelled(*numbers(count)) for count in counts] for counts in ((8, 8), (8, 0)))
    with pytest.raises(InvalidData, match="Experience 1 of the test stream is empty"):
        from_avalanche(benchmark_from_datasets(train=train, test=test)).stream(0).test(1)
    with pytest.raises(InvalidData, match="no test set"):
        from_avalanche(benchmark_from_datasets(train=train)).stream(0).test(1)


def test_scenarios_are_no_streams():
    with pytest.raises(InvalidSetting, match=r"give a TaskStream, as scenario\.stream\(seed\)"):
        to_avalanche(find("IidDigits-small-v0"))


def test_streams_of_values_are_refused():
    stream = find("IidDigits-small-v0").stream(0)
    stream.signature = replace(stream.signature, loss="squared_error")
    with pytest.raises(InvalidSetting, match="squared_error"):
        to_avalanche(stream)


def test_labels_that_are_drawn_make_no_test_stream():
    benchmark = to_avalanche(find("RandomLabelDigits-small-v0", tasks=2, updates=5).stream(0))
    assert not hasattr(benchmark, "test_stream")
    recurring = to_avalanche(find("RecurringDigits-small-v0", tasks=4, updates=5).stream(0))
    labels = [find("RecurringDigits-small-v0", tasks=4, updates=5).stream(0).task(at).label for at in range(4)]
    assert [experience.task_label for experience in recurring.train_stream] == labels


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_naive_learns_what_dense_learns(dtype, close):
    """The same initial network (exported), the same SGD with momentum, the same batches: Naive trains for one epoch per
    experience in our batch size without shuffling, the population lives through the stream without edits. After each
    task, accuracy on its test set is equal to 1e-4, and logits are to rounding: nothing differs but the order of
    additions."""
    scenario = find("PermutedDigits-small-v0", tasks=3, updates=60)
    settings = LearnerSettings(hidden=(32, 16), optimizer=SGD(0.05, momentum=0.5))
    life = Lifetime(scenario, EpisodeSettings(learner=settings), dtype=dtype)
    life.begin({0: np.random.default_rng(0)})
    benchmark = to_avalanche(life.streams[0])
    model = nn.Sequential(nn.Flatten(), Cast(dtype), *to_module(life.population)).train()
    naive = strategy(Naive, model, torch.optim.SGD(model.parameters(), 0.05, momentum=0.5))
    for at, experience in enumerate(benchmark.train_stream):
        life.step({0: Plan(budget=60)})
        naive.train(experience, shuffle=False)
        x, y = life.streams[0].test(at)
        ours = life.population.predict(x[None])[0]
        with torch.no_grad():
            theirs = model.eval()(x)
        torch.testing.assert_close(theirs, ours, rtol=0, atol=close)
        metrics = naive.eval(benchmark.test_stream[at])
        (accuracy,) = (value for name, value in metrics.items() if f"Exp{at:03}" in name and "Top1" in name)
        assert abs(accuracy - float((ours.argmax(1) == y).double().mean())) < 1e-4
        assert accuracy > 0.4


class Cast(nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.dtype = dtype

    def forward(self, x):
        return x.to(self.dtype)


@pytest.mark.parametrize("kind", [GDumb, EWC, Naive])
def test_strategies_train_on_streams(kind):
    benchmark = to_avalanche(find("SplitDigits-small-v0", tasks=2, updates=15).stream(0))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    own = {GDumb: {"mem_size": 50}, EWC: {"ewc_lambda": 1.0}, Naive: {"plugins": [ReplayPlugin(mem_size=50)]}}[kind]
    made = strategy(kind, model, torch.optim.SGD(model.parameters(), 0.1), train_epochs=2, **own)
    for experience in benchmark.train_stream:
        made.train(experience)
    assert made.eval(benchmark.test_stream)


@pytest.fixture(scope="module")
def mnist_root(tmp_path_factory):
    """A little of MNIST, or noise in its place, laid out for torchvision."""
    root = tmp_path_factory.mktemp("data")
    raw = root / "MNIST" / "raw"
    if SHARED.exists():
        whole = np.load(SHARED)
        arrays = {key: whole[key] for key in whole.files}
    else:
        rng = np.random.default_rng(0)
        arrays = {f"x_{part}": rng.integers(256, size=(n, 28, 28)) for part, n in (("train", 640), ("test", 320))}
        arrays |= {f"y_{part}": np.arange(n) % 10 for part, n in (("train", 640), ("test", 320))}
    for part, name, count in (("train", "train", 640), ("test", "t10k", 320)):
        write_idx(raw / f"{name}-images-idx3-ubyte", arrays[f"x_{part}"][:count])
        write_idx(raw / f"{name}-labels-idx1-ubyte", arrays[f"y_{part}"][:count])
    return root


@pytest.fixture
def mnist(mnist_root, monkeypatch):
    monkeypatch.setenv("PLASTIC_ENV_DATA", str(mnist_root))
    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", Failing())
    return mnist_root


@pytest.mark.parametrize("name", ["SplitMNIST", "PermutedMNIST"])
def test_classic_benchmarks_are_scenarios(name, mnist):
    scenario = find(f"avalanche:{name}", tasks=2, batch_size=8)
    stream = scenario.stream(3)
    assert stream.signature.inputs == (1, 28, 28)
    assert stream.signature.outputs == 10
    assert stream.task(0).train.inputs.dtype == torch.uint8
    classes = [set(stream.task(at).train.targets.tolist()) for at in range(2)]
    tested = [set(stream.test(at)[1].tolist()) for at in range(2)]
    assert classes == tested
    assert (classes[0] & classes[1] == set()) == (name == "SplitMNIST")
    trained_on = {tuple(row) for row in everything(stream.task(0).train).tolist()}
    assert not trained_on & {tuple(row) for row in stream.test(0)[0].tolist()}
    again = find(f"avalanche:{name}", tasks=2, batch_size=8).stream(3)
    assert again.task(0).train is stream.task(0).train  # read once
    assert torch.equal(again.batches(0, 9)[0], stream.batches(0, 9)[0])


@pytest.mark.parametrize("own", [True, False])
def test_classic_benchmarks_read_what_was_downloaded(own, mnist, monkeypatch, tmp_path):
    (tmp_path / "data" / "MNIST").mkdir(parents=True)  # holds nothing
    place = tmp_path / "data" / "mnist" if own else tmp_path / "data"
    shutil.copytree(mnist / "MNIST", place / "MNIST", dirs_exist_ok=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLASTIC_ENV_DATA", "~/data")
    assert root_of("SplitMNIST") == str(place)
    assert root_of("SplitCIFAR10") == str(tmp_path / "data")
    scenario = find("avalanche:SplitMNIST", tasks=5, batch_size=4)
    assert scenario.stream(0).signature.inputs == (1, 28, 28)
    assert len(scenario.digest) == 16
    assert scenario.digest != find("avalanche:SplitMNIST", tasks=5, batch_size=4, benchmark_seed=2).digest


def test_names_of_classic_benchmarks_and_their_data_are_known():
    assert set(_DATA) <= set(_CLASSIC)
    assert set(_DATA.values()) <= set(PUBLISHED)


def test_classic_benchmarks_are_compared_from_the_command_line(mnist, tmp_path, capsys):
    arguments = ["--scenario", "avalanche:SplitMNIST", "--methods", "dense", "recycle", "--seeds", "1", "--tasks", "2"]
    assert main(["compare", *arguments, "--threads", "1", "--out", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    assert "recycle" in table
    assert len(list(tmp_path.glob("*.parquet"))) == 2


def test_unknown_classic_benchmarks_are_refused(mnist):
    with pytest.raises(UnknownName, match="Did you mean 'SplitMNIST'"):
        find("avalanche:SplitMNST").stream(0)
    with pytest.raises(UnknownName, match="setting"):
        find("avalanche:SplitMNIST", nothing=3)
    with pytest.raises(InvalidData, match="can't be made"):
        find("avalanche:SplitMNIST", tasks=7).stream(0)
