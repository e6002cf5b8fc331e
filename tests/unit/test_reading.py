"""How new an answer is: what asks the log and what does not, what waits for what, and what a read says that waited in vain."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from time import monotonic

import pytest

from eventresults.codec.events import encode_event
from eventresults.domain.events import Event
from eventresults.domain.position import Position
from eventresults.errors import Closed, InvalidTaskId, LogUnavailable, TopicMisconfigured, ViewCorrupt, ViewStale
from eventresults.log.appends import Append
from eventresults.log.memory import MemoryLog
from eventresults.log.own import OwnWrites
from eventresults.projector import Projector
from eventresults.reading import FreshReader
from eventresults.view import keys
from eventresults.view.live import LiveView
from eventresults.view.memory import MemoryStore
from eventresults.view.shard import Head, Shard
from tests.support.events import (
    GROUP,
    LOG_EPOCH,
    TASK,
    failed,
    forgotten,
    group_saved,
    group_sized,
    revoke_requested,
    sent,
    started,
    succeeded,
)
from tests.support.views import FakeClock, until


class AskedLog(MemoryLog):
    """A log that counts the questions for its end, can be slow to answer, and can refuse to."""

    def __init__(self, *, partitions: int = 1, clock=None):
        super().__init__(partitions=partitions, clock=clock)
        self.asked = 0
        self.refusal = None
        self.answers = threading.Event()
        self.answers.set()

    def ends(self, partitions, timeout):
        self.asked += 1
        if not self.answers.wait(timeout):
            raise LogUnavailable("no answer", url=self.url, reason="no answer")
        if self.refusal is not None:
            raise self.refusal
        return super().ends(partitions, timeout)


class Desk:
    """A log, a view of it and a reader; the view moves only when `fold` is called."""

    def __init__(self, *, partitions: int = 1, read_timeout: float = 5.0):
        self.clock = FakeClock()
        self.log = AskedLog(partitions=partitions, clock=self.clock)
        self.writer = self.log.writer()
        self.own = OwnWrites()
        shards = {partition: Shard(MemoryStore(), partition) for partition in range(partitions)}
        heads = {partition: Head(self.log.info(1).log_id, partitions) for partition in shards}
        self.view = LiveView(shards, dict.fromkeys(shards, 0))
        self.projector = Projector(self.log.reader(dict.fromkeys(shards, 0)), self.view, heads)
        self.reader = FreshReader(self.view, self.log, self.own, read_timeout=read_timeout, clock=self.clock)

    def tell(self, *events: Event) -> list[Position]:
        return [self.writer.append(event.subject.encode(), encode_event(event)).result(1) for event in events]

    def fold(self) -> None:
        self.projector.fold(self.projector.poll(0))

    @contextmanager
    def folding_later(self, seconds: float = 0.05):
        """Fold on another thread, after a while."""
        timer = threading.Timer(seconds, self.fold)
        timer.start()
        yield
        timer.join(5)

    def close(self) -> None:
        self.projector.close()
        self.view.close()
        self.log.close()


@pytest.fixture
def desk():
    desk = Desk()
    yield desk
    desk.close()


@pytest.fixture
def desk_of_three():
    desk = Desk(partitions=3)
    yield desk
    desk.close()


# What asks the log


def test_a_success_is_served_without_a_question_to_the_log(desk: Desk):
    # given
    desk.tell(sent(), succeeded(result=7))
    desk.fold()

    # when
    found = desk.reader.get(TASK)

    # then
    assert found.result == 7
    assert desk.log.asked == 0


def test_a_success_is_served_while_the_log_is_out_of_reach(desk: Desk):
    desk.tell(sent(), succeeded(result=7))
    desk.fold()
    desk.log.refusal = LogUnavailable("gone", url="", reason="gone")
    assert desk.reader.get(TASK).result == 7
    assert desk.reader.get_many([TASK])[TASK].result == 7


@pytest.mark.parametrize("facts", [[], [sent()], [sent(), failed()], [sent(), succeeded(), forgotten()], [revoke_requested()]])
def test_any_other_answer_asks_the_log(desk: Desk, facts):
    # given
    desk.tell(*facts)
    desk.fold()

    # when
    desk.reader.get(TASK)

    # then
    assert desk.log.asked == 1


def test_the_latest_always_asks(desk: Desk):
    desk.tell(sent(), succeeded())
    desk.fold()
    desk.reader.get(TASK, freshness="latest")
    desk.reader.get_many([TASK], freshness="latest")
    assert desk.log.asked == 2


def test_what_is_applied_asks_nobody(desk: Desk):
    # given
    desk.tell(sent())
    desk.fold()
    desk.tell(started())

    # when / then
    assert desk.reader.get(TASK, freshness="applied").state == "PENDING"
    assert desk.reader.get("nobody", freshness="applied") is None
    assert desk.reader.get_many([TASK, "nobody"], freshness="applied")["nobody"] is None
    assert desk.reader.group(GROUP, freshness="applied") is None
    assert len(desk.reader.history(TASK, freshness="applied")) == 1
    assert len(desk.reader.recent(freshness="applied").items) == 1
    assert desk.log.asked == 0


def test_many_are_read_with_one_question_and_only_for_those_that_need_it(desk_of_three: Desk):
    # given
    desk = desk_of_three
    ids = [f"t{number}" for number in range(20)]
    desk.tell(*(succeeded(task_id=task_id, result=task_id) for task_id in ids))
    desk.fold()

    # when / then: all have succeeded
    assert {task_id: meta.result for task_id, meta in desk.reader.get_many(ids).items()} == {task_id: task_id for task_id in ids}
    assert desk.log.asked == 0

    # when / then: some have not
    found = desk.reader.get_many([*ids, "nobody", "no one"])
    assert list(found) == [*ids, "nobody", "no one"]
    assert found["nobody"] is None
    assert desk.log.asked == 1


def test_every_other_read_asks(desk: Desk):
    for number, read in enumerate((lambda: desk.reader.group(GROUP), lambda: desk.reader.history(TASK), desk.reader.recent), start=1):
        read()
        assert desk.log.asked == number


# Waiting


def test_a_read_waits_until_the_view_has_folded_what_was_there_when_it_began(desk: Desk):
    # given
    desk.tell(sent())

    # when
    with desk.folding_later():
        found = desk.reader.get(TASK)

    # then
    assert found.state == "PENDING"


@pytest.mark.parametrize("read", ["get", "get_many", "history", "group", "recent", "opened"])
def test_every_read_is_of_what_was_there_when_it_began(desk: Desk, read: str):
    # given
    desk.tell(sent(), group_saved(), group_sized(0))
    ask = {
        "get": lambda: desk.reader.get(TASK),
        "get_many": lambda: desk.reader.get_many([TASK])[TASK],
        "history": lambda: desk.reader.history(TASK),
        "group": lambda: desk.reader.group(GROUP),
        "recent": lambda: desk.reader.recent().items,
        "opened": lambda: desk.reader.opened("group").items,
    }[read]

    # when / then
    with desk.folding_later():
        assert ask()


def test_a_position_waits_for_exactly_that(desk: Desk):
    # given
    first, second = desk.tell(sent(), started())
    desk.fold()
    [third] = desk.tell(succeeded())

    # when / then: what is folded is served at once, and nobody is asked
    assert desk.reader.get(TASK, freshness=first).state == "STARTED"
    assert desk.reader.get(TASK, freshness=second).state == "STARTED"
    with desk.folding_later():
        assert desk.reader.get(TASK, freshness=third).state == "SUCCESS"
    assert desk.log.asked == 0


def test_a_position_outside_of_the_view_is_an_error_at_once(desk: Desk):
    with pytest.raises(ValueError, match="none of the partitions"):
        desk.reader.get(TASK, freshness=Position(7, 0))
    with pytest.raises(ValueError, match="none of the partitions"):
        desk.reader.wait_until(Position(1, 0))


def test_waiting_for_a_position_tells_whether_it_came(desk: Desk):
    [at] = desk.tell(sent())
    assert not desk.reader.wait_until(at, timeout=0.02)
    desk.fold()
    assert desk.reader.wait_until(at, timeout=0)


@pytest.mark.parametrize("timeout", [0.0, 0.03, 0.2])
def test_a_read_that_waits_in_vain_ends_in_time_and_says_where_the_view_stands(desk: Desk, timeout: float):
    # given
    desk.tell(sent())
    desk.fold()
    desk.tell(started(), succeeded())

    # when: several times, for the machine may be busy with others
    took = []
    for _ in range(5):
        begun = monotonic()
        with pytest.raises(ViewStale) as caught:
            desk.reader.get(TASK, timeout=timeout)
        took.append(monotonic() - begun)

    # then
    assert timeout <= min(took) < timeout + 0.01
    error = caught.value
    assert (error.partition, error.position, error.end, error.lag, error.eta) == (0, 1, 3, 2, None)
    assert "stands at 1 of 3 (2 records behind)" in str(error)
    assert "applied" in str(error)


def test_the_read_timeout_bounds_the_callers(desk: Desk):
    # given
    desk.tell(sent())
    reader = FreshReader(desk.view, desk.log, desk.own, read_timeout=0.05)

    # when / then
    begun = monotonic()
    with pytest.raises(ViewStale):
        reader.get(TASK, timeout=60)
    with pytest.raises(ViewStale):
        reader.get(TASK)
    assert monotonic() - begun < 1


def test_a_read_of_a_view_that_moves_estimates_how_long_it_will_take(desk: Desk):
    # given
    desk.tell(*(started() for _ in range(100)))
    desk.fold()
    desk.tell(*(started() for _ in range(100)))
    threading.Timer(0.02, lambda: desk.view.publish(0, 150, [])).start()

    # when
    with pytest.raises(ViewStale) as caught:
        desk.reader.get(TASK, timeout=0.2)

    # then: 50 in 0.2 s, so another 50 in 0.2 s
    assert caught.value.eta == pytest.approx(0.2, rel=0.5)
    assert "At its present pace" in str(caught.value)


def test_a_read_that_waits_in_vain_says_what_holds_the_view_up(desk: Desk):
    # given
    desk.tell(sent())
    desk.view.hold_up(LogUnavailable("broker 3 is on fire"))

    # when / then
    with pytest.raises(ViewStale, match="held up: broker 3 is on fire"):
        desk.reader.get(TASK, timeout=0.01)


def test_a_log_that_does_not_answer_makes_the_read_stale_in_time(desk: Desk):
    # given
    desk.log.answers.clear()

    # when
    begun = monotonic()
    with pytest.raises(ViewStale, match="end of the log cannot be asked") as caught:
        desk.reader.get(TASK, timeout=0.05)

    # then
    assert monotonic() - begun < 1
    assert isinstance(caught.value.__cause__, LogUnavailable)


def test_a_topic_that_is_wrong_is_told_as_such(desk: Desk):
    desk.log.refusal = TopicMisconfigured("no topic", topic="t", problems=[])
    with pytest.raises(TopicMisconfigured):
        desk.reader.get(TASK)


def test_readers_at_the_same_time_share_questions(desk: Desk):
    # given: forty readers while the log is slow
    desk.tell(sent())
    desk.fold()
    desk.log.answers.clear()
    found = []
    threads = [threading.Thread(target=lambda: found.append(desk.reader.get(TASK))) for _ in range(40)]
    for thread in threads:
        thread.start()
    until(lambda: desk.log.asked == 1)

    # when
    desk.log.answers.set()
    for thread in threads:
        thread.join(5)

    # then
    assert [meta.state for meta in found] == ["PENDING"] * 40
    assert desk.log.asked <= 4


def test_a_read_after_an_append_sees_it_though_a_question_was_in_flight(desk: Desk):
    """Linearizable: an end that was asked for before the read began does not count."""
    # given: a question under way
    desk.log.answers.clear()
    early = threading.Thread(target=lambda: desk.reader.get(TASK))
    early.start()
    until(lambda: desk.log.asked == 1)

    # when: something is appended, and then read by another thread
    desk.tell(sent())
    found = []
    late = threading.Thread(target=lambda: found.append(desk.reader.get(TASK)))
    late.start()
    desk.log.answers.set()
    with desk.folding_later():
        early.join(5)
        late.join(5)

    # then
    assert found[0] is not None


# Own writes


class Late:
    """A fact of this process on its way, acknowledged by the test."""

    def __init__(self, desk: Desk, subject: str = TASK):
        self.future = Append()
        assert desk.own.enter(subject, self.future, most=32, timeout=1)


READS = {
    "get": lambda reader: reader.get(TASK, freshness="applied", timeout=0.5),
    "get_many": lambda reader: reader.get_many(["other", TASK], freshness="applied", timeout=0.5)[TASK],
    "history": lambda reader: reader.history(TASK, freshness="applied", timeout=0.5),
    "recent": lambda reader: reader.recent(freshness="applied", timeout=0.5).items,
}


@pytest.mark.parametrize("read", READS)
def test_own_writes_are_seen_on_every_path_once_they_are_acknowledged(desk: Desk, read: str):
    # given: handed over, not acknowledged
    late = Late(desk)

    def acknowledge():
        [at] = desk.tell(sent())
        late.future.set_result(at)
        desk.fold()

    threading.Timer(0.05, acknowledge).start()

    # when / then
    assert READS[read](desk.reader)


@pytest.mark.parametrize("read", READS)
def test_own_writes_that_the_view_has_not_folded_are_waited_for(desk: Desk, read: str):
    # given
    late = Late(desk)
    [at] = desk.tell(sent())
    late.future.set_result(at)

    # when / then
    with desk.folding_later():
        assert READS[read](desk.reader)


@pytest.mark.parametrize("read", READS)
def test_own_writes_that_are_never_acknowledged_make_the_read_stale(desk: Desk, read: str):
    Late(desk)
    begun = monotonic()
    with pytest.raises(ViewStale, match="not acknowledged yet"):
        READS[read](FreshReader(desk.view, desk.log, desk.own, read_timeout=0.05))
    assert monotonic() - begun < 1


def test_own_writes_of_another_id_hold_nobody_up(desk: Desk):
    Late(desk, "other")
    desk.tell(sent())
    desk.fold()
    assert desk.reader.get(TASK, timeout=0.05).state == "PENDING"


def test_a_success_is_not_served_before_an_own_forgetting(desk: Desk):
    # given
    desk.tell(succeeded())
    desk.fold()
    late = Late(desk)
    [at] = desk.tell(forgotten())
    late.future.set_result(at)

    # when / then
    with desk.folding_later():
        assert desk.reader.get(TASK) is None


def test_an_own_write_that_failed_is_not_waited_for(desk: Desk):
    late = Late(desk)
    late.future.set_exception(LogUnavailable("gone", url="", reason=""))
    assert desk.reader.get(TASK, freshness="applied", timeout=0.05) is None


def test_an_own_write_is_forgotten_once_it_was_waited_for(desk: Desk):
    late = Late(desk)
    late.future.set_result(desk.tell(sent())[0])
    desk.fold()
    desk.reader.get(TASK)
    assert not desk.own.concerns(TASK)


# Expiry


def test_a_row_is_hidden_the_moment_its_time_is_over(desk: Desk):
    # given
    desk.tell(sent(), succeeded(result_expires=10.0))
    desk.fold()

    # when / then
    desk.clock.now = LOG_EPOCH + 9_999
    assert desk.reader.get(TASK) is not None
    desk.clock.now = LOG_EPOCH + 10_000
    assert desk.reader.get(TASK) is None
    assert desk.reader.get_many([TASK]) == {TASK: None}
    assert desk.reader.recent().items == []


def test_history_is_told_of_what_has_expired(desk: Desk):
    desk.tell(sent(), succeeded(result_expires=10.0))
    desk.fold()
    desk.clock.now += 3_600_000
    assert [fact.event.kind for fact in desk.reader.history(TASK)] == ["task-sent", "task-succeeded"]


def test_a_group_is_hidden_when_it_has_expired(desk: Desk):
    desk.tell(group_saved(result_expires=10.0))
    desk.fold()
    assert desk.reader.group(GROUP) is not None
    desk.clock.now += 10_000
    assert desk.reader.group(GROUP) is None


def test_an_id_that_is_only_requested_does_not_exist_and_has_a_history(desk: Desk):
    desk.tell(revoke_requested())
    desk.fold()
    assert desk.reader.get(TASK) is None
    assert len(desk.reader.history(TASK)) == 1


# When the view is not what it should be


def test_a_log_that_ends_before_the_view_makes_the_read_stale_and_the_view_doubted(desk: Desk):
    # given
    desk.tell(sent(), started())
    desk.fold()
    desk.log.lose_from(Position(0, 1))

    # when
    with pytest.raises(ViewStale, match="lost its tail") as caught:
        desk.reader.get(TASK)

    # then
    assert desk.view.doubt_open
    assert (caught.value.position, caught.value.end) == (2, 1)


def test_a_read_is_of_one_generation_and_waits_for_the_one_that_takes_its_place(desk: Desk):
    # given: a view that knows of the sending, and a reader who waits for the start
    desk.tell(sent())
    desk.fold()
    desk.tell(started())
    found = []
    thread = threading.Thread(target=lambda: found.append(desk.reader.get(TASK)))
    thread.start()
    until(lambda: desk.log.asked == 1)

    # when: an empty generation takes the place, and is then folded; the old shards are still to be read
    old = desk.view.replace({0: Shard(MemoryStore(), 0)}, {0: 0}, same_log=True)
    projector = Projector(desk.log.reader({0: 0}), desk.view, {0: Head(desk.log.info(1).log_id, 1)})
    projector.fold(projector.poll(1))
    projector.close()

    # then
    thread.join(5)
    assert found[0].state == "STARTED"
    assert old[0].task(TASK).state == "PENDING"


def test_a_read_that_meets_closed_shards_waits_for_the_next_generation(desk: Desk):
    # given
    desk.tell(sent(), succeeded())
    desk.fold()
    for shard in desk.view.shards.values():
        shard.close()
    desk.view._shards[0]._tasks.drop(TASK)
    fresh = Shard(MemoryStore(), 0)
    head = Head(desk.log.info(1).log_id, 1)

    def heal():
        desk.view.replace({0: fresh}, {0: 0}, same_log=True)
        projector = Projector(desk.log.reader({0: 0}), desk.view, {0: head})
        projector.fold(projector.poll(1))
        projector.close()

    threading.Timer(0.05, heal).start()

    # when / then
    assert desk.reader.get(TASK).state == "SUCCESS"


def test_a_read_that_meets_closed_shards_for_too_long_says_so(desk: Desk):
    for shard in desk.view.shards.values():
        shard.close()
    with pytest.raises(ViewStale, match="opened again"):
        desk.reader.get(TASK, timeout=0.05)


def test_a_damaged_row_is_told_and_doubted(desk: Desk):
    # given
    desk.view.shard(0)._store.commit({keys.state(TASK): b"\x01\xc1"})

    # when / then
    with pytest.raises(ViewCorrupt):
        desk.reader.get(TASK)
    assert isinstance(desk.view.take_doubt(), ViewCorrupt)


def test_own_writes_of_a_log_that_is_gone_are_not_waited_for_for_ever(desk: Desk):
    # given: a write far into the log before
    late = Late(desk)
    late.future.set_result(Position(0, 1_000))

    # when: another log takes its place
    desk.view.replace({0: Shard(MemoryStore(), 0)}, {0: 0}, same_log=False)

    # then
    assert desk.reader.get(TASK, timeout=0.5) is None


def test_a_closed_view_refuses_reads_and_releases_those_that_wait(desk: Desk):
    # given
    desk.tell(sent())
    outcome = []

    def read():
        try:
            desk.reader.get(TASK)
        except Closed as error:
            outcome.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    until(lambda: desk.log.asked == 1)

    # when
    desk.reader.close()

    # then
    thread.join(5)
    assert len(outcome) == 1
    with pytest.raises(Closed):
        desk.reader.get(TASK)
    with pytest.raises(Closed):
        desk.reader.recent()


@pytest.mark.parametrize("bad", ["", "x" * 1025, "\ud800", None])
def test_an_id_that_cannot_be_one_is_refused(desk: Desk, bad):
    for read in (desk.reader.get, desk.reader.group, desk.reader.history, lambda one: desk.reader.get_many([one])):
        with pytest.raises(InvalidTaskId):
            read(bad)
