"""One poll becomes one batch: rows, history, listing, dead letters, counters, head; and what is told of it."""

from __future__ import annotations

import json

import pytest

from eventresults.domain.position import Position
from eventresults.errors import ViewError
from eventresults.log.base import Poll, Record
from eventresults.log.memory import MemoryLog
from eventresults.projector import Lifetimes, Projector, fingerprint
from eventresults.projector.batch import DEAD_LETTER_BYTES
from eventresults.view import keys
from eventresults.view.live import LiveView
from eventresults.view.memory import MemoryStore
from eventresults.view.shard import Head, Shard
from tests.support.events import (
    GROUP,
    LOG_EPOCH,
    TASK,
    forgotten,
    group_part,
    group_saved,
    group_sized,
    received,
    revoke_requested,
    sent,
    started,
    succeeded,
    unknown,
    updated,
)
from tests.support.views import Folding, record, rows


def listed(folding: Folding) -> list[str]:
    return [key[9:].decode() for key in rows(folding.store, keys.RECENT)]


def raw(value: bytes | None, *, key: bytes | None = b"k", offset: int = 0) -> Record:
    return Record(offset, LOG_EPOCH, key, value)


# Changes and rows


def test_every_fact_is_told_with_the_state_after_it():
    # given
    folding = Folding()

    # when
    changes = folding.tell(sent(), sent(task_id="other"), started(), succeeded())

    # then
    told = [(change.subject, change.fact.position, change.fact.event.kind, change.meta.state) for change in changes]
    assert told == [
        (TASK, Position(0, 0), "task-sent", "PENDING"),
        ("other", Position(0, 1), "task-sent", "PENDING"),
        (TASK, Position(0, 2), "task-started", "STARTED"),
        (TASK, Position(0, 3), "task-succeeded", "SUCCESS"),
    ]


def test_the_row_holds_the_state_after_the_last_fact_of_the_poll():
    # given
    folding = Folding()

    # when
    changes = folding.tell(sent(name="add"), started(), succeeded(result=7))

    # then
    found = Shard(folding.store, 0).task(TASK)
    assert found == changes[-1].meta
    assert (found.result, found.name, found.last_offset) == (7, "add", 2)


def test_folding_goes_on_from_the_rows_of_earlier_polls():
    # given
    folding = Folding()
    folding.tell(sent(name="add"))

    # when: another process goes on
    again = Folding(folding.store)
    assert again.head == folding.head
    again.tell(started())

    # then
    assert again.shard.task(TASK).state == "STARTED"
    assert again.shard.task(TASK).name == "add"


def test_a_repeated_event_id_folds_once_and_is_counted():
    # given
    folding = Folding()
    once = started()

    # when
    changes = folding.tell(sent(), once, once)
    changes += folding.tell(once)

    # then
    assert [change.fact.position.offset for change in changes] == [0, 1]
    assert folding.head.counts["duplicate"] == 2
    assert folding.history(TASK) == [0, 1]


def test_the_same_records_twice_change_nothing_but_the_counters():
    # given
    folding = Folding()
    polled = [record(sent(), 0), record(started(), 1)]
    folding.poll(polled)
    before = {key: row for key, row in rows(folding.store).items() if not key.startswith(keys.META)}

    # when: as after a crash between a foreign commit and its head
    changes = folding.poll(polled)

    # then
    assert changes == []
    assert {key: row for key, row in rows(folding.store).items() if not key.startswith(keys.META)} == before
    assert folding.head.counts["refolded"] == 2


def test_groups_fold_beside_tasks_of_the_same_id():
    # given
    folding = Folding()

    # when
    folding.tell(sent(task_id=GROUP), group_sized(size=1), started(task_id=GROUP), group_part())
    folding.tell(group_saved())

    # then
    assert folding.shard.task(GROUP).state == "STARTED"
    assert folding.shard.group(GROUP).complete
    assert folding.shard.group(GROUP).results is not None


def test_history_of_a_group_is_linked():
    # given
    folding = Folding()

    # when
    folding.tell(group_sized(), sent())
    folding.tell(group_part(), group_part("other", group_index=1))

    # then
    assert folding.history(GROUP) == [0, 2, 3]


# Heads


