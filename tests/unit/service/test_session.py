"""What is told to a reader at the other end of a connection: everything, once, in order, whatever becomes of the connection."""

from __future__ import annotations

import struct
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventresults.domain.position import Position
from eventresults.errors import Closed, TopicMisconfigured, ViewStale, ViewUnavailable
from eventresults.log.own import OwnWrites
from eventresults.projector import replay
from eventresults.reading import RemoteReader
from eventresults.service import feed as feeds
from eventresults.service import session as sessions
from eventresults.service import watches
from eventresults.view import protocol
from eventresults.view.base import Change, Fact
from eventresults.view.listeners import Listeners
from eventresults.view.remote import RemoteView
from tests.support.events import (
    failed,
    forgotten,
    group_part,
    group_saved,
    group_sized,
    revoke_requested,
    sent,
    started,
    succeeded,
    updated,
)
from tests.support.views import until
from tests.unit.service.wire import Heard, Shown, Wire, running_loop

IDS = ["a", "b", "c", "d"]
MAKE = [sent, started, updated, succeeded, failed, forgotten]


@pytest.fixture(scope="module")
def running():
    with running_loop() as running:
        yield running


def reading(shown: Shown, running, heard: Heard, after=None, **wire) -> tuple[RemoteView, Wire]:
    channel = Wire(shown, *running, **wire)
    view = RemoteView(channel, heard.listeners, name="test", after=after)
    if after is None:  # from when on it hears is for its first read to say
        until(lambda: channel.session.watched == len(heard.listeners.subjects()))
    return view, channel


def beat(wire: Wire) -> None:
    wire.do(wire.session.beat)


# Watching


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.one_of(
            st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(MAKE)), min_size=1, max_size=6),
            st.integers(0, 6),
            st.just("beat"),
        ),
        min_size=1,
        max_size=14,
    )
)
def test_who_was_away_is_told_what_who_was_not_was_told(running, steps):
    # given: one who never is away, and one whose connection is cut after any number of messages
    shown = Shown()
    steady, away = Heard(), Heard(*IDS)
    shown.view.subscribe(IDS, steady.changes.append)
    view, wire = reading(shown, running, away)

    # when
    for step in steps:
        if step == "beat":
            beat(wire)
        elif isinstance(step, int):
            view.close()
            view, wire = reading(shown, running, away, view.told, cut_after=1 + step)
        else:
            shown.tell(*(make(task_id=one) for one, make in step))
    view.close()
    view, wire = reading(shown, running, away, view.told)

    # then
    until(lambda: len(away.changes) >= len(steady.changes))
    beat(wire)
    view.call(protocol.Said, protocol.Ask, "a question that is answered after all", {}, timeout=5)
    for one in IDS:
        assert away.of(one) == steady.of(one)
    view.close()


@settings(max_examples=60)
@given(facts=st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(MAKE)), max_size=25), cut=st.data())
def test_history_after_a_vector_is_what_was_told_live_after_it(facts, cut):
    # given
    shown, steady = Shown(), Heard()
    shown.view.subscribe(IDS, steady.changes.append)
    for one, make in facts:
        shown.tell(make(task_id=one))
    after = {p: cut.draw(st.integers(0, head.next_offset)) for p, head in shown.heads.items()}

    # when
    told = list(replay(shown.view, shown.log, IDS, after, shown.view.reached(), shown.served.lifetimes))

    # then
    for one in IDS:
        expected = [
            change
            for change in steady.changes
            if change.subject == one and change.fact.position.offset >= after[change.fact.position.partition]
        ]
        assert [change for change in told if change.subject == one] == expected


