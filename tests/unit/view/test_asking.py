"""Questions of many threads over one connection, with the other end in the test's hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic

import pytest

from eventresults.errors import ViewStale, ViewUnavailable
from eventresults.view import asking as askings
from eventresults.view import protocol
from eventresults.view.asking import Asking
from eventresults.view.channel import Gone
from tests.support.views import until

DEADLINE = 10.0


class Line:
    """A `Channel` that keeps what is sent, each sending by itself; none passes while it is `held`."""

    pending = False

    def __init__(self) -> None:
        self.sendings: list[list[protocol.Request]] = []
        self.open = threading.Event()
        self.open.set()
        self.broken = False

    def send(self, *messages: bytes) -> None:
        assert self.open.wait(DEADLINE)
        if self.broken:
            raise Gone("broken")
        self.sendings.append([protocol.request(message) for message in messages])

    def receive(self) -> bytes:
        raise NotImplementedError

    def end(self) -> None: ...

    def close(self) -> None: ...

    def leave_to_parent(self) -> None: ...

    @property
    def numbers(self) -> list[int]:
        """Of the questions sent."""
        return [said.call for sending in self.sendings for said in sending if isinstance(said, protocol.Reach)]


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def asking(line: Line) -> Asking:
    return Asking(line, name="the view")


def thread(act: Callable[[], object]) -> Future[object]:
    """Its result, on a thread of its own."""
    future: Future[object] = Future()

    def run() -> None:
        try:
            future.set_result(act())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def reach(asking: Asking, timeout: float = DEADLINE) -> object:
    return asking.call(protocol.Said, protocol.Reach, {}, timeout=timeout).answer


def asked(asking: Asking, line: Line, count: int) -> list[Future[object]]:
    """So many threads that wait for their answers, which have been asked for in this order."""
    waiting = []
    for number in range(count):
        waiting.append(thread(lambda: reach(asking)))
        until(lambda wanted=number + 1: len(line.numbers) == wanted)
    return waiting


def test_each_of_many_threads_gets_its_own_answer(asking: Asking, line: Line):
    # given
    waiting = asked(asking, line, 20)

    # when: they come in one go, in another order
    for number in reversed(line.numbers):
        asking.answered(protocol.Said(number, f"answer {number}"))
    asking.wake()

    # then
    assert [one.result(DEADLINE) for one in waiting] == [f"answer {number}" for number in line.numbers]


def test_what_is_asked_while_others_are_being_woken_is_sent_in_one_go_by_the_last_of_them(asking: Asking, line: Line):
    # given: the answer to one who waits is here, and he is not woken yet
    [first] = asked(asking, line, 1)
    asking.answered(protocol.Said(line.numbers[0], answer=True))
    later = [thread(lambda: reach(asking)) for _ in range(3)]
    until(lambda: len(asking._unsent) == 3)
    assert len(line.sendings) == 1

    # when
    asking.wake()

    # then
    assert first.result(DEADLINE) is True
    until(lambda: len(line.sendings) == 2)
    assert len(line.sendings[1]) == 3
    for number in line.numbers[1:]:
        asking.answered(protocol.Said(number, answer=True))
    asking.wake()
    assert [one.result(DEADLINE) for one in later] == [True, True, True]


def test_who_has_given_up_waiting_holds_up_nobody_who_is_to_be_woken(asking: Asking, line: Line):
    # given: of three that are answered the first two leave just now
    gone = asked(asking, line, 2)
    for number in line.numbers:
        asking._waiting[number].left = True
        asking.answered(protocol.Said(number, answer=True))
    third = thread(lambda: reach(asking))
    until(lambda: len(asking._waiting) == 3)
    asking.answered(protocol.Said(max(asking._waiting), answer="third"))

    # when
    asking.wake()

    # then
    assert third.result(DEADLINE) == "third"
    assert all(one.result(DEADLINE) is True for one in gone)


def test_those_whose_turn_to_be_woken_comes_late_are_all_woken_at_once(asking: Asking, line: Line, monkeypatch):
    # given: the one who would wake the others is held up
    monkeypatch.setattr(askings, "LATE_SECONDS", -1.0)
    waiting = asked(asking, line, 3)
    slots = list(asking._waiting.values())
    for number in line.numbers:
        asking.answered(protocol.Said(number, answer=True))

    # when
    asking.wake()

    # then
    assert not asking._answered
    assert [one.result(DEADLINE) for one in waiting] == [True, True, True]
    assert all(slot.left for slot in slots)


def test_the_timeout_is_kept_while_another_thread_cannot_send(asking: Asking, line: Line, monkeypatch):
    # given
    monkeypatch.setattr(askings, "GRACE_SECONDS", 0.05)
    line.open.clear()
    stuck = thread(lambda: reach(asking))
    until(asking._sending.locked)

    # when
    begun = monotonic()
    with pytest.raises(ViewStale):
        reach(asking, timeout=0.1)

    # then
    assert monotonic() - begun < 5
    line.open.set()
    until(lambda: len(line.numbers) == 2)
    asking.answered(protocol.Said(line.numbers[0], answer=True))
    asking.wake()
    assert stuck.result(DEADLINE) is True


def test_an_answer_that_is_here_is_taken_though_nobody_woke_who_waits(asking: Asking, line: Line, monkeypatch):
    # given
    monkeypatch.setattr(askings, "GRACE_SECONDS", 0.0)
    waiting = thread(lambda: reach(asking, timeout=1.0))
    until(lambda: line.numbers)

    # when
    asking.answered(protocol.Said(line.numbers[0], answer=True))

    # then
    assert waiting.result(DEADLINE) is True


def test_what_cannot_be_sent_is_the_error_of_who_asks_it_alone(asking: Asking, line: Line):
    # given: an answer is here, so that what is asked now is left to another thread to send
    [first] = asked(asking, line, 1)
    asking.answered(protocol.Said(line.numbers[0], answer=True))

    # when
    with pytest.raises(TypeError):
        asking.call(protocol.Said, protocol.Ask, "stats", {"odd": object()}, timeout=DEADLINE)

    # then
    assert first.result(DEADLINE) is True
    assert not asking._waiting


def test_what_is_left_to_a_sender_who_fails_is_told_to_whoever_waits(asking: Asking, line: Line):
    # given
    line.open.clear()
    first = thread(lambda: reach(asking))
    until(asking._sending.locked)
    second = thread(lambda: reach(asking))
    until(lambda: len(asking._waiting) == 2)

    # when: the connection breaks, as who receives sees, too
    line.broken = True
    line.open.set()
    until(lambda: asking.lost is not None)
    asking.release()

    # then
    for one in (first, second):
        with pytest.raises(ViewUnavailable, match="broken"):
            one.result(DEADLINE)
    with pytest.raises(ViewUnavailable):
        reach(asking)


def test_what_is_said_is_sent_before_what_is_asked_later(asking: Asking, line: Line):
    # given
    asking.say(protocol.Watch(0, ["a"], None), protocol.Watch(0, ["b"], None), protocol.Unwatch(["c"]))

    # when
    waiting = thread(lambda: reach(asking))
    until(lambda: line.numbers)

    # then: what can be one message is
    [[watch, unwatch, question]] = line.sendings
    assert watch == protocol.Watch(0, ["a", "b"], None)
    assert unwatch == protocol.Unwatch(["c"])
    asking.answered(protocol.Said(question.call, answer=True))
    asking.wake()
    assert waiting.result(DEADLINE) is True
