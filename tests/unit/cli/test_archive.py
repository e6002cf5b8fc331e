from __future__ import annotations

import builtins
import sys

import pytest

from eventresults import archive as archives


@pytest.fixture
def archived(appended):
    """A shell whose log is archived in the folder `kept`."""
    assert appended("archive", "run", "--once", "--archive", "kept").code == 0
    return appended


def test_archiving_once_says_what_it_wrote(appended):
    done = appended("archive", "run", "--once", "--archive", "kept")
    assert done.code == 0
    assert (done.row["files"], done.row["events"], done.row["ends"]) == (1, 10, {"0": 10})
    assert len(list(archives.records("kept", 0, 0, 100))) == 10
    assert appended("archive", "run", "--once", "--archive", "kept").row["events"] == 0


def test_an_archive_of_another_log_is_refused(archived):
    assert archived("events", "append", "--url", "sqlite:///other.db", stdin='{"kind":"task-sent","task_id":"x"}').code == 0
    done = archived("archive", "run", "--once", "--archive", "kept", "--url", "sqlite:///other.db")
    assert done.code == 78
    assert "is an archive of 'events', and this log is 'other'" in done.err


def test_an_archive_that_lacks_a_file_is_refused(archived, tmp_path):
    next((tmp_path / "kept").rglob("*.parquet")).unlink()
    done = archived("archive", "run", "--once", "--archive", "kept")
    assert done.code == 1
    assert "it is missing, and the manifest lists it" in done.err


def test_without_the_extra_the_cure_is_told(appended, monkeypatch):
    # given
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow" or name.startswith("eventresults.archive.")]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(f"No module named {name!r}", name="pyarrow")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)

    # when
    done = appended("archive", "run", "--once", "--archive", "kept")

    # then
    assert done.code == 78
    assert "pip install 'eventresults[archive]'" in done.err