def test_the_head_names_the_last_record_and_where_to_read_on():
    # given
    folding = Folding()
    last = record(started(), 5, log_time=LOG_EPOCH + 77)

    # when: the log skips a hole behind it
    folding.poll([record(sent(), 2), last], next_offset=9)

    # then
    head = folding.shard.head()
    assert (head.next_offset, head.last_offset, head.log_time) == (9, 5, LOG_EPOCH + 77)
    assert head.fingerprint == fingerprint(last)


def test_a_poll_of_a_hole_alone_moves_the_position_and_keeps_the_fingerprint():
    # given
    folding = Folding()
    folding.tell(sent())
    before = folding.head

    # when
    folding.poll([], next_offset=4)

    # then
    assert folding.head.next_offset == 4
    assert (folding.head.last_offset, folding.head.fingerprint, folding.head.log_time) == (0, before.fingerprint, before.log_time)


@pytest.mark.parametrize(
    "other",
    [
        Record(4, 1, b"key", b"other"),
        Record(4, 1, b"kez", b"value"),
        Record(5, 1, b"key", b"value"),
        Record(4, 1, None, b"value"),
        Record(4, 1, b"keyv", b"alue"),
        Record(4, 1, b"", b"value"),
    ],
)
def test_another_record_has_another_fingerprint(other: Record):
    assert fingerprint(other) != fingerprint(Record(4, 1, b"key", b"value"))


def test_counters_grow_over_polls():
    # given
    folding = Folding()
    folding.tell(sent(), started())

    # when
    folding.tell(succeeded())

    # then
    assert folding.head.counts == {"records": 3, "folded": 3}


# Dead letters and the unknown


@pytest.mark.parametrize(
    ("letter", "why"),
    [
        (raw(b"\x00\xff\xfe random"), "JSON"),
        (raw(b"[1, 2]"), "object"),
        (raw(None), "no value"),
        (raw(b""), "no value"),
        (raw(b"{}"), "kind"),
        (Record(0, LOG_EPOCH, b"somebody-else", record(sent(), 0).value), "another id"),
        (Record(0, LOG_EPOCH, None, record(sent(), 0).value), "another id"),
        (Record(0, LOG_EPOCH, b"\xff\xfe", record(sent(), 0).value), "another id"),
        (raw(json.dumps({"kind": "task-sent", "task_id": "k", "time": "yesterday"}).encode()), "time"),
        (raw(json.dumps({"kind": "task-sent", "task_id": "k", "time": "2026-01-01T00:00:00Z", "retries": "many"}).encode()), "retries"),
    ],
    ids=["bytes", "array", "none", "empty", "no kind", "claims another task", "no key", "key is no text", "bad time", "bad type"],
)
def test_what_is_no_event_becomes_a_dead_letter_and_the_fold_goes_on(letter: Record, why: str):
    # given
    folding = Folding()

    # when
    changes = folding.poll([letter, record(sent(), 1)])

    # then
    assert [change.subject for change in changes] == [TASK]
    [found] = folding.shard.dead_letters()
    assert found.position == Position(0, 0)
    assert why in found.reason
    assert (found.key, found.value or b"") == (letter.key, letter.value or b"")
    assert found.log_time == LOG_EPOCH
    assert folding.head.counts["dead"] == 1
    assert folding.head.next_offset == 2


def test_a_dead_letter_keeps_only_the_beginning_of_a_large_record():
    # given
    folding = Folding()

    # when
    folding.poll([Record(0, LOG_EPOCH, b"k" * 100_000, b"v" * 1_000_000)])

    # then
    [letter] = folding.shard.dead_letters()
    assert letter.value == b"v" * DEAD_LETTER_BYTES
    assert len(letter.key) == 1024


def test_an_unknown_kind_joins_the_history_of_its_task_and_is_counted():
    # given
    folding = Folding()

    # when
    changes = folding.tell(sent(), unknown(), started())

    # then
    assert folding.history(TASK) == [0, 1, 2]
    assert folding.head.counts["unknown_kinds"] == 1
    assert changes[1].meta.state == "PENDING"


def test_an_unknown_kind_of_an_unknown_id_is_counted_and_dropped():
    # given
    folding = Folding()

    # when
    assert folding.tell(unknown()) == []

    # then
    assert folding.head.counts == {"records": 1, "unknown_kinds": 1, "nothing-there": 1}


