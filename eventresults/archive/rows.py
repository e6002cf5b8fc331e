"""Records to rows, and back. What a row holds is a function of its record alone, so that anybody can make it again and compare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count, repeat
from operator import attrgetter
from typing import Any

import msgspec

from eventresults.archive import shapes
from eventresults.archive.arrow import pa, pc
from eventresults.archive.fingerprint import fingerprint
from eventresults.archive.schema import SCHEMA
from eventresults.archive.values import MARKS, cut, is_canonical, restore
from eventresults.codec.events import decode
from eventresults.codec.readable import kind_of
from eventresults.codec.shapes import from_text
from eventresults.codec.tags import printable
from eventresults.domain.events import UnknownEvent
from eventresults.domain.position import Position
from eventresults.errors import EventCorrupt
from eventresults.log.base import Record

#: What a fact makes of its task; `updated` says it itself.
_STATES = {
    "task-sent": "PENDING",
    "task-received": "RECEIVED",
    "task-started": "STARTED",
    "task-succeeded": "SUCCESS",
    "task-failed": "FAILURE",
    "task-retried": "RETRY",
    "task-revoked": "REVOKED",
    "task-rejected": "REJECTED",
}
_NOTHING = (b"", b"null")
_EMPTY = SCHEMA.empty_table()
_FIELD = {field.name: field for field in SCHEMA}
#: Columns that are fields of events, under the same name.
_FIELDS = tuple("source observed task_id group_id root_id parent_id previous_id name queue worker pid attempt".split())
_PAYLOADS = ("args", "kwargs", "result")
_PLACE = ("partition", "offset", "log_time")


def rows_of(partition: int, records: Sequence[Record]) -> Any:
    """A table of `SCHEMA` with one row for each record, in their order."""
    groups: defaultdict[type, list[tuple[int, Record, Any]]] = defaultdict(list)
    others: list[tuple[int, Record, Any]] = []
    for row in zip(count(), records, map(shapes.read, records), strict=False):
        if row[2] is None:
            others.append(row)
        else:
            groups[type(row[2])].append(row)
    tables = [_table(partition, group, _columns(shapes.kind_of(cls), group)) for cls, group in groups.items()]
    if others:
        tables.append(_table(partition, others, _judged(partition, others)))
    order = [row[0] for group in (*groups.values(), others) for row in group]
    whole = pa.concat_tables([_EMPTY, *tables], promote_options="default")
    return whole if len(tables) <= 1 else whole.take(pc.sort_indices(pa.array(order, pa.int64())))


def records_of(table: Any) -> Iterator[Record]:
    """The records that these rows were made of. The table needs the columns that `NEEDED` names."""
    for batch in table.to_batches(max_chunksize=CHUNK):
        size = batch.num_rows
        if not size:
            continue
        # What is null in every row takes time to say so row by row.
        told = {name: column for name in NEEDED if (column := batch.column(name)).null_count < size}
        if "time" in told:
            told["time"] = pc.strftime(told["time"], "%Y-%m-%dT%H:%M:%SZ")
        told["log_time"] = told["log_time"].cast(pa.int64())
        columns = {name: column.to_pylist() for name, column in told.items()}
        nothing = [None] * size
        if "rest" in columns:
            values = restore([rest or b"" for rest in columns["rest"]], columns)
            columns |= _cut_out(columns, values, nothing)
        yield from map(_record, zip(*(columns.get(name, nothing) for name in ("offset", "log_time", "key", "raw")), strict=True))


_record: Callable[[Iterable[Any]], Record] = partial(tuple.__new__, Record)  # Record._make, at half its price


def _cut_out(columns: dict[str, list[Any]], values: list[bytes], nothing: list[None]) -> dict[str, list[Any]]:
    """Keys and values of rows that keep no more than a rest; of the others, as they are."""
    kinds, tasks, groups = (columns.get(name, nothing) for name in ("kind", "task_id", "group_id"))
    kept = zip(columns["rest"], kinds, tasks, groups, columns.get("key", nothing), strict=True)
    keys = [key if rest is None else (group if kind.startswith("group-") else task).encode() for rest, kind, task, group, key in kept]
    raws = columns.get("raw", nothing)
    return {"key": keys, "raw": [raw if rest is None else value for rest, value, raw in zip(columns["rest"], values, raws, strict=True)]}


#: The columns that a record is made of.
NEEDED = ("offset", "log_time", "kind", "key", "rest", "raw", *MARKS)
#: So many rows at a time: what fits into the processor's cache is done in two thirds of the time.
CHUNK = 2_000


def _columns(kind: str, group: Sequence[tuple[int, Record, Any]]) -> dict[str, list[Any]]:
    """The columns that this kind has, of records in our own form."""
    has = shapes.columns_of(kind)
    facts = [row[2] for row in group]

    def get(name: str) -> list[Any]:
        return list(map(attrgetter(name), facts))

    texts = get("time")
    columns: dict[str, list[Any]] = {"kind": [kind] * len(facts), "event_id": get("event_id"), "time": list(map(from_text, texts))}
    columns |= {name: get(name) for name in _FIELDS if name in has}
    columns |= {name: list(map(_payload, get(name))) for name in _PAYLOADS if name in has}
    if "meta" in has:
        columns["result"] = list(map(_payload, get("meta")))
    if "runtime" in has:
        columns["run_seconds"] = get("runtime")
    if "error" in has:
        _add_errors(columns, list(zip(get("error"), get("traceback") if "traceback" in has else repeat(None), strict=False)))
    columns["state"] = get("state") if "state" in has else [_STATES.get(kind)] * len(facts)
    values: list[bytes] = [row[1].value for row in group]  # type: ignore[misc] # one that was read is there
    if "root_id" in columns:
        columns["root_id"] = [None if root == own else root for root, own in zip(columns["root_id"], columns["task_id"], strict=True)]
    columns["rest"] = cut(values, columns | {"time": [text if is_canonical(text) else None for text in texts]})
    return columns


def _judged(partition: int, others: Sequence[tuple[int, Record, Any]]) -> dict[str, list[Any]]:
    """All columns of records in any other form, as the codec reads them; they are kept as they are."""
    columns: defaultdict[str, list[Any]] = defaultdict(list)
    for _, record, _ in others:
        row: dict[str, Any] = {"key": record.key, "raw": record.value}
        try:
            row |= told(decode(record.value, key=record.key, position=Position(partition, record.offset)).event)
        except EventCorrupt as error:
            row["problem"] = printable(error.facts["reason"])
        for name in SCHEMA.names:
            if name not in _PLACE:
                columns[name].append(row.get(name))
    return columns


def told(event: Any) -> dict[str, Any]:
    """What a row tells of an event that the codec has read."""
    kind = kind_of(event)
    row: dict[str, Any] = {
        "kind": kind,
        "event_id": event.event_id,
        "time": event.time,
        "state": getattr(event, "state", _STATES.get(kind)),
    }
    if isinstance(event, UnknownEvent):
        given = event.fields
        row["task_id"] = given.get("task_id", None if "group_id" in given else event.subject)
        row["group_id"] = given.get("group_id")
        return row | {"source": event.source, "observed": event.observed}
    row |= {name: getattr(event, name) for name in _FIELDS if hasattr(event, name)}
    if row.get("root_id") == row.get("task_id"):
        row["root_id"] = None
    row |= {name: _json(getattr(event, name)) for name in _PAYLOADS if hasattr(event, name)}
    if hasattr(event, "meta"):
        row["result"] = _json(event.meta)
    row["run_seconds"] = getattr(event, "runtime", None)
    if hasattr(event, "error"):
        columns: dict[str, list[Any]] = {}
        _add_errors(columns, [(event.error, getattr(event, "traceback", None))])
        row |= {name: column[0] for name, column in columns.items()}
    return row


def _add_errors(columns: dict[str, list[Any]], errors: list[tuple[dict[str, Any] | None, str | None]]) -> None:
    for name in ("error_type", "error_message", "error_fingerprint"):
        columns[name] = []
    for error, traceback in errors:
        kind, message = (None, None) if error is None else (_text(error.get("type")), _text(error.get("message")))
        columns["error_type"].append(kind)
        columns["error_message"].append(message)
        columns["error_fingerprint"].append(None if error is None else fingerprint(kind, message, traceback))


def _text(value: Any) -> str | None:
    return printable(value) if isinstance(value, str) else None


def _payload(raw: msgspec.Raw) -> bytes | None:
    text = bytes(raw)
    return None if text in _NOTHING else text


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _table(partition: int, group: Sequence[tuple[int, Record, Any]], columns: dict[str, Any]) -> Any:
    """A table of the columns that this group has."""
    size = len(group)
    columns["partition"] = [partition] * size
    columns["offset"] = [row[1].offset for row in group]
    columns["log_time"] = pa.array([row[1].log_time for row in group], pa.int64()).cast(_FIELD["log_time"].type)
    return pa.table(
        [pa.array(values, _FIELD[name].type) if type(values) is list else values for name, values in columns.items()],
        schema=pa.schema([_FIELD[name] for name in columns]),
    )
