"""What leaves a shard, when, and in how large steps. The log's time is the test's."""

from __future__ import annotations

import pytest

from eventresults.log.base import Poll, Record
from eventresults.projector import Lifetimes, fold_poll
from eventresults.projector.batch import SWEEP_ROWS
from eventresults.view import agenda, keys
from eventresults.view.memory import MemoryStore
from tests.support.events import (
    GROUP,
    LOG_EPOCH,
    TASK,
    failed,
    forgotten,
    group_part,
    group_saved,
    sent,
    started,
    succeeded,
    unknown,
    updated,
)
from tests.support.views import Folding, record, rows

SECOND = 1_000
#: Unfinished lives go after 100 s, history stays 10 s longer than its row.
SHORT = Lifetimes(unfinished=100 * SECOND, history=10 * SECOND)


class ScanCounting(MemoryStore):
    def __init__(self):
        super().__init__()
        self.scanned = []

    def scan(self, start, stop, *, reverse=False):
        self.scanned.append(start)
        return super().scan(start, stop, reverse=reverse)


@pytest.fixture
def folding():
    return Folding(lifetimes=SHORT)


def tick(folding: Folding, seconds: float) -> None:
    """Let the log's time pass: some other task of it is told of, and leaves soon itself."""
    folding.log_time += int(seconds * SECOND)
    folding.tell(succeeded(task_id="tick", result_expires=0.001))


def left(folding: Folding, *tags: bytes) -> set[bytes]:
    """The rows with these tags that do not stem from `tick`."""
    return {row for tag in tags for row in rows(folding.store, tag) if b"tick" not in row}


def test_a_finished_life_leaves_with_its_listing_and_history_after_the_history_time(folding: Folding):
    # given
    folding.tell(sent(), succeeded(result_expires=5.0))

    # when: it has expired, and its history has not
    tick(folding, 14)

    # then
    assert folding.shard.task(TASK) is not None
    assert folding.history(TASK) == [0, 1]

    # when
    tick(folding, 2)

    # then
    assert folding.shard.task(TASK) is None
    assert left(folding, keys.STATE, keys.RECENT) == set()

    # when: its segment is looked at when the facts in it were to go at the latest
    tick(folding, 100)

    # then
    assert keys.history(0) not in rows(folding.store, keys.HISTORY)
    assert folding.head.counts["swept"] >= 2


def test_an_unfinished_life_leaves_after_its_own_time(folding: Folding):
    folding.tell(sent(), started())
    tick(folding, 109)
    assert folding.shard.task(TASK) is not None
    tick(folding, 2)
    assert folding.shard.task(TASK) is None


def test_what_never_expires_stays(folding: Folding):
    folding.tell(sent(), succeeded(result_expires=None))
    tick(folding, 10**6)
    tick(folding, 10**6)
    assert folding.history(TASK) == [0, 1]


def test_a_life_that_goes_on_is_not_swept_at_its_first_date(folding: Folding):
    # given: at second 0 it was to go at 110
    folding.tell(sent())
    tick(folding, 90)
    folding.tell(updated())

    # when
    tick(folding, 50)

    # then
    assert folding.shard.task(TASK) is not None
    assert folding.history(TASK)[0] == 0

    # when
    tick(folding, 61)

    # then
    assert folding.shard.task(TASK) is None
    assert left(folding, keys.STATE, keys.RECENT) == set()


def test_a_life_that_this_very_poll_refreshes_survives_its_sweep(folding: Folding):
    # given
    folding.tell(sent())
    # when: the next fact comes when its date has passed, yet within the life that it renews
    folding.log_time = LOG_EPOCH + 99 * SECOND
    folding.tell(updated())
    folding.log_time = LOG_EPOCH + 150 * SECOND
    folding.tell(started())

    # then
    assert folding.shard.task(TASK).state == "STARTED"
    assert folding.history(TASK) == [0, 1, 2]


def test_a_new_life_after_expiry_survives_the_sweep_of_the_old_one_in_one_poll(folding: Folding):
    # given
    folding.tell(sent(name="old"), succeeded(result_expires=1.0))

    # when: long after, in the poll that sweeps
    folding.tell(sent(name="new"), after=60 * SECOND)

    # then
    assert folding.shard.task(TASK).name == "new"
    assert left(folding, keys.RECENT) == {keys.recent(folding.shard.task(TASK).born_at, TASK)}


