"""The lock on a file that others may remove."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from eventresults.filelock import Busy, FileLock


@pytest.mark.parametrize("successor", [False, True])
def test_a_lock_on_a_file_that_was_removed_meanwhile_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, successor: bool) -> None:
    # given: between opening the file and locking it, a sweep removes it, and perhaps somebody makes a new one
    file = tmp_path / "LOCK"
    lock = fcntl.lockf

    def lock_too_late(descriptor: int, operation: int) -> None:
        file.unlink()
        if successor:
            (tmp_path / "new").write_text("")
            (tmp_path / "new").rename(file)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "lockf", lock_too_late)
    # when / then
    assert FileLock.take(file) is None
    monkeypatch.undo()
    FileLock.take(file).release()


def test_a_held_lock_is_refused_until_it_is_released(tmp_path: Path) -> None:
    lock = FileLock.take(tmp_path / "LOCK")
    with pytest.raises(Busy):
        FileLock.take(tmp_path / "LOCK")
    assert FileLock.take_if_free(tmp_path / "LOCK") is None
    lock.release()
    lock.release()
    assert lock.released
    again = FileLock.take(tmp_path / "LOCK")
    assert not again.released
    again.release()


def test_two_files_are_two_locks(tmp_path: Path) -> None:
    locks = [FileLock.take(tmp_path / name) for name in ("a", "b")]
    locks[0].release()
    with pytest.raises(Busy):
        FileLock.take(tmp_path / "b")
    locks[1].release()
