"""`python -m benchmarks.takeover [--rows N]`: how long a view of so many rows is without an answer when its owner ends or stops.

One event a task, so that a large view is folded in minutes. A second process waits beside the owner, asks from the moment of the harm on,
and each takeover is measured several times over.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import uuid_utils

import eventresults
from benchmarks.machine import facts as machine_facts
from benchmarks.owner import owner
from eventresults import bootstrap
from eventresults.codec.events import encode_fields
from eventresults.config import load_settings

RESTART = """
import sys, time, eventresults
begun = time.perf_counter()
with eventresults.connect(sys.argv[1], connect_timeout=60) as tracker:
    assert tracker.read("-") is None
    print(time.perf_counter() - begun)
"""
FILLED_AT_ONCE = 100_000


def fill(url: str, rows: int) -> None:
    """One succeeded task after another."""
    log = bootstrap.make_log(load_settings(url))
    writer = log.writer()
    fields = {"source": "bench@host-17.example/4242", "result": {"charged": 1999}, "worker": "payments@host-17.example/4242"}
    for start in range(0, rows, FILLED_AT_ONCE):
        for _ in range(min(FILLED_AT_ONCE, rows - start)):
            task_id = uuid_utils.uuid7().hex
            envelope = {"event_id": uuid_utils.uuid7().hex, "task_id": task_id, "time": datetime.now(UTC), "result_expires": 604800.0}
            last = writer.append(task_id.encode(), encode_fields("task-succeeded", envelope | fields))
        last.result(timeout=120)
    writer.close()
    log.close()


def takeover(url: str, harm: signal.Signals) -> float:
    """Seconds from the harm done to the owner until the process that waited beside it answers, as the owner now."""
    with owner(url) as process, eventresults.connect(url, connect_timeout=60) as other:
        other.read("-")
        begun = time.perf_counter()
        os.kill(process.pid, harm)
        assert other.read("-") is None
        return time.perf_counter() - begun


def restart(url: str) -> float:
    """Seconds from `connect` to the first answer in a new process, the view being nobody's."""
    return float(subprocess.run([sys.executable, "-c", RESTART, url], check=True, stdout=subprocess.PIPE, text=True).stdout)


def row(what: str, seconds: list[float], goal: float) -> None:
    """Print one figure."""
    print(f"{what:<40} median {statistics.median(seconds):6.2f} s   worst {max(seconds):6.2f} s   goal < {goal:g} s", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.takeover", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where a log and a view of an earlier run are, or are to stay")
    options = parser.parse_args()
    for name, value in machine_facts().items():
        print(f"{name:<16} {value}")
    with tempfile.TemporaryDirectory(prefix="eventresults-bench-") as scratch:
        home = options.folder or Path(scratch)
        home.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{home}/events.db"
        if not (home / "events.db").exists():
            begun = time.perf_counter()
            fill(url, options.rows)
            print(f"log filled in {time.perf_counter() - begun:,.0f} s", flush=True)
        begun = time.perf_counter()
        with eventresults.connect(url, read_timeout=7200, connect_timeout=60) as tracker:
            tracker.read("-")
            found = tracker.view_stats()
        folded, size = (sum(one[what] for one in found["partitions"]) for what in ("position", "bytes"))
        print(f"{folded:,} rows, view of {size / 2**20:,.0f} MiB, there after {time.perf_counter() - begun:,.0f} s\n", flush=True)
        rounds = range(options.rounds)
        row("restart to serving", [restart(url) for _ in rounds], 1)
        row("takeover after kill -9", [takeover(url, signal.SIGKILL) for _ in rounds], 2)
        row("takeover of a stopped owner", [takeover(url, signal.SIGSTOP) for _ in rounds], 4)


if __name__ == "__main__":
    main()
