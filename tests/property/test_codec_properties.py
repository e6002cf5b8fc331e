"""Whatever is written reads back as it was; whatever is read is an event, or `EventCorrupt`, and fits into a row."""

import json
import math
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from eventresults.codec import events, foreign, rows
from eventresults.codec.errors import decode_error, encode_error
from eventresults.codec.events import decode, encode_checked, encode_event, encode_fields, validate_fields
from eventresults.codec.shapes import PAYLOADS, SHAPES
from eventresults.codec.upcast import UPCASTERS
from eventresults.codec.values import check_wire, decode_value, encode_value
from eventresults.domain.events import EVENT_CLASSES, Event, GroupFact, UnknownEvent
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from eventresults.errors import EventCorrupt, ValueNotEncodable, ViewCorrupt
from tests.golden import corpus

# --- what there is to write

any_text = st.text(st.characters(exclude_categories=()), max_size=20)
text = st.text(max_size=20)
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
hashable_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**80), 2**80),
    st.floats(),
    any_text,
    st.binary(max_size=20),
    st.datetimes(timezones=st.none() | offsets),
    st.dates(),
    st.times(timezones=st.none() | offsets),
    st.timedeltas(),
    st.decimals().filter(lambda number: not number.is_snan()),  # which alone cannot be hashed
    st.uuids(),
)
hashables = st.recursive(
    hashable_leaves, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3), max_leaves=5
)
tag_names = st.sampled_from(["$type", "value", "content_type", "encoding", "body"])
values = st.recursive(
    hashables,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.sets(hashables, max_size=4),
        st.dictionaries(tag_names | any_text, inner, max_size=4),
        st.dictionaries(hashables, inner, max_size=4),
    ),
    max_leaves=20,
)
tags = st.sampled_from(
    ["tuple", "set", "frozenset", "dict", "bytes", "str", "int", "float", "datetime", "date", "time", "timedelta", "decimal", "uuid", "x"]
)


def json_values(leaf_text):
    """Anything a JSON parser may give, with many things that look like our tags."""
    leaves = st.none() | st.booleans() | st.integers() | st.integers(-(2**80), 2**80) | st.floats() | leaf_text | tags
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(leaf_text | tag_names, inner, max_size=4),
            st.fixed_dictionaries({"$type": tags, "value": inner}),
            st.fixed_dictionaries({"content_type": inner, "encoding": inner, "body": inner}),
        ),
        max_leaves=20,
    )


def canonical(value: Any) -> Any:
    """Equal for equal values of equal types, NaN and -0.0 included."""
    if isinstance(value, dict):
        return ("dict", sorted((repr(canonical(key)), repr(canonical(item))) for key, item in value.items()))
    if isinstance(value, set | frozenset):
        return (type(value).__name__, sorted(repr(canonical(item)) for item in value))
    if isinstance(value, list | tuple):
        return (type(value).__name__, [canonical(item) for item in value])
    return (type(value).__name__, repr(value) if not isinstance(value, datetime | time) else value.isoformat())


@given(values)
def test_a_value_survives_the_wire_with_its_types(value):
    wire = encode_value(value)
    check_wire(wire)
    sent = json.dumps(wire, allow_nan=False).encode()
    assert canonical(decode_value(json.loads(sent))) == canonical(value)


@given(json_values(any_text))
@example({"$type": "dict", "value": [[[], 1]]})
@example({"$type": "decimal", "value": "sNaN"})
@example({"$type": "set", "value": [{"$type": "decimal", "value": "sNaN"}]})
def test_reading_a_value_never_fails(wire):
    decode_value(wire)


# --- events

times = st.datetimes(timezones=st.just(UTC))
ids = st.text(min_size=1, max_size=20)
wires = values.map(encode_value)
integers = st.integers(0, 2**63 - 1)
seconds = st.floats(0, 1e12) | st.integers(0, 10**6)
BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "event_id": ids,
    "task_id": ids,
    "group_id": ids,
    "time": times,
    "until": times,
    "size": integers,
    "by": text,
    "key_id": text,
    "state": st.sampled_from(["PROGRESS", "SUCCESSFUL", "ß"]),
    "observed": st.booleans(),
    "terminate": st.booleans(),
}
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("args", "kwargs", "result", "results", "meta", "body", "structure"), wires),
    **dict.fromkeys(("eta", "expires", "when"), times),
    **dict.fromkeys(("attempt", "retries", "pid", "group_index"), integers),
    **dict.fromkeys(("runtime", "result_expires"), seconds),
    **dict.fromkeys(("ignore_result", "terminated", "requeue"), st.booleans()),
    "children": st.lists(wires, max_size=3),
    "error": st.dictionaries(text, wires, max_size=3),
    "request": st.dictionaries(text, wires, max_size=3),
    "stamps": st.dictionaries(text, st.lists(wires, max_size=3), max_size=3),
}


