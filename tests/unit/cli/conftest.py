from __future__ import annotations

import io
import json
import os
import sqlite3
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from eventresults.cli.entry import run


@dataclass(frozen=True)
class Done:
    """What one command left."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def row(self) -> Any:
        (row,) = self.rows
        return row


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    """Runs commands on a log of its own: `shell("task", "show", "a").code`."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("EVENTRESULTS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EVENTRESULTS_URL", "sqlite:///events.db")

    def call(*arguments: str, stdin: str | bytes = b"") -> Done:
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        capsys.readouterr()
        code = run(arguments)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return call


@pytest.fixture
def appended(shell):
    """A shell whose log holds these tasks: ok (SUCCESS), bad (FAILURE), slow (STARTED), off (REVOKED)."""
    lines = [
        {"kind": "task-sent", "task_id": "ok", "name": "sum", "args": [1, 2], "queue": "q"},
        {"kind": "task-started", "task_id": "ok", "worker": "w@h", "attempt": 1},
        {"kind": "task-succeeded", "task_id": "ok", "result": {"sum": 3}, "runtime": 0.5, "worker": "w@h"},
        {"kind": "task-sent", "task_id": "bad", "name": "div", "args": [1, 0]},
        {"kind": "task-started", "task_id": "bad", "worker": "w@h", "attempt": 1},
        {
            "kind": "task-failed",
            "task_id": "bad",
            "error": {"type": "ZeroDivisionError", "module": "builtins", "message": "division by zero", "args": ["division by zero"]},
            "traceback": "Traceback:\n  line 1\nZeroDivisionError: division by zero",
        },
        {"kind": "task-sent", "task_id": "slow", "name": "sum"},
        {"kind": "task-started", "task_id": "slow", "worker": "w@h", "attempt": 1},
        {"kind": "task-sent", "task_id": "off", "name": "sum"},
        {"kind": "task-revoked", "task_id": "off", "reason": "not wanted"},
    ]
    done = shell("events", "append", stdin="\n".join(json.dumps(line) for line in lines))
    assert done.code == 0, done.err
    with sqlite3.connect("events.db") as database:  # a second between any two, as if they had come one by one
        database.execute("UPDATE records SET log_time = log_time - 1000 * (10 - offset)")
    database.close()
    return shell
