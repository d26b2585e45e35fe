"""Seeing learners live: pictures, windows, films, and that nothing is changed by looking."""

import sys
import types
from dataclasses import fields, replace

import gymnasium
import numpy as np
import pytest
from helpers import fingerprint
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from plastic_env import Conv, Edit, EpisodeSettings, LearnerSettings, Lifetime
from plastic_env.cli import main
from plastic_env.env import rendering
from plastic_env.env.picture import COLUMNS, PANEL, PARTS, Grid, Painter
from plastic_env.env.rendering import Frame, Row, as_text
from plastic_env.errors import FileError, InvalidSetting
from plastic_env.learner.cohorts import cohort_points, unit_parities
from plastic_env.learner.state import Units
from plastic_env.scenarios import find
from plastic_env.study.film import FilmSettings, film
from plastic_env.study.living import live
from plastic_env.study.sweep import Study

SCENARIO = "PermutedDigits-small-v0"
SMALL = {"tasks": 3, "updates": 20}
VIRIDIS = {0.0: (253, 231, 37), 1.0: (68, 1, 84)}  # its two ends: the youngest, the oldest


def units(slots, cohorts=None):
    slots = np.array(slots)
    zeros = np.zeros(len(slots), dtype=np.int64)
    return Units(slots, slots, zeros if cohorts is None else np.array(cohorts), zeros, zeros)


def frame(first, second=((0, 1), (0, 0), (100.0, 100.0)), **changes):
    """Two layers of 70 and 8 slots at update 100 of 100; each: slots, cohorts, what they are coloured by."""
    rows = [
        Row("dense", slots, units(*which[:2]), np.array(which[2], dtype=float))
        for slots, which in ((70, first), (8, second))
    ]
    made = Frame(rows, "age", 100, np.full(100, 0.5), [50], [], False)
    return replace(made, **changes)


OLD = (list(range(10)), [0] * 10, [100] * 10)
BORN = ([*range(10), 33], [0] * 10 + [1], [100] * 10 + [0])


def test_a_newborn_changes_its_own_cell_and_nothing_else_among_the_units():
    before, after = frame(OLD), frame(BORN)
    painter = Painter(before)
    was, now = painter.paint(before), painter.paint(after)
    down, across = painter.cell(0, 33)
    assert (down.stop - down.start, across.stop - across.start) == (25, 25)
    changed = (was != now).any(-1)
    assert changed[down, across].sum() > 200  # of 22 x 22 pixels, most
    changed[down, across] = False
    assert not changed[painter.top :, 130:].any()
    assert changed[: painter.top].any()  # the words above, and those to the left, count the live units
    assert changed[painter.top : down.stop, :130].any()
    np.testing.assert_array_equal(painter.paint(before), was)  # and once it has died, nothing is left of it


def test_colours_and_marks_of_cells():
    painter = Painter(frame(BORN))
    image = painter.paint(frame(BORN))

    def pixel(slot, x, y):
        down, across = painter.cell(0, slot)
        return tuple(image[down, across][y, x].tolist())

    assert pixel(3, 0, 0) == pixel(3, 11, 11) == VIRIDIS[1.0]  # old, and not marked
    assert pixel(33, 2, 2) == VIRIDIS[0.0]
    assert pixel(33, 10, 10) == (0, 0, 0)  # the dot of the newest cohort
    assert pixel(40, 0, 0) == (216, 216, 216)  # the edge of a dormant slot
    assert pixel(40, 10, 10) == pixel(40, 24, 24) == (255, 255, 255)
    half = frame(([0], [0], [25]))  # the root of a quarter is a half, shade 48 of 0 .. 95
    middle = 255 * np.array(colormaps["viridis"].reversed()(48 / 95)[:3])
    np.testing.assert_array_equal(painter.paint(half)[painter.cell(0, 0)][1, 1], np.round(middle))


def test_colours_of_parity():
    logs = [-5, 0, 5, np.nan]
    seen = frame(([0, 1, 2, 3], [0] * 4, logs), ((0,), (0,), (0,)), colour="parity")
    painter = Painter(seen)
    image = painter.paint(seen)
    found = [tuple(image[painter.cell(0, slot)][1, 1].tolist()) for slot in range(4)]
    grey = [found[1], found[3]]
    assert found[0] == (0x00, 0x72, 0xB2)
    assert found[2] == (0xD5, 0x5E, 0x00)
    assert all(abs(channel - 0xBB) <= 3 for colour in grey for channel in colour)  # of 96 shades none is the middle


