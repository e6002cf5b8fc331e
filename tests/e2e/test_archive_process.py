"""The archiver as operators have it: a process that follows the log, its signals, and its sudden end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from glob import glob
from pathlib import Path

import pytest

from eventresults.archive.archive import Archive
from eventresults.log.sqlite import SqliteLog
from tests.support.archives import append, archive_records, log_records
from tests.support.events import sent, started, succeeded
from tests.support.views import until

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "eventresults archive run": ["-c", "from eventresults.cli import main; main()", "archive", "run"],
    "consumers.archiver": ["-m", "consumers.archiver"],
}
DEADLINE = 30.0


@pytest.fixture
def log(tmp_path):
    with closing(SqliteLog(tmp_path / "events.db")) as log:
        log.info(10)
        yield log


@pytest.fixture
def start(tmp_path):
    """Starts an archiver; whatever still runs is ended with the test."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EVENTRESULTS_")}
    environ = {**inherited, "PYTHONPATH": str(ROOT), "EVENTRESULTS_URL": f"sqlite:///{tmp_path}/events.db"}
    processes = []

    def start(*words, command="eventresults archive run"):
        line = [sys.executable, *COMMANDS[command], "--archive", str(tmp_path / "archive"), *words]
        process = subprocess.Popen(line, env=environ, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def lives(start, count):
    return [make(task_id=f"task-{number}") for number in range(start, start + count) for make in (sent, started, succeeded)]


@pytest.mark.parametrize("command", COMMANDS)
def test_it_follows_the_log_and_archives_what_it_read_when_it_is_told_to_end(log, start, tmp_path, command):
    # given files that are seen every half second
    append(log, lives(0, 5))
    process = start("--every", "0.5s", command=command)
    until((tmp_path / "archive" / "manifest.json").exists)

    # when
    append(log, lives(5, 5))
    until(lambda: sum(end for _, end in Archive(tmp_path / "archive").starts_ends().values()) == 30)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=DEADLINE)

    # then
    assert process.returncode == 0, err
    assert json.loads(out)["events"] == 30
    assert "events, before 0:30" in err
    assert archive_records(Archive(tmp_path / "archive")) == log_records(log)
    assert [path.name for path in (tmp_path / "archive").iterdir() if path.name.startswith(".")] == []


def parquet(place, folders):
    """The files there; pathlib's glob fails where a folder goes while it looks."""
    return glob(f"{folders}/*.parquet", root_dir=place)  # noqa: PTH207


def test_killed_again_and_again_it_loses_nothing_and_doubles_nothing(log, start, tmp_path):
    # given
    append(log, lives(0, 8_000))
    place = tmp_path / "archive"
    moments = {
        "a draft is open": lambda: parquet(place, ".draft-*"),
        "a file is there": lambda: parquet(place, "events/*"),
        "it is in the manifest": (place / "manifest.json").exists,
        "another draft is open": lambda: parquet(place, ".draft-*"),
    }

    # when
    for has_come in moments.values():
        process = start("--once", "--rows", "500")
        until(lambda process=process, has_come=has_come: has_come() or process.poll() is not None)
        process.kill()
        process.communicate()
    process = start("--once", "--rows", "500")
    _, err = process.communicate(timeout=DEADLINE)

    # then
    assert process.returncode == 0, err
    assert archive_records(Archive(tmp_path / "archive")) == log_records(log)
    assert [path.name for path in (tmp_path / "archive").iterdir() if path.name.startswith(".")] == []
