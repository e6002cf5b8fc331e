import json
from datetime import UTC, date, datetime, timedelta, timezone
from types import MappingProxyType

import pytest

from eventresults.codec.events import decode, decode_event, encode_event, encode_fields, validate_fields
from eventresults.codec.values import MAX_DEPTH, decode_value, encode_value
from eventresults.domain.events import EVENT_CLASSES, TaskFailed, TaskSent, TaskStarted, TaskSucceeded, TaskUpdated, UnknownEvent
from eventresults.domain.position import Position
from eventresults.errors import EventCorrupt, InvalidTaskId, ValueNotEncodable
from tests.golden.corpus import LATER, TASK, TIME

AT = Position(3, 42)


def record(**changes):
    fields = {"v": 1, "kind": "task-succeeded", "event_id": "e", "task_id": "t", "time": "2026-11-22T20:44:56.123456Z"} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def raw(fields):
    return record()[:-1] + b"," + fields + b"}"


# --- reading


def test_an_event_reads_as_frozen_facts_in_utc():
    event = decode_event(record(result={"a": 1}, runtime=2), key=b"t", position=AT)
    assert event == TaskSucceeded(event_id="e", task_id="t", time=TIME, result={"a": 1}, runtime=2.0)
    assert event.time.tzinfo is UTC
    with pytest.raises(AttributeError):
        event.task_id = "u"


@pytest.mark.parametrize("absent", [{"event_id": ...}, {"event_id": ""}, {"event_id": None}])
def test_a_record_without_event_id_takes_its_position(absent):
    assert decode_event(record(**absent), position=AT).event_id == "3:42"
    assert decode_event(record(**absent)).event_id == ""


def test_a_missing_version_means_1():
    assert decode_event(record(v=...)) == decode_event(record())


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22T22:44:56.123456+02:00", TIME),
        ("2026-11-22 20:44:56.123456Z", TIME),
        ("2026-11-22T20:44:56.123456489Z", TIME),
        ("2026-11-22T21:00:00Z", LATER),
    ],
)
def test_any_iso_8601_with_an_offset_is_the_same_moment(text, moment):
    assert decode_event(record(time=text)).time == moment
    assert decode_event(record(kind="task-retried", when=text)).when == moment
    assert decode_event(record(kind="task-retried", when=text)).when.tzinfo is UTC


def test_unknown_fields_are_counted_and_nulls_are_absent():
    decoded = decode(record(shard=7, more={"a": 1}, observed=None, source=None, result=None))
    assert decoded == (TaskSucceeded(event_id="e", task_id="t", time=TIME), 2)


def test_an_unknown_kind_is_kept():
    event = decode_event(record(kind="task-paused", until="noon", n=2**64, nothing=None), position=AT)
    assert event == UnknownEvent(
        event_id="e",
        time=TIME,
        subject="t",
        named="task-paused",
        fields={"task_id": "t", "until": "noon", "n": {"$type": "int", "value": str(2**64)}},
    )


@pytest.mark.parametrize(
    ("kind", "ids", "key", "subject"),
    [
        ("task-paused", {"task_id": "t", "group_id": "g"}, None, "t"),
        ("group-paused", {"task_id": "t", "group_id": "g"}, None, "g"),
        ("task-paused", {"task_id": "t", "group_id": "g"}, b"g", "g"),
        ("task-paused", {"task_id": ..., "group_id": "g"}, None, "g"),
        ("node-joined", {"task_id": ...}, "ß".encode(), "ß"),
        ("unknown", {}, None, "t"),
    ],
)
def test_an_unknown_kind_is_about_its_key_or_the_id_it_holds(kind, ids, key, subject):
    assert decode_event(record(kind=kind, **ids), key=key).subject == subject


