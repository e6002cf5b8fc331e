from __future__ import annotations

import io
import json

import pytest

from eventresults.cli.incoming import read_events

MIB = 2**20


def _read(*lines, limit=MIB):
    raw = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return read_events(io.BytesIO(raw), limit)


def test_lines_become_events_in_their_order():
    problems, events = _read(
        {"kind": "task-sent", "task_id": "a", "name": "n", "args": [1]}, b"", {"kind": "group-sized", "group_id": "g", "size": 2}
    )
    assert problems == []
    assert [(event.kind, event.subject) for event in events] == [("task-sent", "a"), ("group-sized", "g")]
    assert events[0].time.tzinfo is not None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "line 2: "),
        (b"\xff", "line 2: "),
        (b"[1]", "where an object is needed"),
        ({"kind": "task-succeded", "task_id": "a"}, "did you mean 'task-succeeded'?"),
        ({"task_id": "a"}, "kind None is unknown"),
        ({"kind": "task-sent"}, "task_id"),
        ({"kind": "task-sent", "task_id": ""}, "id takes 0 bytes"),
        ({"kind": "task-sent", "task_id": "a", "nmae": "x"}, "task-sent has no field nmae"),
        ({"kind": "task-updated", "task_id": "a", "state": "SUCCESS"}, "state"),
        ({"kind": "task-sent", "task_id": "a", "time": "yesterday"}, "time"),
        ({"kind": "task-succeeded", "task_id": "a", "result": "x" * MIB}, "max_value_bytes"),
    ],
)
def test_a_line_that_is_no_event_is_named_with_the_reason(line, said):
    problems, _ = _read({"kind": "task-sent", "task_id": "ok"}, line)
    (problem,) = problems
    assert problem.startswith("line 2: ")
    assert said in problem


def test_every_bad_line_is_told_of():
    problems, _ = _read(b"1", {"kind": "task-sent", "task_id": "ok"}, b"2", b"3")
    assert [problem.partition(":")[0] for problem in problems] == ["line 1", "line 3", "line 4"]