def test_what_is_told_while_a_reader_connects_is_neither_lost_nor_told_twice(running):
    # given: a poll that is committed, whose telling has begun
    shown, heard = Shown(), Heard("a")
    shown.tell(sent(task_id="a"))
    [(partition, position, changes)] = shown.commit(started(task_id="a"))
    begun, go = threading.Event(), threading.Event()

    def telling():
        yield from changes
        begun.set()
        assert go.wait(5)

    teller = threading.Thread(target=lambda: shown.view.publish(partition, position, telling()))
    shown.view.subscribe(["a"], lambda _: None)
    teller.start()
    assert begun.wait(5)

    # when
    view, _ = reading(shown, running, heard, ("a-log", {0: 0, 1: 0}))
    assert heard.changes == []
    go.set()
    teller.join(5)
    shown.tell(succeeded(task_id="a"))

    # then
    until(lambda: len(heard.changes) >= 3)
    assert [offset for offset, _ in heard.of("a")] == [0, 1, 2]
    view.close()


def test_who_was_told_of_another_log_is_told_all_of_this_one_once(running):
    # given: its offsets are those of the log before
    shown, heard = Shown(), Heard("a")
    shown.tell(sent(task_id="a"), started(task_id="a"))
    heard.listeners.catch_up()  # of the log before, it heard more than it knows to have been told
    heard.listeners.tell(Change("a", Fact(Position(shown.log.partition_for(b"a"), 7), 0, sent(task_id="a")), None))
    heard.changes.clear()

    # when
    view, wire = reading(shown, running, heard, ("another log", dict.fromkeys(shown.heads, 9)))
    shown.tell(succeeded(task_id="a"))
    beat(wire)

    # then
    until(lambda: view.told[1] == shown.view.told)
    assert [(offset, meta.state) for offset, meta in heard.of("a")] == [(0, "PENDING"), (1, "STARTED"), (2, "SUCCESS")]
    view.close()


def test_a_view_that_is_filled_anew_tells_a_reader_only_what_it_did_not_know(running):
    # given: a reader who was told of two facts by an owner whose view is lost
    shown, heard = Shown(), Heard("a")
    partition = shown.log.partition_for(b"a")
    shown.log.ends = lambda partitions, _: dict.fromkeys(partitions, 4)
    view, wire = reading(shown, running, heard, ("a-log", {partition: 2}))

    # when
    shown.tell(sent(task_id="a"))
    beat(wire)
    shown.tell(started(task_id="a"), updated(task_id="a"))
    shown.tell(succeeded(task_id="a"))

    # then
    until(lambda: len(heard.changes) >= 2)
    until(lambda: not view._catching)
    assert [offset for offset, _ in heard.of("a")] == [2, 3]
    assert view.told == ("a-log", {partition: 4})
    view.close()


def test_a_reader_that_does_not_read_lags_and_is_then_told_everything_once_in_order(running, monkeypatch):
    # given
    monkeypatch.setattr(feeds, "QUEUED_CHANGES", 50)
    monkeypatch.setattr(feeds, "BUFFERED_BYTES", 2_000)
    shown, heard = Shown(), Heard("a", "b")
    view, wire = reading(shown, running, heard)
    wire.reads.clear()

    # when
    for number in range(300):
        shown.tell(updated(task_id="ab"[number % 2], state=f"S{number}"))
        beat(wire)  # it must not claim what was dropped
    wire.reads.set()

    # then
    until(lambda: len(heard.changes) >= 300)
    beat(wire)
    assert [meta.state for _, meta in heard.of("a")] == [f"S{number}" for number in range(0, 300, 2)]
    assert [meta.state for _, meta in heard.of("b")] == [f"S{number}" for number in range(1, 300, 2)]
    assert any(isinstance(protocol.reply(frame), protocol.Lagged) for frame in wire.frames)
    view.close()


def test_requests_to_revoke_that_were_dropped_end_the_connection_for_the_log_to_be_asked(running, monkeypatch):
    # given
    monkeypatch.setattr(feeds, "QUEUED_CHANGES", 5)
    monkeypatch.setattr(feeds, "BUFFERED_BYTES", 1)
    shown, heard = Shown(), Heard()
    heard.listeners.add_for_revokes(heard.changes.append)
    lost = threading.Event()
    channel = Wire(shown, *running)
    view = RemoteView(channel, heard.listeners, name="test", on_lost=lambda _: lost.set())
    until(lambda: shown.view.guests.of_revokes)
    channel.reads.clear()

    # when
    for number in range(20):
        shown.tell(revoke_requested(task_id=f"t{number}"))
    channel.reads.set()

    # then
    assert lost.wait(5)
    assert view.lost
    assert not shown.view.guests.of_revokes


