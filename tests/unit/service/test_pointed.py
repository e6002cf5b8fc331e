"""A reader that is pointed at another when the one it holds is lost."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from eventresults.errors import Closed, InvalidTaskId, ViewStale, ViewUnavailable
from eventresults.log.memory import MemoryLog
from eventresults.log.own import OwnWrites
from eventresults.recorder import Appender, Recorder
from eventresults.service.pointed import PointedView
from eventresults.service.told import Told
from tests.support.events import revoke_requested
from tests.support.views import until


class Reader:
    """Answers with its own name, until it is lost or closed."""

    def __init__(self, name: str, listeners, on_lost) -> None:
        self.name, self._listeners, self._on_lost = name, listeners, on_lost
        self.reader = self
        self.lost = self.closed = False
        self.error: Exception | None = None
        self.told = Told("a-log", {0: 0})

    def get(self, task_id, *, freshness, timeout):
        if self.lost or self.closed:
            raise ViewUnavailable("gone", services=[])
        if self.error is not None:
            raise self.error
        return self.name

    def subscribe(self, subjects, listener):
        return self._listeners.add(subjects, listener)

    def open_revokes(self, listener):
        return self._listeners.add_for_revokes(listener)

    def lose(self) -> None:
        self.lost = True
        self._on_lost(self)

    def close(self) -> None:
        self.closed = True

    def leave_to_parent(self) -> None:
        """Nothing is inherited."""


class Finder:
    """Finds a new one each time, when there is one to be had."""

    name = "somewhere"

    def __init__(self) -> None:
        self.found: list[Reader] = []
        self.there = threading.Event()
        self.there.set()
        self.asked: list[tuple[object, object]] = []
        self.given_up = threading.Event()

    def find(self, listeners, *, after, lost, deadline, on_lost):
        self.asked.append((after, lost))
        while not self.there.wait(0.002):
            if self.given_up.is_set():
                raise Closed("closed", what="tracker")
            if monotonic() > deadline:
                raise ViewStale("nobody yet", reason="nobody yet")
        self.found.append(Reader(f"r{len(self.found)}", listeners, on_lost))
        return self.found[-1]

    def give_up(self) -> None:
        self.given_up.set()


@pytest.fixture
def finder():
    return Finder()


@pytest.fixture
def log():
    return MemoryLog()


@pytest.fixture
def view(finder, log):
    view = PointedView(finder, log, OwnWrites(), read_timeout=5.0, connect_timeout=5.0)
    yield view
    view.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "eventresults-view-seeker"]


def test_nothing_is_looked_for_before_the_first_read(finder, view):
    assert finder.asked == []
    assert view.get("t") == "r0"
    assert view.get("t") == "r0"
    assert len(finder.asked) == 1


def test_when_what_it_holds_is_lost_the_next_read_asks_another(finder, view):
    # given
    assert view.get("t") == "r0"

    # when
    finder.found[0].lose()

    # then
    assert view.get("t") == "r1"
    assert finder.found[0].closed
    assert finder.asked[1] == (Told("a-log", {0: 0}), finder.found[0])


def test_for_those_who_listen_another_is_found_without_a_read(finder, view):
    # given
    view.subscribe(["t"], lambda _: None)
    finder.there.clear()

    # when
    finder.found[0].lose()
    finder.there.set()

    # then
    until(lambda: len(finder.found) == 2)


def test_one_that_is_lost_while_it_is_found_is_replaced_too(finder, view):
    # given
    original = finder.find

    def find(*arguments, **options):
        held = original(*arguments, **options)
        if held.name != "r2":
            held.lose()  # nobody holds it yet
        return held

    finder.find = find

    # when / then
    assert view.get("t") == "r2"


def test_a_read_under_way_goes_on_with_the_next_one_once_all_was_told(finder, view):
    # given: it answers no more, and is still telling
    assert view.get("t") == "r0"
    finder.found[0].lost = True
    answers = []
    reader = threading.Thread(target=lambda: answers.append(view.get("t")))
    reader.start()

    # when
    reader.join(0.05)
    assert answers == []
    finder.found[0].lose()

    # then
    reader.join(5)
    assert answers == ["r1"]


def test_a_read_ends_with_its_deadline_while_nobody_is_found(finder, view):
    # given
    view.get("t")
    finder.there.clear()
    finder.found[0].lose()

    # when
    begun = monotonic()
    with pytest.raises(ViewStale):
        view.get("t", timeout=0.05)

    # then
    assert monotonic() - begun < 1


def test_an_error_of_a_reader_that_lives_is_the_caller_s(finder, view):
    view.get("t")
    finder.found[0].error = ViewUnavailable("of one partition", services=[])
    with pytest.raises(ViewUnavailable, match="of one partition"):
        view.get("t")
    assert len(finder.found) == 1


def test_closing_ends_a_search_at_once(finder, view):
    # given
    view.subscribe(["t"], lambda _: None)
    finder.there.clear()
    finder.found[0].lose()
    outcome = []

    def read():
        try:
            view.get("t")
        except Closed as error:
            outcome.append(error)

    reader = threading.Thread(target=read)
    reader.start()

    # when
    begun = monotonic()
    view.close()

    # then
    assert monotonic() - begun < 1
    reader.join(5)
    assert len(outcome) == 1
    with pytest.raises(Closed):
        view.get("t")


def test_a_read_that_is_under_way_when_it_is_closed_says_so(finder, view):
    # given
    view.get("t")

    def get(*_, **__):
        view.close()
        raise ViewUnavailable("its connection was closed", services=[])

    finder.found[0].get = get

    # when / then
    with pytest.raises(Closed):
        view.get("t")


def test_requests_to_revoke_that_came_meanwhile_are_told_from_the_log(finder, view, log):
    # given
    heard = []
    view.open_revokes(lambda change: heard.append(change.subject))
    appender = Appender(log)
    recorder = Recorder(appender)
    view.get("t")

    # when
    recorder.append(revoke_requested(task_id="t1")).result(5)
    finder.found[0].lose()

    # then
    until(lambda: heard == ["t1"])
    appender.close()


def test_an_id_that_is_none_is_refused_before_anybody_is_asked(finder, view):
    with pytest.raises(InvalidTaskId):
        view.subscribe(["t", ""], lambda _: None)
    assert not view.listeners