def test_a_record_claiming_to_be_another_tasks_is_refused():
    for kind in ("task-succeeded", "task-paused"):
        with pytest.raises(EventCorrupt, match="another id than its key") as caught:
            decode_event(record(kind=kind), key=b"other", position=AT)
        assert (caught.value.partition, caught.value.offset) == (3, 42)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b" ",
        b"\x00",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b"{",
        b"{}",
        b"[]",
        b"[1]",
        b"1",
        b"null",
        b'"text"',
        b"NaN",
        DEEP.encode(),
        b'{"a":' * 50_000,
        raw(f'"result":{DEEP}'.encode()),
        raw(b'"result":' + b"[" * 300 + b"]" * 300),
        raw(b'"result":' + b"[" * 900 + b"]" * 900),
        raw(b'"result":' + b"1" * 5000),
        raw(b'"result":"\xed\xa0\x80"'),
        raw(b'"result":01'),
        raw(b'"runtime":NaN'),
        raw(b'"runtime":1e999'),
        raw(b'"runtime":-Infinity'),
        raw(b'"result_expires":-1'),
        raw(b'"task_id":"\\ud800"'),
        raw(b'"kind":"\\ud800","task_id":5'),
        record() + b"x",
        record()[:-1],
        record(kind=...),
        record(kind=None),
        record(kind=5),
        record(kind=["task-sent"]),
        record(kind={}),
        record(v="1"),
        record(v=1.0),
        record(v=True),
        record(v=None),
        record(v=0),
        record(v=-(10**30)),
        record(task_id=...),
        record(task_id=""),
        record(task_id=5),
        record(task_id=None),
        record(task_id="x" * 1025),
        record(task_id="ß" * 513),
        record(event_id=5),
        record(event_id=[1]),
        record(time=...),
        record(time=None),
        record(time=""),
        record(time="yesterday"),
        record(time="2026-11-22T20:44:56"),
        record(time="2026-11-22"),
        record(time="0001-01-01T00:00:00+14:00"),
        record(time=1795380296),
        record(time={}),
        record(time=["2026-11-22T20:44:56Z"]),
        record(observed="true"),
        record(observed=1),
        record(runtime="1.5"),
        record(runtime=True),
        raw(b'"runtime":1' + b"0" * 400),
        record(children={}),
        record(children="ab"),
        record(worker=5),
        record(source=5),
        record(kind="task-started", pid=2**63),
        record(kind="task-started", attempt=-1),
        record(kind="task-started", attempt=1.0),
        record(kind="task-started", attempt="1"),
        record(kind="task-updated"),
        record(kind="task-updated", state=""),
        record(kind="task-updated", state="SUCCESS"),
        record(kind="task-updated", state="x" * 257),
        record(kind="task-failed", error="no object"),
        record(kind="task-failed", error=[]),
        record(kind="task-retried", when="soon"),
        record(kind="task-retried", when=5),
        record(kind="group-sized", task_id=..., group_id="g", size=2**64),
        record(kind="group-saved"),
        record(kind="task-paused", time="noon"),
        record(kind="task-paused", task_id=...),
        record(kind="task-paused", task_id=""),
        record(kind="task-paused", deep=json.loads("[" * 300 + "]" * 300)),
    ],
    ids=lambda value: repr(value)[:80],
)
def test_what_is_no_event_is_corrupt_and_says_why(value):
    with pytest.raises(EventCorrupt) as caught:
        decode(value, position=AT)
    assert caught.value.reason
    assert str(caught.value).startswith("The record at 3:42 is no event: ")
    assert len(str(caught.value).encode()) < 1000


def test_a_key_that_is_no_text_cannot_be_an_unknown_kinds_subject():
    with pytest.raises(EventCorrupt, match="key is no UTF-8"):
        decode_event(record(kind="node-joined", task_id=...), key=b"\xff")


def test_the_reason_names_the_fields_and_not_their_values():
    with pytest.raises(EventCorrupt) as caught:
        decode_event(record(worker=["secret"], runtime="secret", children=1, result_expires="s", source=1))
    assert "secret" not in str(caught.value)
    assert "source: " in caught.value.reason
    assert "and 2 more" in caught.value.reason


@pytest.mark.parametrize("length", [1, 1024])
def test_ids_of_1_to_1024_bytes_are_fine(length):
    assert decode_event(record(task_id="x" * length), key=b"x" * length).task_id == "x" * length