def test_an_unknown_kind_joins_the_history_of_its_group():
    # given
    folding = Folding()

    # when
    folding.tell(group_sized(), unknown(GROUP))

    # then
    assert folding.history(GROUP) == [0, 1]


def test_the_history_of_an_unknown_kind_that_names_no_id_is_told_by_its_key():
    # given
    folding = Folding()
    foreign = json.dumps({"kind": "lunar-phase", "time": "2026-01-01T00:00:00Z"}).encode()

    # when
    folding.poll([record(sent(), 0), Record(1, LOG_EPOCH, TASK.encode(), foreign)])

    # then
    newest = next(folding.shard.history(TASK, 1))
    assert newest.event.subject == TASK
    assert newest.event.named == "lunar-phase"


def test_unknown_fields_are_counted():
    # given
    folding = Folding()
    value = json.dumps({"kind": "task-sent", "task_id": "k", "time": "2026-01-01T00:00:00Z", "colour": "red"}).encode()

    # when
    folding.poll([raw(value)])

    # then
    assert folding.head.counts["unknown_fields"] == 1
    assert folding.shard.task("k").state == "PENDING"


# Listing


def test_a_living_task_is_listed_by_the_log_time_of_its_first_fact():
    # given
    folding = Folding()

    # when
    folding.poll([record(sent(), 0, log_time=LOG_EPOCH + 5), record(started(), 1, log_time=LOG_EPOCH + 9)])

    # then
    assert rows(folding.store, keys.RECENT) == {keys.recent(LOG_EPOCH + 5, TASK): b""}


def test_a_forgotten_task_is_no_longer_listed():
    folding = Folding()
    folding.tell(sent(), succeeded())
    folding.tell(forgotten())
    assert listed(folding) == []


def test_a_second_life_is_listed_once_at_its_own_time():
    # given
    folding = Folding()
    folding.tell(sent())
    folding.tell(forgotten())

    # when
    folding.tell(sent(second=9), after=1_000)

    # then
    assert rows(folding.store, keys.RECENT) == {keys.recent(LOG_EPOCH + 1_002, TASK): b""}


def test_a_life_that_ends_and_begins_again_within_a_poll_is_listed_once():
    # given
    folding = Folding()
    folding.tell(sent())

    # when
    folding.tell(forgotten(), sent(second=9), forgotten(second=10), sent(second=11))

    # then
    assert rows(folding.store, keys.RECENT) == {keys.recent(LOG_EPOCH + 4, TASK): b""}


def test_an_id_that_is_only_requested_is_not_listed_until_it_is_told_of():
    folding = Folding()
    folding.tell(revoke_requested())
    assert listed(folding) == []
    folding.tell(received())
    assert listed(folding) == [TASK]


# Segments