def test_who_stops_watching_is_told_no_more_and_leaves_nothing_behind(running):
    # given
    shown, heard = Shown(), Heard()
    view, wire = reading(shown, running, heard)
    subscription = heard.listeners.add(["a", "b"], heard.changes.append)
    view.flush()
    until(lambda: wire.session.watched == 2)

    # when
    subscription.close()
    view.flush()

    # then
    until(lambda: wire.session.watched == 0)
    assert not shown.view.guests
    shown.tell(sent(task_id="a"))
    beat(wire)
    assert heard.changes == []
    view.close()
    until(lambda: not shown.view.guests)


def test_many_ids_are_watched_on_one_connection(running):
    # given
    shown, heard = Shown(), Heard(*(f"t{number}" for number in range(30_000)))

    # when
    view, wire = reading(shown, running, heard, ("a-log", {0: 0, 1: 0}))

    # then
    until(lambda: wire.session.watched == 30_000)
    until(lambda: not view._catching)
    shown.tell(sent(task_id="t29999"))
    until(lambda: heard.changes)
    view.close()
    until(lambda: not shown.view.guests)


# Questions


def test_a_reader_at_a_distance_answers_as_the_owner_does(running):
    # given
    shown, heard = Shown(), Heard()
    shown.tell(sent(task_id="a", name="add"), succeeded(task_id="a"), sent(task_id="b"), group_saved(group_id="g"))
    shown.tell(*(group_sized(1, group_id=one) for one in "xyz"), *(group_part("a", group_id=one, result="r") for one in "xyz"))
    view, _ = reading(shown, running, heard)
    far = RemoteReader(view, shown.log, OwnWrites(), heard.listeners)
    near = shown.served.reader

    # then
    assert far.get("a") == near.get("a")
    applied = {"freshness": "applied"}
    assert far.get_many(["b", "nobody", "a", "b"], **applied) == near.get_many(["b", "nobody", "a", "b"], **applied)
    assert far.group("g", **applied) == near.group("g", **applied)
    assert far.history("a", **applied) == near.history("a", **applied)
    assert far.recent(name="add", limit=1, **applied) == near.recent(name="add", limit=1, **applied)
    assert far.group("x", **applied).parts == {"a/0": ["SUCCESS", near.history("x", **applied)[-1].position.offset]}
    brief = far.group("x", **applied, brief=True)
    assert brief == near.group("x", **applied, brief=True)
    assert (brief.parts, brief.completed_by is None) == (None, False)
    first = far.opened("group", limit=2, **applied)
    assert first == near.opened("group", limit=2, **applied)
    assert [row.subject for row in far.opened("group", cursor=first.cursor, **applied).items] == ["z"]
    assert far.opened("revoke", **applied) == ([], None)
    with pytest.raises(ValueError, match="no cursor"):
        far.opened("group", cursor="?", **applied)
    assert far.wait_until(Position(0, 0), 0) in (True, False)
    assert not far.wait_until(Position(0, 99), 0.01)
    assert far.ask("what", {"n": 1}, 1) == ["what", {"n": 1}]
    view.close()


def test_an_answer_that_is_too_large_for_one_message_comes_in_several(running, monkeypatch):
    # given
    monkeypatch.setattr(sessions, "ANSWERED_BYTES", 3_000)
    shown, heard = Shown(), Heard()
    ids = [f"t{number}" for number in range(100)]
    shown.tell(*(succeeded(task_id=one, result="x" * 500) for one in ids))
    view, _ = reading(shown, running, heard)

    # when / then
    found = RemoteReader(view, shown.log, OwnWrites(), heard.listeners).get_many(ids)
    assert [meta.task_id for meta in found.values()] == ids
    view.close()


