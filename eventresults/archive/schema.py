"""The columns of an archive: one row per record, typed and flat, and beside them what gives the record back byte for byte.

`root_id` is null where the task itself is the root. `state` is the state that the fact sets, `attempt` and `run_seconds` are as the fact
tells them. `args`, `kwargs` and `result` (also an `updated` fact's meta) are JSON as recorded. A row that is no event has a `problem`, and
no `kind`.

Either `rest` is there, the value with what other columns hold cut out of it (the key is then the subject's id), or `key` and `raw` are,
just as recorded. See `eventresults.archive.values`.
"""

from __future__ import annotations

from typing import Any

from eventresults.archive.arrow import pa

_TEXT = pa.string()
_TIME = pa.timestamp("us", "UTC")

SCHEMA: Any = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("log_time", pa.timestamp("ms", "UTC"), nullable=False),
        ("kind", _TEXT),
        ("event_id", _TEXT),
        ("time", _TIME),
        ("source", _TEXT),
        ("observed", pa.bool_()),
        ("task_id", _TEXT),
        ("group_id", _TEXT),
        ("root_id", _TEXT),
        ("parent_id", _TEXT),
        ("previous_id", _TEXT),
        ("name", _TEXT),
        ("queue", _TEXT),
        ("worker", _TEXT),
        ("pid", pa.int64()),
        ("attempt", pa.int64()),
        ("state", _TEXT),
        ("run_seconds", pa.float64()),
        ("error_type", _TEXT),
        ("error_message", _TEXT),
        ("error_fingerprint", _TEXT),
        ("args", _TEXT),
        ("kwargs", _TEXT),
        ("result", _TEXT),
        ("problem", _TEXT),
        ("key", pa.binary()),
        ("rest", pa.binary()),
        ("raw", pa.binary()),
    ]
)

#: Columns of which most values occur often.
REPEATED = [
    *("kind", "source", "name", "queue", "worker", "state", "error_type", "error_message", "error_fingerprint", "args", "kwargs", "result"),
    *("pid", "attempt", "group_id", "problem", "rest"),
]

#: Columns whose values grow, or change little from row to row.
STEADY = dict.fromkeys(("offset", "log_time", "time"), "DELTA_BINARY_PACKED")