def of_class(cls: type[Event]) -> st.SearchStrategy[Any]:
    given_fields = {name: BY_NAME.get(name, st.none() | OPTIONAL.get(name, text)) for name in cls.__struct_fields__}
    if cls.kind == "group-part":
        given_fields["task_id"] = ids
    return st.builds(cls, **given_fields)


some_events = st.one_of([of_class(cls) for cls in EVENT_CLASSES.values()])


@given(some_events)
def test_an_event_reads_as_it_was_written(event):
    raw = encode_event(event)
    key = event.subject.encode()
    assert decode(raw, key=key) == (event, 0)
    assert json.loads(raw)["kind"] == event.kind
    # the quick way and the careful one agree
    assert events.read_ours(raw, key) == event
    assert foreign.read(raw, key, None, UPCASTERS) == (event, 0)
    # and so does what a recorder checks before it writes
    written = {name: getattr(event, name) for name in event.__struct_fields__}
    assert validate_fields(event.kind, written) == event
    assert json.loads(encode_checked(event.kind, {**written, "event_id": event.event_id or None})) == json.loads(raw)
    assert decode(encode_fields(event.kind, written)).event == event


class Text(str):
    """Not quite a text."""

    __slots__ = ()


odd_values = st.one_of(
    values,
    integers,
    st.sampled_from([0, -1, 2**63, 0.5, -0.5, math.nan, math.inf, True, False, Text("x"), "SUCCESS", "FAILURE\n", "x" * 257, "", "\ud800"]),
    st.datetimes(timezones=st.none() | offsets),
    st.sampled_from([{}, {1: 2}, {"a": 1}, {Text("a"): 1}, [], (), [{}], "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+02:00", "noon"]),
)


@given(st.sampled_from(sorted(EVENT_CLASSES)), st.data())
def test_the_quick_way_to_write_refuses_what_the_careful_one_refuses_and_else_writes_the_same(kind, data):
    cls = EVENT_CLASSES[kind]
    event = data.draw(of_class(cls))
    written = {name: getattr(event, name) for name in event.__struct_fields__}
    subject = "group_id" if issubclass(cls, GroupFact) else "task_id"  # which the recorder looks at by itself
    names = sorted({*written, "unknown"} - {subject})
    odd = data.draw(st.dictionaries(st.sampled_from(names), st.none() | odd_values, max_size=2))
    payloads = {name: encode_value(value) for name, value in odd.items() if name in PAYLOADS and value is not None}
    mixed = {**written, **odd, **payloads}
    assert told_by(encode_checked, kind, mixed) == told_by(events._encode_validated, kind, mixed)


def told_by(encode, kind, mixed):
    try:
        raw = encode(kind, mixed)
    except (EventCorrupt, ValueNotEncodable) as error:
        return type(error), str(error)
    assert read(raw) is not None, "what was written is read"
    return canonical_times(kind, json.loads(raw))


def canonical_times(kind, record):
    """A time is the same, whether in Z or in +00:00."""
    return record | {name: datetime.fromisoformat(record[name]) for name in SHAPES[kind].times if name in record}


AT = Position(1, 2)


def read(raw: bytes, key: bytes | None = None) -> Any:
    """The event, or None for `EventCorrupt`. Anything else is a bug."""
    try:
        event, unknown_fields = decode(raw, key=key, position=AT)
    except EventCorrupt as error:
        str(error).encode()
        assert key is None or not raw.startswith(events._HEAD) or events.read_ours(raw, key) is None
        return None
    if raw.startswith(events._HEAD) and (quick := events.read_ours(raw, key)) is not None:
        assert foreign.read(raw, key, AT, UPCASTERS) == (quick, 0)
    assert unknown_fields >= 0
    assert event.event_id
    assert event.time.tzinfo is UTC
    subject = event.subject.encode()
    assert 0 < len(subject) <= 1024
    assert key is None or subject == key
    return event


def assert_it_fits_into_a_row(event: Any) -> None:
    """What the fold may take from an event survives its row, and the event can be written again."""
    cls, decode_row, encode_row = (
        (GroupMeta, rows.decode_group, rows.encode_group)
        if isinstance(event, GroupFact)
        else (TaskMeta, rows.decode_task, rows.encode_task)
    )
    known = set(cls.__struct_fields__)
    taken = {name: value for name in event.__struct_fields__ if name in known and (value := getattr(event, name)) is not None}
    if "added" in taken:
        taken["added"] = [taken["added"]]
    for name in ("meta", "fields", "when", "until"):
        if hasattr(event, name):
            taken["result" if cls is TaskMeta else "body"] = getattr(event, name)
    taken["task_id" if cls is TaskMeta else "group_id"] = event.subject
    meta = cls(**taken)
    row = encode_row(meta)
    assert decode_row(row) == meta
    assert encode_row(decode_row(row)) == row


@given(some_events)
def test_what_an_event_carries_survives_a_row(event):
    assert_it_fits_into_a_row(read(encode_event(event)))


