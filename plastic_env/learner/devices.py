"""Where and in which precision learners are computed: what can be had here."""

from __future__ import annotations

import torch

from plastic_env.errors import InvalidSetting


def check_device(device: torch.device | str, dtype: torch.dtype) -> None:
    """Raise `InvalidSetting` if torch can't compute there, or not in that precision."""
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise InvalidSetting(f"dtype is {dtype!r}; give torch.float32 or torch.float64.")
    try:
        torch.zeros(1, device=device, dtype=dtype)
    except (RuntimeError, AssertionError, TypeError) as error:  # by what torch was built with
        raise InvalidSetting(
            f"device is {str(device)!r}, which torch can't use here ({str(error).partition('. ')[0]}); give 'cpu'"
            f"{_others()}."
        ) from error


def _others() -> str:
    found = [f"'cuda:{at}'" for at in range(torch.cuda.device_count())]
    return "".join(f" or {name}" for name in [*found, *(["'mps'"] if torch.backends.mps.is_available() else [])])
