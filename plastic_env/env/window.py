"""A window that shows images, by whichever of matplotlib's interactive backends there is."""

from __future__ import annotations

import os
import sys

import numpy as np

from plastic_env.env.rendering import RENDER_MODES
from plastic_env.errors import InvalidSetting

ADVICE = (
    "Choose render_mode='rgb_array' for images, or write a film with `plastic-env watch`; where there is a display, "
    "matplotlib needs a toolkit (Tk, Qt, GTK, ...), which the variable MPLBACKEND may name, such as TkAgg."
)


def possible_modes() -> list[str]:
    """The render modes that can be had here: no window without a display."""
    return [mode for mode in RENDER_MODES if mode != "human" or has_display()]


def has_display() -> bool:
    """Whether windows can be opened, as far as the environment tells."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def check_display() -> None:
    """Raise `InvalidSetting` if there can't be a window."""
    if not has_display():
        raise InvalidSetting(f"render_mode is 'human', but there is no display to open a window on. {ADVICE}")


class Window:
    """Shows one image after the other, until somebody closes it.

    Args:
        image: the first one, [height, width, 3] uint8.

    Raises:
        InvalidSetting: no window can be opened.
    """

    def __init__(self, image: np.ndarray) -> None:
        from matplotlib import pyplot as plt
        from matplotlib.backend_bases import FigureManagerBase

        try:
            with plt.ioff(), plt.rc_context({"toolbar": "None"}):
                self.figure = plt.figure(figsize=(image.shape[1] / 100, image.shape[0] / 100), dpi=100)
        except ImportError as error:  # what matplotlib raises for a backend without its toolkit or display
            raise InvalidSetting(f"matplotlib can't open a window ({error}). {ADVICE}") from error
        manager = self.figure.canvas.manager
        if manager is None or type(manager).show is FigureManagerBase.show:  # nothing but the base's: no window
            backend = plt.get_backend()
            plt.close(self.figure)
            raise InvalidSetting(f"matplotlib's backend {backend!r} opens no windows. {ADVICE}")
        ax = self.figure.add_axes((0, 0, 1, 1))
        ax.set_axis_off()
        self.shown = ax.imshow(image)
        self.open = True
        self.figure.canvas.mpl_connect("close_event", self._note_closed)
        manager.set_window_title("plastic_env")
        manager.show()

    def show(self, image: np.ndarray) -> None:
        """Show an image of the first one's size; nothing happens in a window that has been closed."""
        if self.open:
            self.shown.set_data(image)
            self.figure.canvas.draw_idle()
            self.figure.canvas.flush_events()

    def close(self) -> None:
        """Close it, if nobody has done so."""
        from matplotlib import pyplot as plt

        if self.open:
            plt.close(self.figure)

    def _note_closed(self, event: object) -> None:
        self.open = False