@given(st.binary(max_size=200) | json_values(any_text).map(lambda value: json.dumps(value).encode()), st.none() | st.binary(max_size=5))
@example(b'{"kind":"task-sent","task_id":"\\ud800","time":"2026-01-01T00:00:00Z"}', None)
@example(b'{"kind":"x","\\ud800":"\\ud800","task_id":"t","time":"2026-01-01T00:00:00Z"}', b"t")
def test_bytes_of_any_kind_are_an_event_or_corrupt(raw, key):
    read(raw, key)


foreign_fields = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([*EVENT_CLASSES, "task-paused", "unknown"]),
        "task_id": ids | any_text | st.none(),
        "group_id": ids | any_text | st.none(),
        "time": times.map(datetime.isoformat) | any_text | st.integers(),
    },
    optional={
        name: json_values(any_text) | strategy
        for name, strategy in {"v": st.just(1), "subject": ids, "until": text, **dict.fromkeys(OPTIONAL, text)}.items()
    },
)


@given(foreign_fields)
def test_a_foreign_record_is_an_event_that_fits_into_a_row_or_corrupt(record):
    raw = json.dumps(record).encode()
    event = read(raw)
    if event is not None:
        assert_it_fits_into_a_row(event)
        assert read(encode_event(event), event.subject.encode()) == event


LINES = [encode_event(event) for event in corpus.events().values()]


@given(st.sampled_from(LINES), st.data())
def test_a_damaged_record_is_an_event_or_corrupt(raw, data):
    # given a golden record with a piece of it replaced
    start = data.draw(st.integers(0, len(raw)))
    length = data.draw(st.integers(0, 8))
    piece = data.draw(
        st.binary(max_size=4) | st.sampled_from([b"NaN", b"1e999", b'"', b"[[[[", b"{}", b"null", b"\\ud800", b"99999999999999999999"])
    )
    event = read(raw[:start] + piece + raw[start + length :])
    # then it is read whole, or refused
    if event is not None:
        assert_it_fits_into_a_row(event)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
@given(levels=st.integers(0, 1500), tail=st.sampled_from(["", "1"]))
def test_nesting_of_any_depth_is_an_event_or_corrupt(opening, levels, tail):
    closing = opening.replace('"a":', "")[::-1].translate(str.maketrans("[{", "]}"))
    payload = opening * levels + "1" + closing * levels
    event = read(f'{{"kind":"task-succeeded","task_id":"t","time":"2026-01-01T00:00:00Z","result":{payload}{tail}}}'.encode())
    assert (event is not None) >= (tail == "" and 0 < levels * len(closing) <= 256)
    if event is not None:
        assert levels * len(closing) <= 272
        assert_it_fits_into_a_row(event)


@given(
    st.lists(
        st.tuples(st.integers(-1, 2**63 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.binary(max_size=50)), max_size=64
    )
)
def test_a_segment_survives(entries):
    assert rows.decode_segment(rows.encode_segment(entries)) == entries


@given(st.binary(max_size=100), st.booleans())
def test_rows_of_any_bytes_are_read_or_corrupt(raw, ours):
    raw = b"\x01" * ours + raw
    for read_row in (rows.decode_task, rows.decode_group, rows.decode_segment):
        with suppress(ViewCorrupt):
            read_row(raw)


# --- errors


@given(
    st.lists(values | st.just(1j) | st.just(object()), max_size=4),
    st.sampled_from([ValueError, KeyError, OSError, Exception, UnicodeDecodeError]),
)
def test_an_error_is_always_written_and_what_is_written_is_always_read(args, cls):
    try:
        exc = cls(*args)
    except TypeError:
        assume(False)
    wire = encode_error(exc)
    check_wire(wire)
    back = decode_error(json.loads(json.dumps(wire, allow_nan=False)))
    assert type(back).__name__ in {type(exc).__name__, "RemoteTaskError"}


error_fields = json_values(any_text) | st.sampled_from(
    [
        "builtins",
        "ValueError",
        "OSError",
        "os",
        "system",
        "eventresults.errors",
        "Closed",
        "ViewStale",
        "RemoteTaskError",
        "BaseException",
        "__class__",
    ]
)


@given(st.dictionaries(st.sampled_from(["type", "module", "message", "args", "notes", "facts"]), error_fields, max_size=6))
@example({"type": "Closed", "module": "eventresults.errors", "args": [], "facts": {"facts": 1, "args": 2}})
def test_an_error_of_any_shape_becomes_an_exception(error):
    exc = decode_error(error)
    assert isinstance(exc, Exception)
    repr(exc)


def test_the_canonical_form_tells_types_apart():
    different = [1, 1.0, True, "1", b"1", (1,), [1], {1}, frozenset({1}), Decimal(1), 0.0, -0.0, math.nan, date(1, 1, 1), UUID(int=1)]
    assert len({repr(canonical(value)) for value in different}) == len(different)
    assert issubclass(UnknownEvent, Event)
