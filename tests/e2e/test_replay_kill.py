"""A replay that is killed and resumed tells no more and no less."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import eventresults
from tests.support.views import until

TASKS = 1_500
COMMAND = [sys.executable, "-m", "eventresults", "replay", "--url", "sqlite:///source.db", "--into", "sqlite:///target.db"]


def told(path: Path) -> int:
    return json.loads(path.read_text())["told"] if path.exists() else 0


def test_killed_and_resumed_it_tells_no_more_and_no_less(tmp_path: Path):
    # given
    notes = tmp_path / "notes.json"
    with eventresults.connect(f"sqlite:///{tmp_path}/source.db") as tracker:
        recorder = tracker.recorder()
        for number in range(TASKS):
            recorder.sent(f"t{number}", name="work")
            recorder.succeeded(f"t{number}", result=number)

    # when: twice in the midst of it
    for _ in range(2):
        before = told(notes)
        replay = subprocess.Popen(
            [*COMMAND, "--resume", str(notes), "--rate", "2000"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda before=before: told(notes) > before, timeout=60)
        os.kill(replay.pid, signal.SIGKILL)
        replay.wait(30)
    assert 0 < told(notes) < 2 * TASKS
    done = subprocess.run([*COMMAND, "--resume", str(notes)], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True)

    # then
    assert "Going on after" in done.stderr
    assert told(notes) == 2 * TASKS
    with eventresults.connect(f"sqlite:///{tmp_path}/target.db") as tracker:
        metas = tracker.tasks(limit=2 * TASKS)
        assert sorted((meta.replay_of, meta.result, meta.facts) for meta in metas) == sorted((f"t{n}", n, 2) for n in range(TASKS))