def test_history_does_not_tell_whether_the_sweep_came_by_before_the_new_life():
    # given: one shard whose sweep had its time, and one that gets both lives in one poll
    swept, unswept = Folding(lifetimes=SHORT), Folding(lifetimes=SHORT)
    life, later = [sent(), succeeded(result_expires=1.0)], sent(second=99)
    tick_event = sent(task_id="tick")

    # when
    swept.tell(*life)
    swept.tell(tick_event, after=60 * SECOND)
    swept.tell(later)
    unswept.log_time = LOG_EPOCH
    unswept.poll(
        [
            record(life[0], 0, log_time=LOG_EPOCH),
            record(life[1], 1, log_time=LOG_EPOCH + 1),
            record(tick_event, 2, log_time=LOG_EPOCH + 2 + 60 * SECOND),
            record(later, 3, log_time=LOG_EPOCH + 3 + 60 * SECOND),
        ]
    )

    # then
    assert swept.shard.task(TASK) == unswept.shard.task(TASK)
    assert swept.history(TASK) == unswept.history(TASK) == [3]


def test_history_stays_as_long_as_the_latest_life_that_needs_it(folding: Folding):
    # given: a segment with a short life and a long one
    folding.tell(sent(), sent(task_id="long"), succeeded(result_expires=1.0))
    folding.tell(succeeded(task_id="long", result_expires=1_000.0))

    # when
    tick(folding, 500)
    tick(folding, 1)

    # then
    assert folding.shard.task(TASK) is None
    assert folding.history("long") == [1, 3]

    # when
    tick(folding, 520)
    tick(folding, 1)

    # then
    assert left(folding, keys.STATE) == set()
    assert min(rows(folding.store, keys.HISTORY)) > keys.history(3)


def test_a_failure_that_is_tried_again_keeps_its_history(folding: Folding):
    folding.tell(sent(), failed(result_expires=1.0))
    folding.log_time += 500
    folding.tell(started(second=99))
    tick(folding, 60)
    assert folding.history(TASK) == [0, 1, 2]


def test_a_tombstone_leaves_when_its_life_would_have_expired(folding: Folding):
    folding.tell(sent(), succeeded(result_expires=5.0), forgotten())
    tick(folding, 14)
    assert folding.shard.task(TASK).phase == "forgotten"
    tick(folding, 2)
    assert folding.shard.task(TASK) is None


def test_groups_leave_too(folding: Folding):
    folding.tell(group_saved(result_expires=5.0), group_part(result_expires=7.0))
    tick(folding, 16)
    assert folding.history(GROUP) == [0, 1]
    tick(folding, 2)
    assert folding.shard.group(GROUP) is None
    assert left(folding, keys.GROUP) == set()


def test_a_group_that_the_sweeping_poll_refreshes_stays(folding: Folding):
    folding.tell(group_saved(result_expires=5.0))
    folding.tell(group_part(result_expires=100.0), after=2 * SECOND)
    folding.tell(group_part("other", group_index=1, result_expires=100.0), after=50 * SECOND)
    assert folding.history(GROUP) == [0, 1, 2]


def test_a_group_refreshed_in_the_very_poll_that_would_sweep_it_stays(folding: Folding):
    # given
    folding.tell(group_saved(result_expires=5.0))

    # when: within one poll it is refreshed in time, and the log's time passes its old date
    offset = folding.head.next_offset
    folding.poll(
        [
            record(group_part(result_expires=100.0), offset, log_time=LOG_EPOCH + 2 * SECOND),
            record(sent(task_id="tick"), offset + 1, log_time=LOG_EPOCH + 60 * SECOND),
        ]
    )

    # then
    assert folding.history(GROUP) == [0, 1]


def test_a_row_whose_date_moves_nearer_or_first_gets_one_leaves_in_time(folding: Folding):
    # given: one that would stay for 110 s, and one that would stay for ever
    folding.tell(sent(), failed(task_id="ever", result_expires=None))

    # when
    folding.tell(succeeded(result_expires=5.0), started(task_id="ever", second=99))
    tick(folding, 20)

    # then
    assert folding.shard.task(TASK) is None
    assert folding.shard.task("ever") is not None
    tick(folding, 100)
    assert folding.shard.task("ever") is None


def test_an_unknown_kind_without_an_id_does_not_hold_the_sweep_up(folding: Folding):
    # given
    folding.tell(sent(), unknown())
    foreign = b'{"kind": "lunar-phase", "time": "2026-01-01T00:00:00Z"}'
    folding.poll([Record(2, folding.log_time, TASK.encode(), foreign), Record(3, folding.log_time, b"x", foreign)])

    # when
    tick(folding, 120)
    tick(folding, 1)

    # then
    assert folding.shard.task(TASK) is None
    assert min(rows(folding.store, keys.HISTORY)) > keys.history(3)