@pytest.mark.parametrize(
    ("slots", "columns"),
    [((64, 64), 32), ((512, 512, 256), 64), ((2000, 2000), 128), ((10000,) * 3, 512), ((64,) * 20, 64), ((1,), 32)],
)
def test_every_slot_has_its_own_pixels(slots, columns):
    grid = Grid.of(slots)
    assert grid.columns == columns
    assert grid.pitch == PANEL // columns
    assert columns in COLUMNS
    owners = np.bincount(grid.places.ravel() // PARTS)
    assert (owners[:-1] == grid.pitch**2).all()
    assert len(owners) == sum(slots) + 1
    last = grid.cell(len(slots) - 1, slots[-1] - 1)
    assert last[0].stop <= grid.height
    assert last[1].stop <= PANEL


@pytest.mark.parametrize(("slots", "height"), [((32, 32), 464), ((32,), 416), ((1,) * 19, 912)])
def test_sizes_that_inches_do_not_hold_exactly(slots, height):
    rows = [Row("dense", count, units([0]), np.zeros(1)) for count in slots]
    painter = Painter(frame(OLD, rows=rows))
    assert painter.paint(frame(OLD, rows=rows)).shape == (height, 976, 3)


def test_parity_unit_by_unit():
    mine = units(range(5), [0, 0, 1, 1, 2])
    found = np.exp(unit_parities(mine, np.array([1.0, 3, 4, 2, 5])))
    np.testing.assert_allclose(found, [1 / 2, 3 / 2, 4 / 2, 2 / 2, 5 / 2.5])  # 2 and 2.5: means of those older
    rng = np.random.default_rng(0)
    values = rng.uniform(0.5, 2, 40)
    many = units(range(40), rng.integers(4, size=40))
    for point in cohort_points(0, many, 9, values, values):
        ratios = np.exp(unit_parities(many, values))[many.cohort == point.cohort]
        assert np.log(ratios.mean()) == pytest.approx(point.log_gradient_parity)


@pytest.mark.parametrize(
    "learner",
    [
        LearnerSettings(live=0.5),
        LearnerSettings((Conv(6), Conv(40), 300), live=0.3, norm="batch"),
        LearnerSettings((Conv(6, editable=False), 700), live=0.3),
    ],
    ids=["dense", "conv", "wide"],
)
@pytest.mark.parametrize("colour", ["age", "parity"])
def test_images_keep_their_size(learner, colour):
    env = gymnasium.make(f"plastic_env/{SCENARIO}", **SMALL, learner=learner, render_mode="rgb_array", colour=colour)
    env.reset(seed=0)
    images, over = [env.render()], False
    while not over:
        _, _, over, _, _ = env.step(env.unwrapped.episode.action(grow=1, recycle=1, prune=1, budget=20))
        images.append(env.render())
    height = images[0].shape[0]
    assert height % 16 == 0
    assert {(image.shape, image.dtype) for image in images} == {((height, 976, 3), np.dtype(np.uint8))}
    assert len({image.tobytes() for image in images}) == len(images) == 4
    np.testing.assert_array_equal(env.render(), images[-1])


def test_rendering_a_learner_that_diverged_or_was_loaded(tmp_path):
    from plastic_env import SGD

    settings = {**SMALL, "render_mode": "rgb_array", "colour": "parity"}
    env = gymnasium.make(f"plastic_env/{SCENARIO}", **settings, learner=LearnerSettings(optimizer=SGD(1e12))).unwrapped
    env.reset(seed=0)
    assert env.step(env.episode.action(budget=5))[-1]["diverged"]
    env.render()
    env.render_mode = "ansi"
    assert "diverged" in env.render()
    env = gymnasium.make(f"plastic_env/{SCENARIO}", **settings).unwrapped
    env.reset(seed=0)
    env.step(env.episode.action(budget=20))
    env.save(tmp_path / "life")
    env.load(tmp_path / "life")
    assert "accuracy" not in rendering.headline(rendering.frame_of(env.lifetime, env.outcomes))
    env.render()
    env.step(env.episode.action(budget=5))
    seen = rendering.frame_of(env.lifetime, env.outcomes)
    assert np.isnan(seen.accuracy).tolist() == [True] * 20 + [False] * 5
    env.render()


def test_words():
    edits = [(20, Edit(grow=(3, 0))), (50, Edit(recycle=(8, 2), prune=(1, 0), rewind="initial"))]
    text = as_text(frame(BORN, edits=edits)).splitlines()
    assert text[0] == (
        "update 100 of 100  |  task 2  |  live 11 + 2  |  online accuracy 0.50  |  "
        "last edit at update 50: prune 1 + 0, recycle 8 + 2, rewind (initial)"
    )
    assert text[1] == f"layer 0 [{'#' * 6}{'.' * 34}] 11 of 70 live, 1 newest"  # 40 / 70 of one is less than half
    hidden = as_text(frame(BORN, shifts=None, diverged=True))
    assert "task" not in hidden
    assert "diverged  |  not edited so far" in hidden
    many = frame(BORN)
    many = replace(many, rows=many.rows * 3)
    assert "live 39 in 6 layers" in as_text(many)


def test_hidden_boundaries_are_not_drawn():
    env = gymnasium.make(f"plastic_env/{SCENARIO}", **SMALL, boundaries="hidden").unwrapped
    env.reset(seed=0)
    env.step(env.episode.action(budget=50))
    assert rendering.frame_of(env.lifetime, env.outcomes).shifts is None
    env = gymnasium.make(f"plastic_env/{SCENARIO}", **SMALL).unwrapped
    env.reset(seed=0)
    env.step(env.episode.action(budget=20))
    assert rendering.frame_of(env.lifetime, env.outcomes).shifts == [20]  # those to come are not told


def flat(value):
    """Everything in an outcome, as bytes."""
    if hasattr(value, "__dataclass_fields__"):
        return [part for f in fields(value) for part in flat(getattr(value, f.name))]
    if isinstance(value, (list, tuple)):
        return [part for item in value for part in flat(item)]
    return [value.tobytes() if isinstance(value, np.ndarray) else repr(value)]


def lived(method, every=None, changes=(("tasks", 3),), colour="parity"):
    """All that came of a life, watched or not, and where it was looked at."""
    run = Study(SCENARIO, (method,), (5,), changes).groups()[0][0]
    life, outcomes, looks = Lifetime(run.scenario, run.episode), [], []

    def look(member, plan, accuracy):
        seen = rendering.frame_of(life, outcomes, colour, plan, accuracy)
        looks.append((seen.position, seen))

    if every:
        life.watch(look, every)
    for _, decision in live([run], life):
        outcomes.append(decision.outcome)
    return flat(outcomes), outcomes, looks


@pytest.mark.parametrize("method", ["recycle", "grow", "cbp", "shrink_perturb", "dropout", "rsl", "upgd"])
def test_a_watched_life_is_the_life_unwatched(method):
    alone, outcomes, _ = lived(method)
    watched, _, looks = lived(method, every=7)
    assert watched == alone
    accuracy = np.concatenate([outcome.accuracy for outcome in outcomes])
    assert [at for at, _ in looks] == list(range(0, 300, 7))
    for at, seen in looks:
        np.testing.assert_array_equal(seen.accuracy, accuracy[:at])


def test_newborns_are_seen_at_their_birth():
    _, outcomes, looks = lived("recycle", every=100, colour="age")
    first, second, third = (seen for _, seen in looks)
    assert not first.rows[0].newest.any()
    for at, seen in ((100, second), (200, third)):
        row = seen.rows[0]
        assert row.newest.sum() == 8
        assert (row.values[row.newest] == 0).all()
        assert seen.edits[-1] == (at, outcomes[at // 100].plan.edit)
        assert seen.shifts[-1] == at
    assert second.rows[0].values.tolist().count(100) == 56


def test_a_glance_changes_nothing_and_costs_nothing():
    life = Lifetime(find(SCENARIO, **SMALL), EpisodeSettings(LearnerSettings(live=0.5)), 2)
    life.begin({0: np.random.default_rng(0), 1: np.random.default_rng(1)})
    before, spent = fingerprint(life.population), life.ledger.total.copy()
    assert life.glance(1).members == [1]
    assert fingerprint(life.population) == before
    np.testing.assert_array_equal(life.ledger.total, spent)
    with pytest.raises(InvalidSetting, match="every is 0"):
        life.watch(lambda *_: None, 0)


def run_of(method="recycle", **changes):
    return Study(SCENARIO, (method,), (5,), tuple({**SMALL, **changes}.items())).groups()[0][0]


def test_gif(tmp_path):
    made = film(run_of(), tmp_path / "deep" / "life.gif", FilmSettings(every=7, fps=20), show_progress=False)
    assert made.frames == 10  # at 0, 7, ..., 56, and at the end, 60
    _, outcomes, _ = lived("recycle", changes=tuple(SMALL.items()))
    assert made.taoa == pytest.approx(np.concatenate([outcome.accuracy for outcome in outcomes]).mean())
    with Image.open(tmp_path / "deep" / "life.gif") as picture:
        assert picture.n_frames == 10
        assert picture.size == (976, 528)
        assert picture.info["duration"] == 50
        colours = set()
        for at in range(10):
            picture.seek(at)
            colours |= {colour for _, colour in picture.convert("RGB").getcolors(2**20)}
    wanted = np.array([(255, 255, 255), (0, 0, 0), *VIRIDIS.values(), (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)])
    away = np.abs(wanted[:, None] - np.array(sorted(colours))).max(-1).min(-1)
    assert away.max() <= 4
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["life.gif"]


def test_mp4(tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "life.mp4"
    command = ["watch", SCENARIO, "--method", "grow", "--set", "tasks=3", "updates=20", "--out", str(path)]
    assert main([*command, "--frames", "12", "--fps", "5", "--colour", "parity"]) == 0
    assert imageio_ffmpeg.count_frames_and_secs(str(path)) == (13, pytest.approx(13 / 5, abs=0.01))
    frames = imageio_ffmpeg.read_frames(str(path))
    assert next(frames)["source_size"] == (976, 528)
    image = np.frombuffer(next(frames), np.uint8).reshape(528, 976, 3)
    assert image[0].min() > 250  # white
    frames.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "recycel", "--out", "life.gif"], "Did you mean 'recycle'"),
        (["--method", "recycle", "--out", "life.webm"], "Known: .gif, .mp4"),
        (["--method", "recycle", "--out", "life"], "Known: .gif, .mp4"),
        (["--method", "recycle", "--out", "file/life.gif"], "can't be written"),
        (["--method", "recycle", "--out", "folder.gif"], "is a folder"),
        (["--method", "recycle", "--out", "life.gif", "--colour", "size"], "Known: age, parity"),
        (["--method", "recycle", "--out", "life.gif", "--fps", "200"], "at most 50"),
        (["--method", "recycle", "--out", "life.gif", "--every", "0"], "every is 0"),
        (["--method", "recycle", "--out", "life.gif", "--frames", "1"], "frames is 1"),
        (["--method", "recycle", "--out", "life.gif", "--seed", "-1"], "--seed is -1"),
        (["--method", "recycle", "--out", "life.gif", "--set", "taks=3"], "Did you mean 'tasks'"),
    ],
)
def test_mistakes_are_named_and_leave_no_files(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.gif").mkdir()
    assert main(["watch", SCENARIO, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.gif"]


def test_a_film_that_fails_leaves_the_former_one(tmp_path, monkeypatch):
    path = tmp_path / "life.mp4"
    path.write_text("the former one")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)  # as if it were not installed
    with pytest.raises(FileError, match=r"plastic_env\[video\]'.*\.gif"):
        film(run_of(), path, show_progress=False)
    assert path.read_text() == "the former one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def screen(monkeypatch):
    """A display, as far as anybody can tell, and a backend that keeps what its windows show."""
    shown = []

    class Manager(FigureManagerBase):
        def show(self):
            pass

    class Canvas(FigureCanvasAgg):
        manager_class = Manager

        def draw_idle(self):
            self.draw()
            shown.append(np.array(self.buffer_rgba())[..., :3])

    backend = types.ModuleType("screen")
    backend.FigureCanvas, backend.FigureManager = Canvas, Manager
    monkeypatch.setitem(sys.modules, "screen", backend)
    monkeypatch.setattr("plastic_env.env.window.has_display", lambda: True)
    plt.switch_backend("module://screen")
    yield shown
    plt.close("all")
    plt.switch_backend("agg")


def test_a_window_follows_the_life(screen):
    env = gymnasium.make(f"plastic_env/{SCENARIO}", tasks=2, updates=4, render_mode="human").unwrapped
    assert env.metadata["render_modes"] == ["ansi", "rgb_array", "human"]
    env.reset(seed=0)
    env.step(env.episode.action(recycle=8))
    assert len(screen) == 1 + 4 + 1  # after reset, before each of four updates, after the step
    assert len(plt.get_fignums()) == 1
    env.render_mode = "rgb_array"
    image = env.render()
    assert screen[-1].shape == image.shape
    assert np.abs(screen[-1].astype(int) - image).mean() < 2  # the same but for resampling
    env.render_mode = "human"
    env._window._note_closed(None)  # somebody closes it
    assert env.render() is None
    assert len(screen) == 6
    env.close()
    env.close()


def test_no_window_without_a_display(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(InvalidSetting, match=r"no display.*rgb_array"):
        gymnasium.make(f"plastic_env/{SCENARIO}", render_mode="human")
    assert gymnasium.make(f"plastic_env/{SCENARIO}").metadata["render_modes"] == ["ansi", "rgb_array"]
    monkeypatch.setenv("DISPLAY", ":0")
    plt.switch_backend("agg")
    env = gymnasium.make(f"plastic_env/{SCENARIO}", render_mode="human")
    with pytest.raises(InvalidSetting, match="'agg' opens no windows"):
        env.reset(seed=0)
    assert not plt.get_fignums()


def test_videos_by_gymnasium(tmp_path):
    pytest.importorskip("moviepy")
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    env = gymnasium.make(f"plastic_env/{SCENARIO}", **SMALL, render_mode="rgb_array")
    env = gymnasium.wrappers.RecordVideo(env, str(tmp_path / "videos"))
    env.reset(seed=0)
    for _ in range(3):
        env.step(env.unwrapped.episode.action())
    env.close()
    (video,) = tmp_path.glob("videos/*.mp4")
    assert imageio_ffmpeg.count_frames_and_secs(str(video)) == (4, pytest.approx(1.0, abs=0.01))
