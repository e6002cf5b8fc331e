"""`eventresults outbox`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eventresults.cli.entry import run
from eventresults.domain.position import Position
from eventresults.log.box import Box
from eventresults.log.frames import framed
from eventresults.log.sqlite import SqliteLog


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/events.db"


def left(folder: Path, url: str, count: int) -> Box:
    box = Box.create(folder, url)
    for number in range(count):
        box.write(framed(number, b"k", b"%d" % number))
    return box


def test_status_tells_the_living_from_the_dead_and_flush_forwards_what_the_dead_left(tmp_path: Path, url: str, capsys):
    # given
    folder = tmp_path / "outbox"
    dead, alive, other = left(folder, url, 3), left(folder, url, 2), left(folder, "kafka://elsewhere/t", 1)
    dead.leave()
    other.leave()
    (folder / "rejected.jsonl").write_text("{}\n")
    # when
    assert run(["outbox", "status", "--outbox", str(folder), "--url", url, "-o", "json"]) == 0
    # then
    shown = capsys.readouterr()
    rows = json.loads(shown.out)
    assert [(row["facts"], row["alive"], row["log"]) for row in rows] == [
        (3, False, url),
        (2, True, url),
        (1, False, "kafka://elsewhere/t"),
    ]
    assert "rejected.jsonl" in shown.err
    # when
    assert run(["outbox", "flush", "--outbox", str(folder), "--url", url, "-o", "json"]) == 0
    # then
    assert json.loads(capsys.readouterr().out) == {"outbox": str(folder), "forwarded": 3, "waiting": 0}
    log = SqliteLog(tmp_path / "events.db")
    assert [log.read(Position(0, offset), 1).value for offset in range(3)] == [b"0", b"1", b"2"]
    log.close()
    alive.remove()


def test_flush_ends_at_its_timeout_and_says_what_waits(tmp_path: Path, capsys):
    url = f"sqlite:///{tmp_path}/missing/events.db"
    left(tmp_path / "outbox", url, 3).leave()
    assert run(["outbox", "flush", "--outbox", str(tmp_path / "outbox"), "--url", url, "--timeout", "300ms", "-o", "json"]) == 124
    shown = capsys.readouterr()
    assert json.loads(shown.out)["waiting"] == 3
    assert "3 facts still wait" in shown.err


def test_without_a_folder_it_asks_for_one(url: str, capsys):
    assert run(["outbox", "status", "--url", url]) == 78
    assert "--outbox" in capsys.readouterr().err
