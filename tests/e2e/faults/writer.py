"""A process that appends lives of tasks and keeps a ledger: of each fact that it was meant, accepted, and where it was acknowledged.

`python -m tests.e2e.faults.writer FOLDER NAME SEED URL SETTINGS`. It ends, all lives told to their end, when its standard input does.

The ledger's lines: ["meant" | "accepted", number, task, kind, event id], ["acked", number, task, kind, event id, partition, offset],
["error", where, type, whether it is ours, message], ["end"]. A task is NAME-N; N grows from 0.
"""

from __future__ import annotations

import json
import random
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import eventresults
from eventresults.errors import EventResultsError
from tests.e2e.faults.lines import Notes

IN_FLIGHT = 12
#: A life: the facts of one task, in order. "again" is the fact before, repeated.
Life = Iterator[tuple[str, dict[str, Any]]]


def life(chance: random.Random) -> Life:
    """The facts of one task, most of which end well."""
    yield "sent", {"name": chance.choice(["add", "mul"])}
    yield "started", {}
    for number in range(chance.choice([0, 0, 1, 2])):
        yield "updated", {"state": "STEP", "meta": number}
    if chance.random() < 0.1:
        yield "again", {}
    fate = chance.random()
    if fate < 0.6:
        yield "succeeded", {"result": chance.randrange(1000)}
    elif fate < 0.75:
        yield "failed", {"error": ValueError("on purpose")}
        if chance.random() < 0.5:
            yield "succeeded", {"result": "after all"}
    elif fate < 0.9:
        yield "retried", {"error": ValueError("once more")}
        yield "started", {}
        yield "succeeded", {"result": "at last"}
    else:
        yield "revoked", {"reason": "on purpose"}
    if chance.random() < 0.1:
        yield "again", {}
    if chance.random() < 0.1:
        yield "forgotten", {}


def main(folder: Path, name: str, seed: int, url: str, settings: dict[str, Any]) -> None:
    chance = random.Random(seed)
    note = Notes(folder / f"ledger-{name}")
    rate = settings.pop("rate", 200)
    tracker = eventresults.connect(url, own="never", **settings)
    recorder = tracker.recorder(name)
    lives: list[tuple[str, Life, list[tuple[str, dict[str, Any]]]]] = []
    born = number = 0
    while True:
        ending = bool(select.select([sys.stdin], [], [], 0)[0])
        while len(lives) < IN_FLIGHT and not ending:
            lives.append((f"{name}-{born}", life(chance), []))
            born += 1
        if not lives:
            break
        task, facts, said = one = chance.choice(lives)
        kind, fields = next(facts, (None, {}))
        if kind is None:
            lives.remove(one)
            continue
        if kind == "again":
            kind, fields = said[-1]
        else:
            fields["event_id"] = f"{name}:{number}"
        said.append((kind, fields))
        number += 1
        tell(note, recorder, number, task, kind, fields)
        if not ending:
            time.sleep(chance.expovariate(rate))
    if not tracker.flush(30):
        note("error", "flush", "timeout", False, "flush took over 30 s")
    tracker.close()
    note("end")


def tell(note: Notes, recorder: eventresults.Recorder, number: int, task: str, kind: str, fields: dict[str, Any]) -> None:
    """Append one fact, and have the ledger say what became of it."""
    said = (number, task, kind, fields["event_id"])
    note("meant", *said)
    try:
        appended = getattr(recorder, kind)(task, **fields)
    except Exception as error:
        note("error", f"append {kind}", type(error).__name__, isinstance(error, EventResultsError), str(error))
        return
    note("accepted", *said)

    def done(future: Any) -> None:
        error = future.exception()
        if error is None:
            note("acked", *said, *future.result())
        else:
            note("error", f"future {kind}", type(error).__name__, isinstance(error, EventResultsError), str(error))

    appended.add_done_callback(done)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4], json.loads(sys.argv[5]))
