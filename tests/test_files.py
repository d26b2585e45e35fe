"""Files are written whole or not at all, for whom the folder is for."""

import os
import sys

import pytest

from plastic_env.files import write_atomically


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_files_are_open_to_whom_the_umask_says(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a", lambda unfinished: unfinished.write_text("whole"))
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


def test_what_is_synced_is_open_for_writing(tmp_path, monkeypatch):
    """Windows refuses to sync what is open for reading only."""
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.write(handle, b"!")))
    write_atomically(tmp_path / "a", lambda unfinished: unfinished.write_bytes(b"whole"))
    assert synced == [1]
