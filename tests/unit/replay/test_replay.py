"""Telling a stretch of a log again: to whom, how fast, and on from where it was interrupted."""

from __future__ import annotations

from contextlib import closing

import pytest

from eventresults.codec.events import decode_event, encode_event
from eventresults.domain.events import TaskSucceeded
from eventresults.domain.fold import apply
from eventresults.domain.position import Position
from eventresults.errors import ConfigError
from eventresults.log.base import Record
from eventresults.log.memory import MemoryLog
from eventresults.log.stretch import Found, Stretch, exact, read
from eventresults.projector import Lifetimes
from eventresults.replay import run as running
from eventresults.replay.notes import Notes
from eventresults.replay.retelling import NewIds, same_ids
from eventresults.replay.run import Pace, run
from eventresults.replay.scratch import fold_stretch
from eventresults.replay.takers import Appending, Counting
from eventresults.replay.where import Where
from eventresults.view import projected
from eventresults.view.base import Wanted
from eventresults.view.memory import MemoryStore
from tests.support.events import group_saved, sent, started, succeeded, unknown, updated
from tests.support.projections import Spend

TASKS = [f"t{number}" for number in range(20)]


def append(log, *events):
    writer = log.writer()
    for event in events:
        writer.append(event.subject.encode(), encode_event(event)).result(5)
    writer.close()


@pytest.fixture
def log():
    with closing(MemoryLog(partitions=3)) as log:
        append(log, *(sent(task_id=one, name="pay", kwargs={"customer": "ada"}) for one in TASKS))
        append(log, *(started(task_id=one) for one in TASKS), *(succeeded(task_id=one, result=5) for one in TASKS))
        log.writer().append(b"x", b"garbage").result(5)
        yield log


@pytest.fixture
def target():
    with closing(MemoryLog(partitions=2)) as target:
        yield target


def whole(log):
    info = log.info(5)
    return Stretch(info.starts, info.ends)


def everything(log):
    return [one.record for one in read(log, whole(log))]


def folded(log):
    """What the records of a log add up to, repetitions counted once."""
    tasks = {}
    for partition, record in read(log, whole(log)):
        event = decode_event(record.value)
        meta = apply(tasks.get(event.task_id), event, Position(partition, record.offset), record.log_time)
        tasks[event.task_id] = meta
    return {one: (meta.state, meta.result, meta.facts, meta.replay_of) for one, meta in tasks.items()}


# What is told


def test_what_would_be_told_is_counted(log):
    counting = Counting()
    tally = run(log, whole(log), Where(["kind=task-started"]), counting)
    assert (tally.read, tally.told, tally.unreadable, dict(tally.kinds)) == (61, 20, 1, {"task-started": 20})
    assert len(counting.subjects) == 20


def test_under_the_same_ids_every_record_is_the_same_byte_for_byte(log, target):
    with closing(Appending(target, same_ids)) as taker:
        run(log, whole(log), Where(), taker)
    assert sorted((one.key, one.value) for one in everything(target)) == sorted(
        (one.key, one.value) for one in everything(log) if one.value != b"garbage"
    )


def test_under_new_ids_each_task_is_told_as_one_that_repeats_the_old(log, target):
    with closing(Appending(target, NewIds("first"))) as taker:
        run(log, whole(log), Where(), taker)
    found = folded(target)
    assert {of for _, _, _, of in found.values()} == set(TASKS)
    assert not found.keys() & set(TASKS)
    assert {told[:3] for told in found.values()} == {("SUCCESS", 5, 3)}


# Resuming


class Interrupted(Exception):
    pass


class Interrupting:
    """A taker that is interrupted when it has taken so many."""

    def __init__(self, taker, after):
        self._taker = taker
        self._left = after

    @property
    def full(self):
        return self._taker.full

    def take(self, found, event):
        if self._left == 0:
            raise Interrupted
        self._left -= 1
        self._taker.take(found, event)

    def settle(self):
        self._taker.settle()


@pytest.mark.parametrize("after", [0, 1, 7, 31, 59])
@pytest.mark.parametrize("conditions", [[], ["name=pay"]])
@pytest.mark.parametrize("retelling", [same_ids, NewIds("run")])
def test_one_that_was_interrupted_and_resumed_tells_no_more_and_no_less(log, target, tmp_path, monkeypatch, after, conditions, retelling):
    # given
    monkeypatch.setattr(running, "NOTE_RECORDS", 5)
    path = tmp_path / "notes.json"
    notes = Notes({"what": 1}, whole(log))

    def note(at, tally):
        notes.moved(at, tally.told).write(path)

    # when
    with closing(Appending(target, retelling)) as taker, pytest.raises(Interrupted):
        run(log, notes.stretch, Where(conditions), Interrupting(taker, after), note=note)
    known = Notes.read(path, {"what": 1}) or notes
    with closing(Appending(target, retelling)) as taker:
        run(log, known.stretch, Where(conditions), taker, after=known.at, note=note)

    # then
    assert {told[:3] for told in folded(target).values()} == {("SUCCESS", 5, 3)}
    assert len(folded(target)) == 20
    assert Notes.read(path, {"what": 1}).done


def test_an_interrupt_is_noted_so_that_nothing_is_told_twice(log):
    # given
    told, noted = [], []

    class Impatient(Counting):
        def take(self, found, event):
            if len(told) == 7:
                raise KeyboardInterrupt
            told.append(found)

    # when
    with pytest.raises(KeyboardInterrupt):
        run(log, whole(log), Where(), Impatient(), note=lambda at, _: noted.append(dict(at)))

    # then
    assert sum(noted[-1].values()) == 7