@pytest.mark.parametrize("count", [1, 63, 64, 65, 128, 5_000])
def test_history_is_complete_however_many_facts_a_poll_brings(count: int):
    # given
    folding = Folding()

    # when
    folding.tell(*(updated(task_id=f"t{number % 3}") for number in range(count)))

    # then
    assert len(rows(folding.store, keys.HISTORY)) == -(-count // 64)
    for number in range(min(3, count)):
        assert folding.history(f"t{number}") == list(range(number, count, 3))


def test_history_reaches_through_several_lives():
    # given
    folding = Folding()

    # when
    folding.tell(sent(), succeeded(), forgotten())
    folding.tell(sent(second=9), started(second=10))
    folding.tell(forgotten(second=11), received(second=12))

    # then
    assert folding.history(TASK) == list(range(7))
    assert folding.shard.task(TASK).first_offset == 6


# The loop


class RefusingStore(MemoryStore):
    def __init__(self):
        super().__init__()
        self.refuses = False

    def commit(self, puts, deletes=()):
        if self.refuses:
            raise ViewError("the disk is full")
        super().commit(puts, deletes)


def projector(log: MemoryLog, stores: list[MemoryStore]) -> tuple[Projector, LiveView]:
    shards = {partition: Shard(store, partition) for partition, store in enumerate(stores)}
    heads = {partition: shard.head() or Head(log.info(1).log_id, len(stores)) for partition, shard in shards.items()}
    view = LiveView(shards, {partition: head.next_offset for partition, head in heads.items()})
    return Projector(log.reader(view_positions(heads)), view, heads, Lifetimes()), view


def view_positions(heads: dict[int, Head]) -> dict[int, int]:
    return {partition: head.next_offset for partition, head in heads.items()}


def append(log: MemoryLog, *events) -> list[Position]:
    writer = log.writer()
    return [writer.append(one.key, one.value).result(1) for one in (record(event, 0) for event in events)]


def test_a_projector_folds_commits_and_then_publishes():
    # given
    log = MemoryLog(partitions=2)
    stores = [MemoryStore(), MemoryStore()]
    projecting, view = projector(log, stores)
    told = []
    view.subscribe([TASK], lambda change: told.append((change.meta.state, Shard(stores[at.partition], 0).head().next_offset)))

    # when
    at, *_ = append(log, sent(), started())
    taken = projecting.fold(projecting.poll(1))

    # then: whoever is told finds it committed
    assert taken == 2
    assert told == [("PENDING", 2), ("STARTED", 2)]
    assert view.position(at.partition) == 2
    projecting.close()


def test_who_begins_to_watch_while_a_poll_is_folded_is_told_of_it_in_order_with_the_others():
    # given: one who watches, and one who comes between the fold and its commit
    class Meanwhile(MemoryStore):
        act = staticmethod(lambda: None)

        def commit(self, puts, deletes=()):
            self.act()
            super().commit(puts, deletes)

    log, store, told = MemoryLog(), Meanwhile(), []

    def tell(change):
        told.append((change.subject, change.fact.position.offset, change.fact.event.kind, getattr(change.meta, "state", None)))

    projecting, view = projector(log, [store])
    view.subscribe(["early"], tell)
    store.act = lambda: view.subscribe(["late", GROUP], tell)
    append(log, sent(task_id="late"))
    append(log, sent(task_id="early"), group_sized(), started(task_id="late"), sent(), started(task_id="early"), succeeded(task_id="late"))

    # when
    projecting.fold(projecting.poll(1))

    # then
    assert [one for one in told if one[0] != GROUP] == [
        ("late", 0, "task-sent", "PENDING"),
        ("early", 1, "task-sent", "PENDING"),
        ("late", 3, "task-started", "STARTED"),
        ("early", 5, "task-started", "STARTED"),
        ("late", 6, "task-succeeded", "SUCCESS"),
    ]
    assert [one[:3] for one in told if one[0] == GROUP] == [(GROUP, 2, "group-sized")]
    projecting.close()


def test_revoke_requests_are_told_to_who_watches_them_all():
    # given
    log, told = MemoryLog(), []
    projecting, view = projector(log, [MemoryStore()])
    view.open_revokes(told.append)
    append(log, sent(), revoke_requested(), started(), revoke_requested(task_id="other"))

    # when
    projecting.fold(projecting.poll(1))

    # then
    assert [(change.subject, change.fact.position.offset, change.meta.revoke_request is not None) for change in told] == [
        (TASK, 1, True),
        ("other", 3, True),
    ]
    projecting.close()


def test_what_the_store_refuses_is_neither_told_nor_counted_as_folded():
    # given
    log = MemoryLog()
    store = RefusingStore()
    projecting, view = projector(log, [store])
    told = []
    view.subscribe([TASK], told.append)
    append(log, sent())

    # when
    store.refuses = True
    with pytest.raises(ViewError):
        projecting.fold(projecting.poll(1))

    # then
    assert told == []
    assert view.position(0) == 0
    assert projecting.heads[0].next_offset == 0
    projecting.close()


def test_a_poll_of_an_empty_log_ends_at_its_time_or_when_woken():
    # given
    log = MemoryLog()
    projecting, _ = projector(log, [MemoryStore()])

    # when
    projecting.wake()

    # then
    assert projecting.fold(projecting.poll(5)) == 0
    assert projecting.poll(0.01) == {}
    projecting.close()
    projecting.close()


def test_an_empty_poll_of_records_is_folded_as_a_step():
    folding = Folding()
    assert folding.poll([]) == []
    assert folding.head.next_offset == 0
    assert Poll((), 0).records == ()
