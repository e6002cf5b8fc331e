"""Whatever is done to the records of a signed stretch is found, at the first position where anything was done."""

from __future__ import annotations

from itertools import zip_longest

from hypothesis import given
from hypothesis import strategies as st

from eventresults.audit import merkle
from eventresults.audit.chain import chained, genesis, links
from eventresults.audit.checkpoint import NOTHING, Checkpoint
from eventresults.audit.interval import compare, partly
from eventresults.log.base import Record

HEAD = genesis("log", 0)


@st.composite
def stretches(draw: st.DrawFn) -> list[Record]:
    offsets = sorted(draw(st.sets(st.integers(0, 40), min_size=1, max_size=12)))
    return [Record(offset, draw(st.integers(0, 3)), draw(st.binary(max_size=2)), draw(st.binary(max_size=2))) for offset in offsets]


@st.composite
def tampered(draw: st.DrawFn, records: list[Record]) -> list[Record]:
    """The records after one to three acts, in the order of their offsets."""
    by_offset = {record.offset: record for record in records}
    for _ in range(draw(st.integers(1, 3))):
        offset = draw(st.sampled_from(sorted(by_offset) or [0]))
        match draw(st.sampled_from(["alter", "remove", "insert", "swap", "cut"])):
            case "alter" if offset in by_offset:
                by_offset[offset] = by_offset[offset]._replace(value=draw(st.binary(max_size=2)))
            case "remove":
                by_offset.pop(offset, None)
            case "insert":
                at = draw(st.integers(0, 40))
                by_offset.setdefault(at, Record(at, 0, b"", b""))
            case "swap" if offset in by_offset:
                other = draw(st.sampled_from(sorted(by_offset)))
                one, two = by_offset[offset], by_offset[other]
                by_offset[offset], by_offset[other] = two._replace(offset=offset), one._replace(offset=other)
            case _:
                by_offset = {at: record for at, record in by_offset.items() if at < offset}
    return [by_offset[offset] for offset in sorted(by_offset)]


def signed(records: list[Record]) -> Checkpoint:
    found = links(HEAD, records)
    return Checkpoint(
        log="log", partition=0, number=0, first=records[0].offset, next=records[-1].offset + 1, count=len(records), size=len(records),
        head=found[-1].hex(), root=merkle.root(found).hex(), previous=NOTHING, time="",
    )  # fmt: skip


def first_difference(before: list[Record], after: list[Record]) -> int | None:
    for one, other in zip_longest(before, after):
        if one != other:
            return min(record.offset for record in (one, other) if record is not None)
    return None


@given(st.data())
def test_the_first_position_that_differs_is_told_and_none_where_nothing_does(data: st.DataObject):
    # given
    records = data.draw(stretches())
    changed = data.draw(tampered(records))
    checkpoint, entries = signed(records), chained(HEAD, records)
    end = changed[-1].offset + 1 if changed else 0
    # when
    difference = compare(checkpoint, HEAD, changed, lambda _: entries, end=end)
    # then
    expected = first_difference(records, changed)
    assert (None if difference is None else difference.offset) == expected
    # and without the links: that something differs, within the stretch
    assert (compare(checkpoint, HEAD, changed, lambda _: None, end=end) is None) == (expected is None)


@given(st.data())
def test_what_retention_left_of_a_stretch_is_compared_record_by_record(data: st.DataObject):
    records = data.draw(stretches())
    start = data.draw(st.integers(0, 41))
    left = [record for record in records if record.offset >= start]
    changed = [record for record in data.draw(tampered(left)) if record.offset >= start] if left else []
    difference = partly(
        signed(records), HEAD, changed, chained(HEAD, records), start=start, end=changed[-1].offset + 1 if changed else start
    )
    assert (None if difference is None else difference.offset) == first_difference(left, changed)