@pytest.mark.parametrize("polls", [[4], [1, 1, 1, 1], [2, 2]])
def test_history_stays_whose_id_is_in_the_key_alone(folding: Folding, polls):
    # given: facts of an unknown kind without an id, in the history of a row that stays for ever
    foreign = b'{"kind": "lunar-phase", "time": "2026-01-01T00:00:00Z"}'
    told = [
        record(sent(), 0, log_time=LOG_EPOCH),
        Record(1, LOG_EPOCH, TASK.encode(), foreign),
        Record(2, LOG_EPOCH, TASK.encode(), foreign),
        record(succeeded(result_expires=None), 3, log_time=LOG_EPOCH),
    ]
    for size in polls:
        folding.poll(told[:size])
        told = told[size:]

    # when
    tick(folding, 1_000)
    tick(folding, 1_000)

    # then
    assert folding.history(TASK) == [0, 1, 2, 3]


def test_a_poll_that_is_folded_again_takes_nothing_off_the_agenda(folding: Folding):
    # given: of the two records only the garbage is taken again
    polled = [record(sent(), 0, log_time=LOG_EPOCH), Record(1, LOG_EPOCH, b"k", b"garbage")]
    folding.poll(polled)

    # when: as if the head had been lost
    Folding(folding.store, lifetimes=SHORT).poll(polled)

    # then
    awaited = {row for raw in rows(folding.store, keys.EXPIRY).values() for _, row in agenda.read(raw)}
    assert awaited == {keys.state(TASK), keys.history(0), keys.dead(1)}


def test_dead_letters_leave_as_well(folding: Folding):
    folding.poll([Record(0, LOG_EPOCH, b"k", b"garbage")])
    tick(folding, 109)
    assert list(folding.shard.dead_letters()) != []
    tick(folding, 2)
    assert list(folding.shard.dead_letters()) == []


def test_a_sweep_takes_bounded_steps_and_comes_to_an_end(folding: Folding):
    # given
    count = 4 * SWEEP_ROWS
    folding.tell(*(succeeded(task_id=f"t{number}", result_expires=1.0) for number in range(count)))

    # when
    tick(folding, 60)

    # then
    first = count - len(left(folding, keys.STATE))
    assert 0 < first <= SWEEP_ROWS

    # when
    for _ in range(8):
        tick(folding, 0)

    # then
    assert left(folding, keys.STATE, keys.RECENT) == set()
    assert len(rows(folding.store, keys.HISTORY)) <= 10
    awaited = [row for raw in rows(folding.store, keys.EXPIRY).values() for _, row in agenda.read(raw)]
    assert all(b"tick" in row or row[:1] == keys.HISTORY for row in awaited)


def test_a_large_poll_sweeps_as_much_as_it_brings(folding: Folding):
    # given: as many rows are over as the next poll brings
    folding.tell(*(succeeded(task_id=f"t{number}", result_expires=1.0) for number in range(3_000)))

    # when
    folding.tell(*(succeeded(task_id=f"u{number}", result_expires=1.0) for number in range(3_000)), after=60 * SECOND)

    # then
    assert left(folding, keys.STATE) == {keys.state(f"u{number}") for number in range(3_000)}


def test_nothing_is_scanned_while_nothing_can_be_due():
    # given
    store = ScanCounting()
    folding = Folding(store, lifetimes=SHORT)
    folding.tell(sent())
    folding.tell(started())

    # when
    store.scanned.clear()
    for _ in range(10):
        folding.tell(updated())

    # then
    assert store.scanned == []


def test_a_sweep_goes_on_where_the_last_one_ended():
    # given
    store = ScanCounting()
    folding = Folding(store, lifetimes=SHORT)
    folding.tell(succeeded(task_id="first", result_expires=1.0))
    folding.tell(succeeded(task_id="second", result_expires=50.0))
    tick(folding, 15)
    assert left(folding, keys.STATE) == {keys.state("second")}

    # when
    store.scanned.clear()
    tick(folding, 50)

    # then: not at the beginning, where the traces of what was removed lie
    assert left(folding, keys.STATE) == set()
    assert store.scanned[0] > keys.EXPIRY + keys.number(LOG_EPOCH + 11 * SECOND)


def test_a_sweep_that_was_cut_off_goes_on_after_reopening():
    # given
    folding = Folding(lifetimes=SHORT)
    folding.tell(sent(), succeeded(result_expires=1.0))
    again = Folding(folding.store, lifetimes=SHORT)
    again.log_time = folding.log_time

    # when
    tick(again, 60)

    # then
    assert again.shard.task(TASK) is None


def test_a_batch_that_is_not_committed_leaves_the_sweep_where_it_was():
    # given
    folding = Folding(lifetimes=SHORT)
    folding.tell(sent(), succeeded(result_expires=1.0))
    late = record(sent(task_id="tick"), 2, log_time=LOG_EPOCH + 60 * SECOND)

    # when: folded, and lost with a crash
    fold_poll(folding.shard, folding.head, Poll([late], 3), SHORT)

    # then
    assert folding.shard.task(TASK) is not None
    folding.poll([late])
    assert folding.shard.task(TASK) is None