def test_payloads_of_foreign_writers_become_wire_values():
    event = decode_event(
        raw(b'"result":[NaN,1e999,-Infinity,18446744073709551616,"\\udce9",{"\\udce9":1}],"children":[18446744073709551616]')
    )
    nan, *rest = decode_value(event.result)
    assert nan != nan
    assert rest == [float("inf"), float("-inf"), 2**64, "\udce9", {"\udce9": 1}]
    assert encode_value(decode_value(event.result)) == event.result
    assert decode_value(event.children) == [2**64]


@pytest.mark.parametrize("number", [2**64, 2**70, -(2**63) - 1])
def test_an_integer_that_no_row_holds_is_tagged(number):
    assert decode_event(record(result={"n": number})).result == {"n": {"$type": "int", "value": str(number)}}


def test_lone_surrogates_in_texts_are_written_out():
    event = decode_event(raw(b'"worker":"caf\\udce9","event_id":"\\ud800"'))
    assert (event.worker, event.event_id) == ("caf\\udce9", "\\ud800")


def test_as_deep_as_a_value_may_be_written_it_is_read():
    deep = json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    event = TaskSucceeded(**TASK, result=deep)
    assert decode_event(encode_event(event)) == event
    failed = TaskFailed(**TASK, error={"type": "E", "module": "m", "message": "", "args": [deep]})
    assert decode_event(encode_fields("task-failed", {**TASK, "error": failed.error})) == failed


@pytest.mark.parametrize("width", [10, 1000])
def test_wide_and_shallow_payloads_read(width):
    event = TaskSucceeded(**TASK, result=[{"a": [i]} for i in range(width)])
    assert decode_event(encode_event(event)) == event


def test_a_newer_version_that_does_not_read_says_to_upgrade():
    assert decode_event(record(v=2)) == decode_event(record())
    with pytest.raises(EventCorrupt, match=r"version 2 .* upgrade eventresults"):
        decode_event(record(v=2, runtime="1.5"))


# --- upcasting


def test_an_old_record_is_lifted_by_the_function_of_its_version():
    # given a version 0 that named things otherwise
    def from_0(old):
        return {"kind": "task-" + old["what"], "task_id": old["id"], "time": old["at"], "result": old.get("value")}

    old = json.dumps({"v": 0, "what": "succeeded", "id": "t", "at": "2026-11-22T20:44:56.123456Z", "value": 3}).encode()
    # when it is read with the upcaster, and without
    event = decode(old, key=b"t", position=AT, upcasters={0: from_0}).event
    # then it is an event of today, or says what is missing
    assert event == TaskSucceeded(event_id="3:42", task_id="t", time=TIME, result=3)
    with pytest.raises(EventCorrupt, match="no upcaster leads on from version 0"):
        decode(old, key=b"t", position=AT)


def test_versions_are_lifted_one_after_the_other():
    upcasters = {-1: lambda old: old | {"trail": [-1]}, 0: lambda old: old | {"result": [*old["trail"], 0]}}
    assert decode(record(v=-1), upcasters=upcasters) == (TaskSucceeded(event_id="e", task_id="t", time=TIME, result=[-1, 0]), 1)


@pytest.mark.parametrize("broken", [lambda old: old["gone"], lambda old: 1 / 0])
def test_an_upcaster_that_fails_makes_the_record_corrupt(broken):
    with pytest.raises(EventCorrupt, match="cannot be lifted to 1"):
        decode(record(v=0), upcasters={0: broken})


# --- writing


def test_fields_are_written_in_order_without_what_is_absent():
    fields = {"event_id": "e", "task_id": "t", "time": TIME, "source": None, "observed": False, "result": False, "worker": "ß"}
    assert encode_fields("task-succeeded", MappingProxyType(fields)) == (
        b'{"v":1,"kind":"task-succeeded","event_id":"e","task_id":"t","time":"2026-11-22T20:44:56.123456Z","result":false,"worker":"'
        + "ß".encode()
        + b'"}'
    )


class Moment(datetime):
    """What a library with a friendlier or a fixed clock hands around."""


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (TIME, "2026-11-22T20:44:56.123456Z"),
        (LATER, "2026-11-22T21:00:00Z"),
        (TIME.astimezone(timezone(timedelta(hours=-3))), "2026-11-22T20:44:56.123456Z"),
        (Moment(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00Z"),
        ("2026-11-22T21:00:00Z", "2026-11-22T21:00:00Z"),
    ],
)
def test_times_are_written_in_utc(time, text):
    assert json.loads(encode_fields("task-retried", TASK | {"time": time, "when": time}))["when"] == text
    event = validate_fields("task-retried", TASK | {"when": time})
    assert event.when == datetime.fromisoformat(text)
    assert type(event.when) is datetime
    assert event.when.tzinfo is UTC


