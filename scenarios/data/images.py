"""Images as Pillow, torchvision or Avalanche give them, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

_GREY = ("1", "L", "LA")
_COLOUR = ("P", "RGB", "RGBA", "CMYK", "YCbCr")
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def pixels(image: Any, grey: bool | None = None) -> np.ndarray:
    """An image as [channels, height, width]: of Pillow as bytes, grey or red, green, blue (transparency is dropped), of
    a tensor or an array (with the channels first, or none) as it is.

    grey: whether to make it grey; None leaves that to the image.

    Raises:
        ValueError: no image, or one whose values don't fit into bytes.
    """
    mode = getattr(image, "mode", None)
    if isinstance(mode, str):
        own = is_grey(mode)
        found = np.asarray(image.convert("L" if (own if grey is None else grey) else "RGB"))
        return found[None] if found.ndim == 2 else found.transpose(2, 0, 1)
    found = np.asarray(image)
    if found.ndim not in (2, 3) or found.dtype.kind not in "uif":
        raise ValueError(f"{type(image).__name__} {found.dtype} {found.shape} is no image")
    return found[None] if found.ndim == 2 else found


def is_grey(mode: str) -> bool:
    """Whether Pillow's images of this mode have no colours.

    Raises:
        ValueError: their values don't fit into bytes.
    """
    if mode not in _GREY + _COLOUR:
        raise ValueError(f"it has Pillow's mode {mode!r}, which doesn't fit into bytes; give 8-bit images")
    return mode in _GREY