def test_of_one_task_never_more_is_unsafe_than_a_life_knows_again(target):
    with closing(Appending(target, same_ids)) as taker:
        for number in range(32):
            assert not taker.full
            event = updated(task_id="chatty", meta=number)
            taker.take(Found(0, Record(number, 0, b"chatty", encode_event(event))), event)
        assert taker.full
        taker.settle()
        assert not taker.full


def test_notes_of_something_else_are_refused(tmp_path):
    path = tmp_path / "notes.json"
    assert Notes.read(path, {}) is None
    Notes({"url": "a", "run": "x"}, Stretch({0: 1}, {0: 5}, None)).write(path)
    with pytest.raises(ConfigError, match="another replay \\(other url\\)"):
        Notes.read(path, {"url": "b", "run": "x"})
    assert Notes.read(path, {"url": "a", "run": "y"}, besides=["run"]).stretch == Stretch({0: 1}, {0: 5}, None)
    path.write_text("[]")
    with pytest.raises(ConfigError, match="holds no notes"):
        Notes.read(path, {})
    with pytest.raises(ConfigError, match="cannot be written"):
        Notes({}, Stretch({}, {})).write(tmp_path / "no" / "such" / "folder")


# New ids


def test_every_id_in_an_event_is_a_new_one_and_payloads_stay():
    ids = NewIds("run")
    event = succeeded(task_id="a", result=[["b", None], None], children=[[["b", None], None], [["g", ["a", None]], [[["c", None], None]]]])

    told = decode_event(ids(Found(0, Record(3, 0, b"a", b"")), event)[1])

    assert isinstance(told, TaskSucceeded)
    assert (told.task_id, told.result, told.time) == (ids.id("a"), [["b", None], None], event.time)
    assert told.children == [
        [[ids.id("b"), None], None],
        [[ids.id("g"), [ids.id("a"), None]], [[[ids.id("c"), None], None]]],
    ]
    assert told.event_id != event.event_id


def test_lineage_is_that_of_the_new_tasks():
    ids = NewIds("run")
    event = sent(task_id="a", parent_id="p", root_id="r", previous_id="b", group_id="g", group_index=2)
    told = decode_event(ids(Found(0, Record(3, 0, b"a", b"")), event)[1])
    assert (told.parent_id, told.root_id, told.previous_id, told.group_id) == tuple(ids.id(one) for one in "prbg")
    assert (told.group_index, told.replay_of) == (2, "a")


def test_the_same_run_gives_the_same_ids_and_another_run_others():
    assert NewIds("x").id("a") == NewIds("x").id("a")
    assert len({NewIds("x").id("a"), NewIds("y").id("a"), NewIds("x").id("b")}) == 3


def test_a_saved_group_is_told_with_its_new_members():
    ids = NewIds("run")
    event = group_saved(group_id="g", results=[["g", None], [[["a", None], None]]])
    told = decode_event(ids(Found(0, Record(3, 0, b"g", b"")), event)[1])
    assert (told.group_id, told.results) == (ids.id("g"), [[ids.id("g"), None], [[[ids.id("a"), None], None]]])


def test_an_event_of_an_unknown_kind_has_no_new_form():
    assert NewIds("run")(Found(0, Record(3, 0, b"a", b"")), unknown(subject="a")) is None


# Pace


def test_a_pace_lets_so_many_through_a_second():
    now, waits = [0.0], []

    def wait(seconds):
        waits.append(seconds)
        now[0] += seconds

    pace = Pace(10, clock=lambda: now[0], wait=wait)
    for _ in range(5):
        pace()
    assert now[0] == pytest.approx(0.4)
    now[0] = 100.0
    pace()
    pace()
    assert now[0] == pytest.approx(100.1)  # no rush after a pause


# Scratch views


def test_a_stretch_is_folded_in_a_view_of_its_own_with_other_projections(log):
    info = log.info(5)
    opened, tally = fold_stretch(
        log, info, whole(log), Where(["name=pay"]), lambda _: MemoryStore(), lifetimes=Lifetimes(), projections=[Spend()]
    )
    with closing(opened):
        assert tally.told == 60
        assert projected.look(Wanted("spend-by-customer", keys=["ada"]), [Spend()], opened.shards).items == [("ada", 100)]
        assert opened.positions == info.ends


def test_a_scratch_view_goes_on_where_it_was(log):
    stores = {}
    info = log.info(5)
    half = Stretch(info.starts, {partition: end // 2 for partition, end in info.ends.items()})
    for stretch in (half, whole(log)):
        opened, _ = fold_stretch(
            log,
            info,
            stretch,
            Where(),
            lambda partition: stores.setdefault(partition, MemoryStore()),
            lifetimes=Lifetimes(),
            projections=[Spend()],
        )
    assert projected.look(Wanted("spend-by-customer", keys=["ada"]), [Spend()], opened.shards).items == [("ada", 100)]


def test_a_stretch_that_ends_at_a_time_has_exact_ends(log):
    times = [record.log_time for record in everything(log)]
    stretch = exact(log, whole(log)._replace(until=max(times) + 1))
    assert stretch == whole(log)
    assert exact(log, whole(log)._replace(until=min(times))).offsets == 0
