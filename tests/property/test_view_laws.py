"""However a log is cut into polls, whatever holds the rows, and however often it is reopened: the view is the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eventresults.codec.events import encode_event
from eventresults.log.base import Record
from eventresults.projector import Lifetimes
from eventresults.service.compare import Picture, differences
from eventresults.view import agenda, keys, listing
from eventresults.view.openrows import open_group, open_task
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore
from eventresults.view.shard import NEVER
from eventresults.view.sweep import due
from tests.support import events
from tests.support.events import LOG_EPOCH
from tests.support.views import Folding, rows

TASKS = ["t0", "t1", "t2", "both"]
GROUPS = ["g0", "both"]
FOREVER = Lifetimes(unfinished=10**15, history=10**15)
#: Rows live for some ms, their history for some more: the sweep is always about.
BRIEF = Lifetimes(unfinished=40, history=30)
RESOURCES = RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE)

task_makers = st.sampled_from(
    [
        events.sent, events.received, events.started, events.updated, events.succeeded, events.failed, events.retried, events.revoked,
        events.rejected, events.revoke_requested, events.forgotten, events.unknown,
    ]
)  # fmt: skip
group_makers = st.sampled_from(
    [events.group_saved, events.group_sized, events.group_part, events.group_dispatching, events.group_dispatched, events.group_forgotten]
)
ids = st.one_of(st.integers(0, 9), st.integers(10, 10_000)).map(lambda number: f"event-{number}")


@st.composite
def any_event(draw) -> Any:
    fields: dict[str, Any] = {"second": draw(st.integers(0, 9)), "event_id": draw(ids), "observed": draw(st.integers(0, 4)) == 4}
    if draw(st.integers(0, 3)):
        make = draw(task_makers)
        subject = "subject" if make is events.unknown else "task_id"
        fields[subject] = draw(st.sampled_from(TASKS))
    else:
        make = draw(group_makers)
        fields["group_id"] = draw(st.sampled_from(GROUPS))
    if make in (events.succeeded, events.failed, events.revoked, events.group_saved, events.group_part):
        fields["result_expires"] = draw(st.sampled_from([None, 0.0, 0.005, 0.02, 0.2, 10.0]))
    return make(**fields)


@st.composite
def logs(draw) -> list[Record]:
    """A log: facts with repetitions, some garbage, a hole now and then, and a clock that stands, goes or leaps."""
    records = []
    offset, log_time = 0, LOG_EPOCH
    for one in draw(st.lists(any_event(), min_size=draw(st.sampled_from([0, 15])), max_size=40)):
        offset += draw(st.sampled_from([0, 0, 0, 2]))
        log_time += draw(st.sampled_from([0, 1, 1, 5, 60]))
        value = encode_event(one) if draw(st.integers(0, 15)) else b"\x00garbage"
        records.append(Record(offset, log_time, one.subject.encode(), value))
        offset += 1
    return records


def cut(records: list[Record], draw) -> list[list[Record]]:
    polls, rest = [], records
    while rest:
        size = draw(st.sampled_from([1, 1, 2, 5, 64, 100]))
        polls.append(rest[:size])
        rest = rest[size:]
    return polls


def told(folding: Folding) -> dict[str, Any]:
    """All that the view must tell, as one value: what the sweep may have taken is left out."""
    now, keep = folding.head.log_time, folding.lifetimes.history
    found: dict[str, Any] = {}
    for tag, read in ((keys.STATE, folding.shard.task), (keys.GROUP, folding.shard.group)):
        for row in rows(folding.store, tag):
            subject = row[1:].decode()
            meta = read(subject)
            if due(meta, keep) > now:
                history = list(folding.shard.history(subject, meta.last_offset))
                found[repr(row)] = (meta, [(fact.position, fact.log_time, fact.event) for fact in history])
    page = listing.recent([folding.shard], state=None, name=None, since=None, until=None, limit=1_000, cursor=None, now=now)
    found["listed"] = [meta.task_id for meta in page.items]
    found["head"] = (folding.head.next_offset, folding.head.last_offset, folding.head.fingerprint, folding.head.log_time)
    found["counts"] = {name: number for name, number in folding.head.counts.items() if name != "swept"}
    return found


def without_head(folding: Folding) -> dict[str, Any]:
    """All rows but the head, and of the agenda what it says: how it is cut into rows depends on the polls."""
    found: dict[str, Any] = {repr(row): raw for row, raw in rows(folding.store).items() if row[:1] not in {keys.META, keys.EXPIRY}}
    return found | {"agenda": {one for raw in rows(folding.store, keys.EXPIRY).values() for one in agenda.read(raw)}}


def compare(one: Folding, other: Folding) -> list[Any]:
    return list(differences(Picture(one.shard), Picture(other.shard), start=0, now=one.head.log_time, lifetimes=one.lifetimes))


@given(records=logs(), lifetimes=st.sampled_from([FOREVER, BRIEF]), data=st.data())
def test_a_log_cut_into_any_polls_makes_the_same_view(records: list[Record], lifetimes: Lifetimes, data):
    # given
    whole = Folding(lifetimes=lifetimes)
    whole.poll(records)

    # when
    parts = Folding(lifetimes=lifetimes)
    changes = []
    for poll in cut(records, data.draw):
        changes += parts.poll(poll)

    # then
    assert told(parts) == told(whole)
    assert compare(parts, whole) == []
    assert [change.fact.position.offset for change in changes] == sorted({change.fact.position.offset for change in changes})


@settings(max_examples=30)
@given(records=logs(), lifetimes=st.sampled_from([FOREVER, BRIEF]), data=st.data())
def test_rows_in_rocksdb_reopened_at_any_time_are_those_in_memory(records: list[Record], lifetimes: Lifetimes, data):
    # given
    memory = Folding(lifetimes=lifetimes)
    with tempfile.TemporaryDirectory() as path:
        disk = Folding(RocksStore(Path(path), resources=RESOURCES), lifetimes=lifetimes)

        # when
        for poll in cut(records, data.draw):
            memory.poll(poll)
            disk.poll(poll)
            if data.draw(st.booleans()):
                disk.store.close()
                disk = Folding(RocksStore(Path(path), resources=RESOURCES), lifetimes=lifetimes)

        # then: to the byte, the sweep's steps included
        assert rows(disk.store) == rows(memory.store)
        assert told(disk) == told(memory)
        disk.store.close()


@given(records=logs(), data=st.data())
def test_folding_a_prefix_again_changes_nothing(records: list[Record], data):
    # given
    folding = Folding(lifetimes=FOREVER)
    for poll in cut(records, data.draw):
        folding.poll(poll)
    before = without_head(folding)

    # when: reopened without its head, as if that alone had been lost
    again = Folding(folding.store, lifetimes=FOREVER)
    for poll in cut(records[: data.draw(st.integers(0, len(records)))], data.draw):
        assert again.poll(poll) == []

    # then
    assert without_head(folding) == before


@given(records=logs(), data=st.data())
def test_what_is_kept_decoded_never_differs_from_what_is_stored(records: list[Record], data):
    # given: a shard that keeps hardly anything, and one that keeps everything
    forgetful, mindful = Folding(lifetimes=BRIEF, cached_rows=0), Folding(lifetimes=BRIEF)

    # when / then
    for poll in cut(records, data.draw):
        forgetful.poll(poll)
        mindful.poll(poll)
        assert rows(forgetful.store) == rows(mindful.store)
        assert told(forgetful) == told(mindful)


@given(records=logs(), data=st.data())
def test_every_index_row_has_its_row_and_every_row_its_index(records: list[Record], data):
    # given
    folding = Folding(lifetimes=BRIEF)

    # when
    for poll in cut(records, data.draw):
        folding.poll(poll)

        # then
        states = rows(folding.store, keys.STATE)
        for row in rows(folding.store, keys.RECENT):
            assert keys.STATE + row[9:] in states
        metas = [folding.shard.task(row[1:].decode()) for row in states]
        listed = sorted(keys.recent(meta.born_at, meta.task_id) for meta in metas if meta.exists)
        assert listed == sorted(rows(folding.store, keys.RECENT))
        looked_at: dict[bytes, int] = {}
        for key, raw in rows(folding.store, keys.EXPIRY).items():
            due_rows = agenda.read(raw)
            assert due_rows[0][0] == min(due_rows)[0] == int.from_bytes(key[1:9])
            for at, row in due_rows:
                looked_at[row] = min(looked_at.get(row, NEVER), at)
        groups = [folding.shard.group(row[1:].decode()) for row in rows(folding.store, keys.GROUP)]
        standing = {keys.opened(keys.state(meta.task_id)): open_task(meta) for meta in metas}
        standing |= {keys.opened(keys.group(meta.group_id)): open_group(meta) for meta in groups}
        assert rows(folding.store, keys.OPEN) == {row: raw for row, raw in standing.items() if raw is not None}
        metas += groups
        for meta in metas:
            if meta.expires_at is not None:
                row = keys.state(meta.task_id) if hasattr(meta, "task_id") else keys.group(meta.group_id)
                assert looked_at[row] <= due(meta, BRIEF.history)
