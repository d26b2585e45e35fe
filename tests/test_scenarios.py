"""What each family of streams promises, task by task; and that the published protocols are kept."""

from itertools import pairwise

import gymnasium
import helpers
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plastic_env.errors import InvalidSetting, UnknownName
from plastic_env.scenarios import SCENARIOS, find
from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import shuffled
from plastic_env.scenarios.mixed import KINDS, MixedShifts
from plastic_env.streams.samples import Dataset, Samples
from plastic_env.streams.stream import task_rng
from plastic_env.streams.transforms import Contrast, Moved, Noise, rotation

PUBLISHED = {  # tasks, updates of the first and the last task, batch size
    "PermutedMNIST-paper-v0": (500, 625, 625, 16),
    "RandomLabelMNIST-paper-v0": (50, 30_000, 30_000, 16),
    "RandomLabelCIFAR10-paper-v0": (50, 30_000, 30_000, 16),
    "PermutedLabelEMNIST-paper-v0": (400, 2500, 2500, 1),
    "PermutedLabelCIFAR10-paper-v0": (400, 2500, 2500, 1),
    "RotatedMNIST-paper-v0": (20, 100, 100, 10),
    "ClassPairsTinyImageNet-paper-v0": (500, 120, 120, 100),
    "FivePlusOneCIFAR100-paper-v0": (30, 780, 780, 32),
    "SplitMNIST-paper-v0": (5, 7500, 7500, 32),
    "SplitFashionMNIST-paper-v0": (5, 7500, 7500, 32),
    "SplitCIFAR100-paper-v0": (10, 3140, 3140, 32),
    "IidMNIST-paper-v0": (5, 9380, 9380, 128),
    "IidCIFAR10-paper-v0": (5, 15_640, 15_640, 128),
    "IidCIFAR100-paper-v0": (5, 15_640, 15_640, 128),
    "BitFlipping-paper-v0": (100, 10_000, 10_000, 1),
}


def tasks(name, seed=0, **settings):
    stream = find(name, **{**helpers.short(name), **settings}).stream(seed)
    return stream, [stream.task(index) for index in range(len(stream.lengths))]


