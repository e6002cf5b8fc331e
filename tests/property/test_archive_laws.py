"""A row gives its record back, whatever the record is, and tells of it what the codec tells."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from eventresults.archive import shapes
from eventresults.archive.rows import records_of, rows_of, told
from eventresults.archive.schema import SCHEMA
from eventresults.archive.values import MARKS, cut, restore
from eventresults.codec.events import decode, decode_event, encode_event
from eventresults.domain.events import EVENT_CLASSES
from eventresults.log.base import Record
from tests.golden import corpus
from tests.property.test_codec_properties import of_class

any_event = st.sampled_from(sorted(EVENT_CLASSES)).flatmap(lambda kind: of_class(EVENT_CLASSES[kind]))
log_times = st.integers(0, 2**41)


@given(st.lists(st.tuples(log_times, st.none() | st.binary(max_size=20), st.none() | st.binary(max_size=200))))
def test_any_bytes_come_back(pairs):
    records = [Record(offset * 2, *rest) for offset, rest in enumerate(pairs)]
    assert list(records_of(rows_of(3, records))) == records


@given(st.lists(st.tuples(any_event, st.booleans())))
def test_any_event_comes_back(pairs):
    records = [
        Record(offset, offset, None if keyless else event.subject.encode(), encode_event(event))
        for offset, (event, keyless) in enumerate(pairs)
    ]
    assert list(records_of(rows_of(0, records))) == records


@given(any_event)
def test_what_is_read_at_speed_is_what_the_codec_reads(event):
    # given
    record = Record(7, 0, event.subject.encode(), encode_event(event))
    fast = rows_of(0, [record]).to_pylist()[0]

    # when the codec has it
    slow = dict.fromkeys(SCHEMA.names) | told(decode(record.value, key=record.key).event)

    # then
    for name in set(SCHEMA.names) - {"partition", "offset", "log_time", "key", "rest", "raw"}:
        one, other = fast[name], slow[name]
        if name in {"args", "kwargs", "result"} and one is not None:
            one, other = json.loads(one), json.loads(other)
        assert one == other, name


@given(st.binary(max_size=60).filter(lambda value: not any(mark in value for mark in MARKS.values())), st.data())
@example(b"abcabcabc", None)
def test_what_is_cut_comes_back(value, data):
    texts = (
        {"result": "abcabc", "args": "abca"}
        if data is None
        else data.draw(st.dictionaries(st.sampled_from(list(MARKS)), st.text(max_size=6)))
    )
    row = {name: text for name, text in texts.items() if name not in {"time", "run_seconds"}}
    columns = {name: [text] for name, text in row.items()}
    assert restore(cut([value], columns), columns) == [value]


@given(any_event, st.sampled_from(sorted(MARKS.values())), st.data())
def test_a_value_with_a_mark_in_it_is_never_cut(event, mark, data):
    value = encode_event(event)
    at = data.draw(st.integers(0, len(value)))
    record = Record(0, 0, event.subject.encode(), value[:at] + mark + value[at:])
    assert list(records_of(rows_of(0, [record]))) == [record]


def test_every_line_of_the_golden_corpus_comes_back():
    lines = [json.loads(line) for line in Path(corpus.__file__).with_name("v1.jsonl").read_bytes().splitlines()]
    values = [line["value"].encode() for line in lines]
    records = [Record(offset, 0, decode_event(value).subject.encode(), value) for offset, value in enumerate(values)]
    assert list(records_of(rows_of(0, records))) == records
    assert sum(shapes.read(record) is not None for record in records) > len(values) // 2
