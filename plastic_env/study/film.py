"""A film of one life: the learner at equal distances, while it lives just as it would unseen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from plastic_env.env.episode import Outcome, Plan
from plastic_env.env.lifetime import Lifetime
from plastic_env.env.picture import Painter
from plastic_env.env.rendering import COLOURS, frame_of
from plastic_env.errors import FileError, InvalidSetting, check_whole, look_up
from plastic_env.files import write_atomically
from plastic_env.study.living import live
from plastic_env.study.sweep import Run

if TYPE_CHECKING:
    from PIL import Image

Add = Callable[[np.ndarray], None]  # takes the next frame, [height, width, 3] uint8
FASTEST = 50  # frames per second: GIF counts in hundredths of a second, and players slow down shorter frames


@dataclass(frozen=True)
class FilmSettings:
    """How a life is filmed.

    frames: about how many, from the start to the end. every: updates from one frame to the next; None: as `frames`
        says. fps: frames per second. colour: what units are coloured by, one of `COLOURS`.

    Raises:
        InvalidSetting, UnknownName: values outside of these, or more than 50 frames per second.
    """

    frames: int = 200
    every: int | None = None
    fps: float = 12
    colour: str = "age"

    def __post_init__(self) -> None:
        for name, least in (("frames", 2), ("every", 1)):
            value = getattr(self, name)
            if value is not None or name != "every":
                check_whole(name, value, least)
        if isinstance(self.fps, bool) or not isinstance(self.fps, (int, float)) or not 0 < self.fps <= FASTEST:
            raise InvalidSetting(f"fps is {self.fps!r}; give a number above 0, and at most {FASTEST}.")
        look_up(COLOURS, self.colour, "colour")

    def distance(self, updates: int) -> int:
        """Updates from one frame to the next in a stream of so many."""
        return self.every or max(1, round(updates / self.frames))


@dataclass(frozen=True)
class Film:
    """What was filmed.

    frames: how many. taoa: the life's mean online accuracy over the tasks that are scored.
    """

    frames: int
    taoa: float


def film(run: Run, path: Path, settings: FilmSettings | None = None, *, show_progress: bool = True) -> Film:
    """Live the life of a run, and write a film of it: .gif, or .mp4 with the extra `video`.

    A frame is taken before the first update, then after every so many, each after what is edited there, and at the end.

    Raises:
        UnknownName: another ending. FileError: a place that can't be written to. PlasticEnvError: a missing extra, an
            agent that goes wrong. Whatever was at `path` is still there then.
    """
    settings = settings or FilmSettings()
    reel = look_up(REELS, path.suffix.lower(), f"ending of a film in {str(path)!r}:")
    if path.is_dir():
        raise FileError(f"{path} is a folder; give the name of a file in it.")
    shot: list[Film] = []

    def write(unfinished: Path) -> None:
        with reel(unfinished, settings.fps) as add:
            shot.append(_shoot(run, settings, add, show_progress))

    write_atomically(path, write)
    return shot[0]


def _shoot(run: Run, settings: FilmSettings, add: Add, show_progress: bool) -> Film:
    life, title = Lifetime(run.scenario, run.episode), f"{run.method_name} on {run.scenario_name}, seed {run.seed}"
    outcomes: list[Outcome] = []
    painters: list[Painter] = []
    frames = 0

    def look(plan: Plan | None = None, accuracy: np.ndarray | None = None) -> None:
        nonlocal frames
        frame = frame_of(life, outcomes, settings.colour, plan, accuracy)
        if not painters:
            painters.append(Painter(frame, title))
        add(painters[0].paint(frame))
        frames += 1
        bar.update(frame.position - bar.n)

    with tqdm(total=life.updates, unit=" updates", unit_scale=True, disable=not show_progress) as bar:
        life.watch(lambda _, plan, accuracy: look(plan, accuracy), settings.distance(life.updates))
        taoa = 0.0
        for _, lived in live([run], life):
            outcomes.append(lived.outcome)
            taoa += lived.reward
        look()
    return Film(frames, taoa)


@contextmanager
def _gif(path: Path, fps: float) -> Iterator[Add]:
    """A GIF that goes round. Its frames are kept in memory until they are written, a byte per pixel."""
    from PIL import Image

    images: list[Image.Image] = []

    def add(frame: np.ndarray) -> None:
        image = Image.fromarray(frame)
        palette = images[0] if images else _palette(image)
        images.append(image.quantize(palette=palette, dither=Image.Dither.NONE))

    yield add
    images[0].save(path, format="GIF", save_all=True, append_images=images[1:], duration=10 * round(100 / fps), loop=0)


def _palette(image: Image.Image) -> Image.Image:
    """The most frequent colours of a frame that differ visibly: its legend shows all that others have."""
    from PIL import Image

    counts = image.getcolors(image.width * image.height) or []
    chosen = np.zeros((0, 3), dtype=np.int64)
    for colour in (np.array(colour) for _, colour in sorted(counts, reverse=True)):
        if len(chosen) < 256 and (np.abs(chosen - colour).max(1) > 4).all():
            chosen = np.append(chosen, colour[None], 0)
    palette = Image.new("P", (1, 1))
    palette.putpalette(chosen.ravel().tolist())
    return palette


@contextmanager
def _mp4(path: Path, fps: float) -> Iterator[Add]:
    """H.264, written frame by frame by the ffmpeg that imageio-ffmpeg brings."""
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:  # not installed, or without a program for this system
        raise FileError(
            f"Films in .mp4 need imageio-ffmpeg and its program ({error}): pip install 'plastic_env[video]', or choose "
            "the ending .gif."
        ) from error
    sinks: list[Any] = []

    def add(frame: np.ndarray) -> None:
        if not sinks:
            height, width = frame.shape[:2]
            options = {"codec": "libx264", "quality": 8, "output_params": ["-f", "mp4"], "ffmpeg_log_level": "error"}
            sinks.append(imageio_ffmpeg.write_frames(str(path), (width, height), fps=fps, **options))
            sinks[0].send(None)
        sinks[0].send(np.ascontiguousarray(frame))

    try:
        yield add
    finally:
        for sink in sinks:
            sink.close()


REELS = {".gif": _gif, ".mp4": _mp4}
