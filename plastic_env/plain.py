"""Settings as plain values, which identify runs and policies and can be stored anywhere."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def describe(settings: object) -> Any:
    """Settings as JSON values; dataclasses become objects that name their type."""
    if is_dataclass(settings):
        values = {f.name: describe(getattr(settings, f.name)) for f in fields(settings)}
        return {"type": type(settings).__name__, **values}
    if isinstance(settings, (list, tuple)):
        return [describe(item) for item in settings]
    if isinstance(settings, dict):
        return {str(key): describe(value) for key, value in settings.items()}
    if isinstance(settings, np.ndarray):
        return settings.tolist()
    if settings is None or isinstance(settings, (bool, int, float, str)):
        return settings
    return {"type": type(settings).__name__}