def test_a_history_that_is_too_large_for_one_message_comes_in_several(running, monkeypatch):
    # given: a task whose id is a group's, too
    monkeypatch.setattr(sessions, "ANSWERED_BYTES", 3_000)
    shown, heard = Shown(), Heard()
    for number in range(30):
        shown.tell(updated(task_id="x", meta="m" * 400), group_part(f"t{number}", group_id="x", result="r" * 300))
    view, _ = reading(shown, running, heard)

    # when / then
    far = RemoteReader(view, shown.log, OwnWrites(), heard.listeners).history("x", freshness="applied")
    assert len(far) == 60
    assert far == shown.served.reader.history("x", freshness="applied")
    view.close()


@pytest.mark.parametrize(
    "error",
    [
        TopicMisconfigured("The topic is missing.", topic="t", problems=["missing"]),
        ViewStale("Late.", partition=0, position=1, end=2, lag=1, eta=0.5, reason="r"),
        ValueError("no cursor of ours"),
    ],
)
def test_an_error_arrives_as_it_was_raised(running, error):
    # given
    shown, heard = Shown(), Heard()

    def answer(*_):
        raise error

    shown.answer = answer
    view, _ = reading(shown, running, heard)

    # when
    with pytest.raises(type(error)) as caught:
        view.call(protocol.Said, protocol.Ask, "what", {}, timeout=5)

    # then
    assert str(caught.value) == str(error)
    assert getattr(caught.value, "facts", None) == getattr(error, "facts", None)
    view.close()


def test_a_closed_view_sends_its_readers_away_instead_of_telling_them_that_they_are_closed(running):
    # given
    shown, heard = Shown(), Heard()
    view, _ = reading(shown, running, heard)

    def answer(*_):
        raise Closed("closed", what="view")

    shown.answer = answer

    # when / then
    with pytest.raises(ViewUnavailable):
        view.call(protocol.Said, protocol.Ask, "what", {}, timeout=5)
    until(lambda: view.lost)


HOSTILE = [
    b"",
    b"\xc1",
    b"garbage",
    protocol.encode(protocol.Hello(1, "x", 1, 1, {})),
    protocol.encode([6, 1]),
    protocol.encode([99, 1, 2]),
    struct.pack("<Q", 2**63),
]


@pytest.mark.parametrize("frame", HOSTILE)
def test_what_is_no_question_ends_the_connection_with_one_line_in_the_log(running, frame: bytes, caplog):
    # given
    shown = Shown()
    wire = Wire(shown, *running)
    wire.do(wire.session.received, protocol.encode(protocol.Watch(0, ["a"], None)))
    closed = threading.Event()
    wire.close = closed.set

    # when
    wire.do(wire.session.received, frame)
    wire.do(wire.session.received, frame)

    # then
    assert closed.is_set()
    assert len([line for line in caplog.records if "dropped" in line.message]) == 1
    assert not shown.view.guests


def test_an_owner_of_another_version_is_refused_with_what_to_do(running):
    # given
    shown = Shown()
    wire = Wire(shown, *running)
    wire.receive = lambda: protocol.encode(protocol.Hello(protocol.VERSION + 1, "a-log", 1, 1, {}))

    # when / then
    with pytest.raises(ViewUnavailable, match="run the same version"):
        RemoteView(wire, Listeners(), name="test")


def test_who_would_watch_too_much_is_left_with_one_line_in_the_log(running, monkeypatch, caplog):
    # given
    monkeypatch.setattr(watches, "WATCHED_IDS", 3)
    wire = Wire(Shown(), *running)
    closed = threading.Event()
    wire.close = closed.set

    # when
    for ids in (["a", "b"], ["a", "b", "c"], ["d"]):
        wire.do(wire.session.received, protocol.encode(protocol.Watch(0, ids, None)))

    # then
    assert closed.is_set()
    assert wire.session.watched == 3
    assert [line.levelname for line in caplog.records] == ["WARNING"]