def test_a_time_without_offset_is_refused():
    naive = TIME.replace(tzinfo=None)
    with pytest.raises(EventCorrupt, match="UTC offset"):
        encode_fields("task-sent", TASK | {"time": naive})
    with pytest.raises(EventCorrupt, match="UTC offset"):
        validate_fields("task-sent", TASK | {"eta": naive})


def test_lone_surrogates_of_texts_are_written_out_and_of_ids_refused():
    fields = TASK | {"traceback": "caf\udce9", "worker": "ß"}
    event = decode_event(encode_fields("task-failed", fields))
    assert (event.traceback, event.worker) == ("caf\\udce9", "ß")
    assert validate_fields("task-failed", fields) == event
    for write in (encode_fields, validate_fields):
        with pytest.raises(InvalidTaskId):
            write("task-failed", fields | {"task_id": "\udce9"})


@pytest.mark.parametrize("payload", ["\udce9", ["\udce9"], object(), {1.5: object()}, 1j])
def test_a_payload_that_skipped_its_encoding_is_refused(payload):
    with pytest.raises(ValueNotEncodable, match="encode_value"):
        encode_fields("task-succeeded", TASK | {"result": payload})


def test_encode_event_checks_its_payloads():
    for bad in (float("nan"), (1,), b"", 2**70, date(2026, 1, 1)):
        with pytest.raises(ValueNotEncodable) as caught:
            encode_event(TaskSucceeded(**TASK, result={"a": [bad]}))
        assert caught.value.path == "result['a'][0]"


def test_an_unknown_event_is_written_as_it_came():
    value = record(kind="task-paused", until=5, when="noon", source="s")
    assert json.loads(encode_event(decode_event(value))) == json.loads(value)


# --- what a recorder is about to write


def test_validate_fields_gives_the_event_a_reader_will_see():
    fields = TASK | {"worker": "w", "pid": 1, "attempt": 2, "observed": True}
    event = validate_fields("task-started", fields)
    assert event == TaskStarted(**TASK, worker="w", pid=1, attempt=2, observed=True)
    assert decode_event(encode_fields("task-started", fields)) == event


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        ("task-paused", {}, "no kind of fact"),
        ("task-started", {"attempt": "1"}, "attempt: "),
        ("task-started", {"attempt": -1}, "attempt: "),
        ("task-started", {"atempt": 1}, "atempt: "),
        ("task-updated", {"state": "SUCCESS"}, "state: "),
        ("task-updated", {}, "state: "),
        ("task-succeeded", {"runtime": float("nan")}, "runtime: "),
        ("task-succeeded", {"time": None}, "time: "),
        ("task-succeeded", {"time": 5}, "time"),
        ("task-succeeded", {"worker": 5}, "worker: "),
        ("task-failed", {"error": "boom"}, "error: "),
    ],
)
def test_validate_fields_names_the_wrong_field(kind, fields, says):
    with pytest.raises(EventCorrupt, match=says):
        validate_fields(kind, TASK | fields)


@pytest.mark.parametrize("task_id", ["", "x" * 1025, None, 5, b"x"])
def test_validate_fields_refuses_an_unusable_id(task_id):
    with pytest.raises(InvalidTaskId):
        validate_fields("task-sent", TASK | {"task_id": task_id})


def test_a_custom_state_may_begin_like_a_ready_one():
    for state in ("SUCCESSFUL", "success", "NO FAILURE"):
        assert validate_fields("task-updated", TASK | {"state": state}) == TaskUpdated(**TASK, state=state)


def test_kinds_are_known_at_class_and_instance():
    for kind, cls in EVENT_CLASSES.items():
        assert cls.kind == kind
    assert TaskSent(**TASK).kind == "task-sent"
    assert TaskSent(**TASK).subject == "task-1"
