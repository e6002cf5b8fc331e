"""After a run: that what the processes noted is what the log says. Each violation is one line; none: all is well."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from eventresults.codec.events import decode_event
from tests.e2e.faults.truth import READY, Truth

#: A message that says what to do has one of these in it, or a command of ours.
HINT = re.compile(
    r"\b(ask|append|call|check|choose|close|connect|create|end|find|free|give|leave|make|move|name|open|raise|read|remove|run|see|send|set|"
    r"start|take|try|use|wait|write)\b|eventresults ",
    re.IGNORECASE,
)
Notes = Sequence[list[Any]]


def check_ledger(truth: Truth, notes: Notes, name: str, *, outbox: bool) -> Iterator[str]:
    """Every acknowledged fact lies where the ledger says; with an outbox, every accepted one lies somewhere."""
    ids = {event_id for value in truth.values.values() if (event_id := event_id_of(value))}
    for what, *said in notes:
        if what == "acked":
            _, task, kind, event_id, partition, offset = said
            value = truth.values.get((partition, offset))
            if value is None:
                yield f"{name}: {kind} of {task} was acknowledged at {partition}:{offset}, where there is nothing"
            elif event_id_of(value) != event_id:
                yield f"{name}: {kind} of {task} was acknowledged at {partition}:{offset}, where there is {value[:200]!r}"
        elif what == "accepted" and outbox and said[3] not in ids:
            yield f"{name}: {said[2]} of {said[1]} ({said[3]}) was accepted into the outbox, and is not in the log"
    yield from check_errors(notes, name)


def event_id_of(value: bytes) -> str | None:
    try:
        return decode_event(value).event_id
    except Exception:  # not one of ours
        return None


def check_told(truth: Truth, notes: Notes, name: str, *, survived: bool) -> Iterator[str]:
    """Promises fired once, with the first ready state; listeners were told each change once, in order; reads were linearizable."""
    fired: Counter[str] = Counter()
    told: dict[str, list[int]] = defaultdict(list)
    promised: dict[str, dict[str, int] | None] = {}
    for what, *said in notes:
        match what:
            case "promised":
                promised.update(dict.fromkeys(*said[:1], said[1]))
            case "fired":
                fired[said[0]] += 1
                yield from check_fired(truth, promised, *said, name)
            case "got":
                if said[1] not in {state for _, state, _ in truth.changes.get(said[0], ())}:
                    yield f"{name}: get() of {said[0]} gave {said[1]}, a state that it never had"
            case "told":
                told[said[0]].append(said[1])
            case "read":
                yield from check_read(truth, *said[:6], name)
            case "forked":
                if said[1] != 0 or said[0] > 5.0:
                    yield f"{name}: a forked child ended with {said[1]} after {said[0]:.1f} s"
    for task, count in fired.items():
        if count > 1:
            yield f"{name}: the promise of {task} fired {count} times"
    if survived:
        for task, ends in promised.items():
            if not fired[task] and (due := due_for(truth, task, ends)) is not None:
                yield f"{name}: the promise of {task} never fired, though it is {due}"
    for task in {*promised, *told}:
        yield from check_changes(truth, task, told.get(task, []), promised.get(task), name, survived=survived)
    yield from check_errors(notes, name)


def due_for(truth: Truth, task: str, ends: dict[str, int] | None) -> str | None:
    """The state by which a promise made before these ends must have fired; one made later than a task was forgotten waits for ever."""
    state = (truth.changes.get(task) or [(0, "", False)])[-1][1]
    if state in READY:
        return state
    return None if ends is None else truth.first_ready(task, since=ends.get(str(truth.partitions.get(task, 0)), 0))


def check_fired(truth: Truth, promised: dict[str, Any], task: str, state: str, name: str) -> Iterator[str]:
    states = [found for _, found, _ in truth.changes.get(task, ())]
    since = (promised.get(task) or {}).get(str(truth.partitions.get(task, 0)))
    if state not in states:
        yield f"{name}: the promise of {task} fired with {state}, a state that it never had ({states})"
    elif since is not None and not any(found in READY for o, found, _ in truth.changes[task] if o < since):
        expected = truth.first_ready(task)
        if state != expected:
            yield f"{name}: the promise of {task} fired with {state}; its first ready state was {expected}"


def check_changes(truth: Truth, task: str, told: list[int], ends: dict[str, int] | None, name: str, *, survived: bool) -> Iterator[str]:
    """What was told is a run of the changes, without gap, double or disorder, from the subscription to the end."""
    offsets = [offset for offset, *_ in truth.changes.get(task, ())]
    if told:
        expected = offsets[offsets.index(told[0]) :] if told[0] in offsets else []
        if told != (expected if survived else expected[: len(told)]):
            yield f"{name}: of {task} it was told {told}, and the changes were {offsets}"
            return
    if ends is not None:
        since = ends.get(str(truth.partitions.get(task, 0)), 0)
        due = [offset for offset in offsets if offset >= since]
        if due and survived and not set(due) <= set(told):
            yield f"{name}: of {task}, listened to before {since}, it was told {told}, and the changes were {offsets}"


def check_read(
    truth: Truth, task: str, partition: int, offset: int, last: int | None, state: str | None, freshness: str, name: str
) -> Iterator[str]:
    """The answer holds every fact that was acknowledged before the question, or is a SUCCESS that was served at once."""
    changes = truth.changes.get(task, [])
    before = [change for change in changes if change[0] <= offset]
    if last is None:
        if all(exists for at, _, exists in changes if not before or at >= before[-1][0]):
            yield f"{name}: {task} read as None ({freshness}), though a fact of it was acknowledged at {partition}:{offset}"
    elif before and last < before[-1][0] and not (freshness == "default" and state == "SUCCESS"):
        yield f"{name}: {task} read as of {last} ({freshness}, {state}), though a fact was acknowledged at {partition}:{offset}"
    elif (last, state) not in [(at, found) for at, found, _ in changes]:
        yield f"{name}: {task} read as {state} of {last}, and its changes were {changes}"


def check_errors(notes: Notes, name: str) -> Iterator[str]:
    for what, *said in notes:
        if what != "error":
            continue
        where, kind, ours, message = said
        if not ours:
            yield f"{name}: {where} raised {kind}, which is not one of ours: {message}"
        elif not HINT.search(message):
            yield f"{name}: {where} raised {kind}, which does not say what to do: {message}"
