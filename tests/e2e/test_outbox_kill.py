"""A worker with an outbox is killed again and again, with its log there or away: whatever it had accepted reaches the log, once in the fold
and in the order of each task."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import pytest

import eventresults
from eventresults.codec.events import decode_event
from eventresults.log.base import Log

pytestmark = pytest.mark.slow
DEADLINE = 60.0
TASKS = 7

#: Prints the number of each fact once it was accepted.
WORKER = """
import sys, eventresults
url, outbox, run, most = sys.argv[1:]
recorder = eventresults.connect(url, outbox=outbox).recorder("worker")
print("ready", flush=True)
for number in range(int(most)):
    recorder.updated(f"t{number % 7}", meta=number, event_id=f"{run}-{number}")
    print(number, flush=True)
print("end", flush=True)
sys.stdin.read()
"""


def work_and_kill(url: str, outbox: Path, run: str, *, facts: int) -> int:
    """Let a worker accept at least so many facts, and kill it in the middle of more; how many it told to have accepted."""
    command = [sys.executable, "-c", WORKER, url, str(outbox), run, str(facts * 10 + 1_000)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(DEADLINE, process.kill)
        watchdog.start()
        told = 0
        try:
            for line in process.stdout:
                if line.strip().isdigit():
                    told = int(line) + 1
                    if told == facts:
                        process.kill()
        finally:
            watchdog.cancel()
            process.kill()
    assert told >= facts
    return told


def facts_of(log: Log) -> list[tuple[str, str, int]]:
    """What the log holds of the workers: event id, task, number."""
    info = log.info(DEADLINE)
    found, positions = [], dict(info.starts)
    with closing(log.reader(positions)) as reader:
        deadline = time.monotonic() + DEADLINE
        while positions != dict(info.ends):
            assert time.monotonic() < deadline, "the log could not be read to its end"
            for partition, poll in reader.poll(1.0).items():
                positions[partition] = poll.next_offset
                for record in poll.records:
                    event = decode_event(record.value, key=record.key)
                    if event.kind == "task-updated":
                        found.append((event.event_id, event.task_id, event.meta))
    return found


def compare(log: Log, ledger: dict[str, int]) -> None:
    """The log holds what the ledger tells (and perhaps the one fact whose acceptance could not be told any more)."""
    lines: dict[tuple[str, str], list[int]] = defaultdict(list)
    seen: dict[str, list[str]] = defaultdict(list)
    for event_id, task, number in facts_of(log):
        run = event_id.split("-")[0]
        if event_id in seen[task]:
            assert event_id in seen[task][-64:], "a repetition that the fold does not know"
            continue
        seen[task].append(event_id)
        lines[run, task].append(number)
    for run, told in ledger.items():
        numbers = sorted(number for (of, _), line in lines.items() if of == run for number in line)
        assert numbers == list(range(len(numbers)))
        assert told <= len(numbers) <= told + 1
    assert all(line == sorted(line) for line in lines.values()), "facts of one task changed places"


def next_recorder(url: str, outbox: Path) -> None:
    with eventresults.connect(url, outbox=outbox) as tracker:
        tracker.recorder("next").sent("next").result(DEADLINE)


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_while_the_log_is_there_loses_nothing_accepted(tmp_path: Path, seed: int):
    # given
    chance = random.Random(seed)
    url, outbox = f"sqlite:///{tmp_path}/events.db", tmp_path / "outbox"
    # when: each worker also adopts what the one before it left
    ledger = {f"r{run}": work_and_kill(url, outbox, f"r{run}", facts=chance.randrange(1, 3_000)) for run in range(4)}
    next_recorder(url, outbox)
    # then
    with eventresults.connect(url) as tracker:
        compare(tracker.log, ledger)
        assert len(tracker.history("t0")) == len({event.event_id for event in tracker.history("t0")})
    assert [each for each in outbox.iterdir() if each.is_dir()] == []


def test_kill_9_while_the_log_is_away_loses_nothing_accepted(tmp_path: Path):
    # given: a log whose folder is not there
    url, outbox = f"sqlite:///{tmp_path}/later/events.db", tmp_path / "outbox"
    ledger = {f"r{run}": work_and_kill(url, outbox, f"r{run}", facts=1_000 + run) for run in range(3)}
    assert len([each for each in outbox.iterdir() if each.is_dir()]) == 3
    # when
    (tmp_path / "later").mkdir()
    next_recorder(url, outbox)
    # then
    with eventresults.connect(url) as tracker:
        compare(tracker.log, ledger)
        ids = [event.event_id for event in tracker.history("t0")]
        assert ids == sorted(ids, key=lambda each: (each.split("-")[0], int(each.split("-")[1])))
    assert [each for each in outbox.iterdir() if each.is_dir()] == []


def test_a_worker_that_ends_while_the_log_is_away_says_where_its_facts_wait(tmp_path: Path):
    url, outbox = f"sqlite:///{tmp_path}/later/events.db", tmp_path / "outbox"
    code = f"import eventresults; eventresults.connect({url!r}, outbox={str(outbox)!r}).recorder().sent('t')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert "1 facts for sqlite:///" in run.stderr
    assert "next recorder" in run.stderr
    (tmp_path / "later").mkdir()
    next_recorder(url, outbox)
    with eventresults.connect(url) as tracker:
        assert tracker.read("t").state == "PENDING"
