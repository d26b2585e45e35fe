"""Settings as plain values, which identify runs and policies and can be stored anywhere, and as people write them."""

from __future__ import annotations

import ast
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from plastic_env.errors import InvalidSetting


def describe(settings: object) -> Any:
    """Settings as JSON values; dataclasses become objects that name their type. Of any other object, such as a
    function, its type is all that is told."""
    if is_dataclass(settings):
        values = {f.name: describe(getattr(settings, f.name)) for f in fields(settings)}
        return {"type": type(settings).__name__, **values}
    if isinstance(settings, (list, tuple)):
        return [describe(item) for item in settings]
    if isinstance(settings, dict):
        return {str(key): describe(value) for key, value in settings.items()}
    if isinstance(settings, (np.ndarray, np.generic)):
        return settings.tolist()
    if settings is None or isinstance(settings, (bool, int, float, str)):
        return settings
    return {"type": type(settings).__name__}


def named_value(text: str, option: str = "--set") -> tuple[str, Any]:
    """What NAME=VALUE on a command line says; a value that is no Python literal is a string.

    Raises:
        InvalidSetting: it is of another form.
    """
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InvalidSetting(f"{option} {text!r} is no setting; give NAME=VALUE, such as updates=500.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError):  # {[]: 1} is none either
        return name, value