def test_every_published_protocol_is_listed():
    assert {name for name in SCENARIOS if "-paper-" in name} == {*PUBLISHED, "WarmStartCIFAR10-paper-v0"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_lengths(name):
    settings = {key: value for key, value in helpers.short(name).items() if key in ("data", "images")}
    scenario = find(name, **settings)
    stream = scenario.stream(0)
    found = (len(stream.lengths), stream.lengths[0], stream.lengths[-1], stream.batch_size)
    assert found == PUBLISHED[name]
    assert getattr(SCENARIOS[name], "images", None) in {
        None,
        *((10_000,) if "Permuted" in name else ()),
        *((1200,) if "Random" in name else ()),
        *((1000,) if "Rotated" in name else ()),
    }


def test_published_warm_start_passes_350_times_over_either_part():
    stream = find("WarmStartCIFAR10-paper-v0", data="digits").stream(0)
    assert stream.lengths == (-(-350 * 718 // 128), -(-350 * 1437 // 128))


@pytest.mark.parametrize("name", SCENARIOS)
def test_training_never_sees_the_test_samples(name):
    data_name = helpers.short(name).get("data")
    if data_name is None:
        pytest.skip("its samples are made as they are needed")
    data = load(data_name)
    _, found = tasks(name)
    for task in found:
        assert task.train.inputs is data.train.inputs  # which share nothing with the test samples
        assert task.order.min() >= 0
        assert task.order.max() < len(data.train)
        assert task.test is None or task.test.inputs is data.test.inputs


@pytest.mark.parametrize("name", SCENARIOS)
def test_tasks_can_be_asked_for_in_any_order(name):
    stream = find(name, **helpers.short(name)).stream(3)
    again = find(name, **helpers.short(name)).stream(3)
    last = len(stream.lengths) - 1
    forwards = [stream.batches(at, at + 1) for at in range(stream.updates)]
    backwards = [again.batches(at, at + 1) for at in reversed(range(again.updates))][::-1]
    for mine, theirs in zip(forwards, backwards, strict=True):
        assert torch.equal(mine[0], theirs[0])
        assert torch.equal(mine[1], theirs[1])
    if stream.task(last).test is not None:
        x, y = stream.test(last)
        x_again, y_again = again.test(last)
        assert torch.equal(x, x_again)
        assert torch.equal(y, y_again)
        assert len(x) == len(y) > 0


@given(count=st.integers(2, 60), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_shuffling_moves_exactly_a_share(count, share, seed):
    values = np.random.default_rng(0).permutation(count)
    moved = shuffled(values, share, np.random.default_rng(seed))
    assert sorted(moved) == list(range(count))
    assert (moved != values).sum() == (min(count, max(2, round(share * count))) if share else 0)


def test_weak_permutations_change_bit_by_bit():
    _, (first, second, third) = tasks("PermutedDigits-small-v0", strength=0.25)
    assert (first.transform.source == np.arange(64)).all()
    assert (first.transform.source != second.transform.source).sum() == 16
    assert (second.transform.source != third.transform.source).sum() == 16
    _, (first, second, _) = tasks("PermutedDigits-small-v0")
    assert (first.transform.source != second.transform.source).sum() > 50


def test_weak_relabelling_changes_a_share_of_the_labels():
    _, (first, second, _) = tasks("RandomLabelDigits-small-v0", strength=0.5)
    changed = (first.train.targets != second.train.targets).double().mean()
    assert 0.4 < changed < 0.5  # one in ten fresh labels is the old one
    assert first.test is None


def test_permuted_labels_rename_classes_in_training_and_test_alike():
    data = load("digits")
    for strength, changing in ((1.0, None), (0.1, 2), (0.5, 5)):
        _, found = tasks("PermutedLabelDigits-small-v0", strength=strength)
        names = []
        for task in found:
            named = {int(a): int(b) for a, b in zip(data.train.targets, task.train.targets, strict=True)}
            assert sorted(named.values()) == list(range(10))
            assert [named[int(label)] for label in data.test.targets] == task.test.targets.tolist()
            names.append(named)
        if changing:
            assert sum(names[0][label] != names[1][label] for label in range(10)) == changing


def test_rotation_agrees_with_torchvision():
    from torchvision.transforms.functional import rotate

    image = torch.arange(1.0, 1 + 3 * 9 * 7).view(3, 9, 7)
    for degrees in (0, 31, 90, 145, 180, 270, -17):
        shown = Moved(rotation((3, 9, 7), degrees), 0.0)(image.view(1, 1, -1), 0).view(3, 9, 7)
        assert torch.equal(shown, rotate(image, degrees)), degrees


def test_rotated_digits_turn_by_at_most_the_strength():
    data = load("digits")
    upright = data.train.fetch(torch.arange(5))[None]
    _, found = tasks("RotatedDigits-small-v0", strength=0.01)  # less than 2 degrees move no pixel by half
    for task in found:
        assert torch.equal(task.transform(upright.clone(), 0), upright)
    assert data.train.blank == pytest.approx(upright.min().item())
    stream, found = tasks("RotatedDigits-small-v0", rising=True, images=20)
    orders = [set(task.order.flatten().tolist()) for task in found]
    assert [len(order) for order in orders] == [20, 20, 20]
    assert orders[0] != orders[1]
    again = task_rng(stream.seed, 2).uniform(2 / 3, 1)
    assert (found[2].transform.source == rotation((1, 8, 8), 180 * again)).all()
    with pytest.raises(InvalidSetting, match="no images"):
        find("RotatedDigits-small-v0", data="flat").stream(0)


@pytest.fixture(autouse=True)
def _flat_data(monkeypatch):
    """A data set without images, under the name "flat"."""
    plain = load("digits")
    flat = Dataset("flat", plain.train, plain.test, 10)
    for module in ("rotations", "mixed"):
        monkeypatch.setattr(f"plastic_env.scenarios.{module}.load", lambda name: flat if name == "flat" else load(name))


def test_class_pairs_are_new_until_all_have_been_there():
    data = load("digit_pairs")
    stream = find("ClassPairsDigits-small-v0", tasks=75, updates=4).stream(0)
    met = []
    for index in range(75):
        task = stream.task(index)
        rows = task.order.flatten()
        classes = data.train.targets[rows].unique().tolist()
        assert len(classes) == 2
        assert set(task.train.targets[rows].tolist()) == {0, 1}
        assert len(set(zip(data.train.targets[rows].tolist(), task.train.targets[rows].tolist(), strict=True))) == 2
        assert set(data.test.targets[task.test_rows].tolist()) == set(classes)
        assert set(stream.test(index)[1].tolist()) == {0, 1}
        met += classes
    assert sorted(met[:100]) == list(range(100))
    assert len(set(met[100:])) == 50
    assert stream.signature.outputs == 2
    with pytest.raises(InvalidSetting, match="has 10 classes"):
        find("ClassPairsDigits-small-v0", data="digits", together=11).stream(0)


def test_five_plus_one_alternates_and_scores_the_hard_tasks():
    data = load("digit_pairs")
    stream = find("FivePlusOneDigits-small-v0", updates=40).stream(0)
    met = []
    for index in range(30):
        labels = stream.batches(40 * index, 40 * index + 40)[1].unique().tolist()
        assert len(labels) == (1 if index % 2 else 5)
        met += labels
    assert len(set(met)) == len(met) == 90
    assert data.classes == stream.signature.outputs == 100
    weights = stream.weights(0, stream.updates)
    assert weights.sum() == pytest.approx(1)
    assert (weights.reshape(30, 40)[1::2] == 0).all()
    assert (weights.reshape(30, 40)[::2] == 1 / 600).all()
    assert (stream.weights(35, 95) == weights[35:95]).all()
    with pytest.raises(InvalidSetting, match="need 90 classes; data set 'digits' has 10"):
        find("FivePlusOneDigits-small-v0", data="digits").stream(0)


def test_class_incremental_replays_from_a_small_memory():
    data = load("digits")
    stream = find("SplitDigits-small-v0").stream(0)
    groups, memory = [], set()
    for index in range(5):
        task = stream.task(index)
        new = data.train.targets[task.order[:, :8]].unique().tolist()
        assert len(new) == 2
        assert not set(new) & {label for group in groups for label in group}
        again = task.order[:, 8:]
        if index == 0:
            assert set(data.train.targets[again].unique().tolist()) == set(new)
        else:
            old = [label for group in groups for label in group]
            counts = {label: len(again[data.train.targets[again] == label].unique()) for label in old}
            assert max(counts.values()) <= min(50, 200 // len(old))
            assert sum(counts.values()) <= 200
            assert min(counts.values()) > 0
            if index > 2:
                assert set(again.flatten().tolist()) <= memory  # nothing comes back once it was forgotten
            memory = set(again.flatten().tolist()) | set(task.order[:, :8].flatten().tolist())
        groups.append(new)
        assert set(stream.test(index)[1].tolist()) == set(new)
    x, y = stream.test(4, cumulative=True)
    assert len(x) == len(y) == len(data.test)
    with pytest.raises(InvalidSetting, match="leaves nothing new"):
        find("SplitDigits-small-v0", replay=1.0).stream(0)


def test_noise_and_contrast_are_as_strong_as_they_say():
    plain = load("digits").train.fetch(torch.arange(320)).view(20, 16, 64)
    noisy = Noise(0.5, 7)(plain.clone(), 3)
    assert (noisy - plain).std().item() == pytest.approx(0.5, rel=0.02)
    assert torch.equal(noisy[4:], Noise(0.5, 7)(plain[4:].clone(), 7))  # it depends on the batch's number alone
    assert not torch.equal(noisy, Noise(0.5, 8)(plain.clone(), 3))
    faint = Contrast(0.3)(plain.clone(), 0)
    np.testing.assert_allclose(faint.std(-1), 0.3 * plain.std(-1), rtol=1e-4)
    np.testing.assert_allclose(faint.mean(-1), plain.mean(-1), atol=1e-6)
    _, found = tasks("NoiseDigits-small-v0", tasks=7)
    assert [task.transform.parts[1].deviation for task in found] == [0.0, 0.5, 1.0, 1.5, 2.0, 0.0, 0.5]
    assert [task.label for task in found] == [0, 1, 2, 3, 4, 0, 1]
    with pytest.raises(InvalidSetting, match="noise is"):
        find("NoiseDigits-small-v0", noise=(-1.0,))


def test_noisy_labels_are_wrong_in_a_share_and_clean_in_tests():
    data = load("digits")
    _, found = tasks("NoisyLabelDigits-small-v0", images=None)
    wrong = [task.train.targets != data.train.targets for task in found]
    assert [round(float(part.double().mean()), 1) for part in wrong] == [0.5, 0.2, 0.0]
    assert not (wrong[1] & ~wrong[0]).any()
    assert all(task.test is data.test for task in found)
    with pytest.raises(InvalidSetting, match="noise of a task is 2"):
        find("NoisyLabelDigits-small-v0", noise=(2,))


def test_warm_start_trains_on_a_part_and_then_on_all():
    _, (first, second) = tasks("WarmStartDigits-small-v0", epochs=3, images=None)
    part, whole = set(first.order.flatten().tolist()), set(second.order.flatten().tolist())
    assert (len(part), len(whole)) == (718, 1437)
    assert part < whole


def test_recurring_tasks_come_back_once_per_round():
    stream = find("RecurringDigits-small-v0", tasks=20, updates=4).stream(0)
    found = [stream.task(index) for index in range(20)]
    labels = [task.label for task in found]
    for start in range(0, 20, 5):
        assert sorted(labels[start : start + 5]) == [0, 1, 2, 3, 4]
    for task in found:
        assert (task.transform.source == found[labels.index(task.label)].transform.source).all()
    assert len({task.transform.source.tobytes() for task in found}) == 5


def test_mixed_shifts_differ_as_their_instance_says():
    scenario = find("MixedShiftsDigits-small-v0", updates=20_000)
    stream, shifts = scenario.stream(1), scenario.shifts(1)
    assert stream.lengths == tuple(shift.length for shift in shifts)
    assert sum(stream.lengths) == 20_000
    assert min(stream.lengths) >= 30
    assert max(stream.lengths[:-1]) <= 300
    middle = np.median([np.log(shift.length) for shift in shifts])
    assert middle == pytest.approx(np.log(30 * 300) / 2, abs=0.25)
    data = load("digits")
    upright = data.train.fetch(torch.arange(400))[None]
    met = dict.fromkeys(KINDS, 0)
    for index in range(1, len(shifts)):
        before, now, shift = stream.task(index - 1), stream.task(index), shifts[index]
        met[shift.kind] += 1
        same_labels = torch.equal(before.train.targets, now.train.targets)
        pictures = [task.transform(upright.clone(), 0) for task in (before, now)]
        same_inputs = torch.equal(*pictures)
        if shift.kind == "inputs":
            assert same_labels
            changed, wanted = (before.transform.source != now.transform.source).sum(), round(shift.strength * 64)
            assert changed <= wanted
            assert changed == wanted or (now.transform.source < 0).any()  # empty corners look alike
        elif shift.kind == "labels":
            assert same_inputs
            pairs = {(int(a), int(b)) for a, b in zip(before.train.targets, now.train.targets, strict=True)}
            assert sum(a != b for a, b in pairs) == max(2, round(10 * shift.strength))
        elif shift.kind == "rotation":
            assert same_labels
        else:
            original = stream.task(now.label)
            assert now.label < index
            assert now.label != before.label
            assert torch.equal(original.train.targets, now.train.targets)
            assert (original.transform.source == now.transform.source).all()
    assert min(met.values()) > 20


def test_nothing_comes_back_before_there_are_two_tasks():
    """Where only returns are drawn, the first shift moves pixels, and is told as that; all that follow are returns."""
    scenario = find("MixedShiftsDigits-small-v0", kinds=("return",), strengths=(0.5,), updates=2000)
    for seed in range(3):
        stream, (_, first, *others) = scenario.stream(seed), scenario.shifts(seed)
        assert (first.kind, {shift.kind for shift in others}) == ("inputs", {"return"})
        assert (stream.task(1).transform.source != np.arange(64)).sum() == 32
        assert [stream.task(index).label for index in range(4)] == [0, 1, 0, 1]


def test_bimodal_shifts_are_weak_twice_as_often_as_strong():
    scenario = find("BimodalShiftsDigits-small-v0", updates=40_000)
    strengths = [shift.strength for shift in scenario.shifts(0)]
    assert set(strengths) == {0.05, 1.0}
    assert np.mean([strength == 0.05 for strength in strengths]) == pytest.approx(2 / 3, abs=0.06)
    assert min(shift.length for shift in scenario.shifts(0)) >= 20


def test_training_and_test_instances_differ_whatever_the_seed():
    train, test = MixedShifts(), MixedShifts(split="test")
    learning, comparing = ({scenario.shifts(seed) for seed in range(50)} for scenario in (train, test))
    assert len(learning | comparing) == 100
    for seed in range(5):
        assert not torch.equal(train.stream(seed).task(0).order[:5], test.stream(seed).task(0).order[:5])


def test_bits_flip_one_at_a_time_and_targets_follow_a_fixed_network():
    stream, found = tasks("BitFlipping-small-v0", tasks=4, updates=500)
    slow = []
    for task in found:
        bits = task.train.inputs
        assert set(bits.unique().tolist()) == {0.0, 1.0}
        held = bits[:, :15]
        assert (held == held[0]).all()
        assert (bits[:, 15:].mean(0) - 0.5).abs().max() < 0.05
        slow.append(held[0])
    assert [int((a != b).sum()) for a, b in pairwise(slow)] == [1, 1, 1]
    inputs = torch.cat([task.train.inputs for task in found])
    targets = torch.cat([task.train.targets for task in found])[:, 0]
    known = {}
    for row, value in zip(inputs.tolist(), targets.tolist(), strict=True):
        assert known.setdefault(tuple(row), value) == value  # a function of the bits
    assert stream.signature.loss == "squared_error"
    assert stream.batches(0, 2)[1].shape == (2, 16, 1)


def test_targets_of_bits_by_hand():
    """The published network, unit by unit (Dohare et al. 2024)."""
    from plastic_env.scenarios.bit_flipping import _Target

    target = _Target.drawn(np.random.default_rng(5), bits=6, units=9, beta=0.7)
    rng = np.random.default_rng(0)
    raw = []
    for _ in range(40):
        bits = rng.integers(2, size=6)
        total = 0
        for weights, bias, out in zip(target.weights, target.biases, target.outgoing, strict=True):
            off = (6 - sum(weights) + bias) / 2
            total += out * (sum(w * b for w, b in zip(weights, bits, strict=True)) + bias > 0.7 * 7 - off)
        raw.append(total)
        assert target(bits[None])[0, 0] == pytest.approx((total - target.mean) / target.deviation)
    every = np.array([[int(b) for b in f"{i:06b}"] for i in range(64)])
    assert target(every).std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("PermutedDigits-small-v0", {"strength": 1.5}, "strength is 1.5; give a number from 0 to 1"),
        ("PermutedDigits-small-v0", {"images": 5000}, "images is 5000; data set 'digits' has 1437"),
        ("PermutedDigits-small-v0", {"images": 0}, "images is 0"),
        ("PermutedDigits-small-v0", {"batch_size": 2.5}, "whole number"),
        ("MixedShiftsDigits-small-v0", {"shortest": 400}, "can't be the longer"),
        ("MixedShiftsDigits-small-v0", {"kinds": ()}, "give a tuple to draw from"),
        ("MixedShiftsDigits-small-v0", {"strengths": (2.0,)}, "strength is 2.0"),
        ("MixedShiftsDigits-small-v0", {"data": "flat"}, "no images to turn"),
        ("SplitDigits-small-v0", {"tasks": 11}, "10 classes to share"),
        ("BitFlipping-small-v0", {"flipping": 21}, "of 20 bits"),
        ("NoisyLabelDigits-small-v0", {"noise": ()}, "give a tuple"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, settings, message):
    with pytest.raises(InvalidSetting, match=message):
        find(name, **settings).stream(0)


def test_unknown_kinds_and_splits_are_refused_with_the_known_ones():
    with pytest.raises(UnknownName, match="Known: inputs, labels, rotation, return"):
        MixedShifts(kinds=("colour",))
    with pytest.raises(UnknownName, match="Known: train, test"):
        MixedShifts(split="validation")


def test_samples_are_scaled_as_they_are_fetched():
    stored = torch.tensor([[0, 128], [255, 3]], dtype=torch.uint8)
    samples = Samples(stored, torch.tensor([0, 1]), torch.tensor([10.0, 20.0]), torch.tensor([0.5, 2.0]))
    assert samples.fetch(torch.tensor([1, 0])).tolist() == [[122.5, -34.0], [-5.0, 216.0]]
    assert samples.blank.tolist() == [-5.0, -40.0]
    assert stored.tolist() == [[0, 128], [255, 3]]


def test_every_argument_of_an_environment_is_a_setting():
    env = gymnasium.make("plastic_env/PermutedDigits-small-v0", tasks=2, threads=2, colour="parity").unwrapped
    assert env.colour == "parity"
    env = gymnasium.make_vec("plastic_env/PermutedDigits-small-v0", num_envs=2, tasks=2, threads=2)
    assert env.lifetime.population.threads == 2
