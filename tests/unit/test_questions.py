"""Asking the log where it ends, for many readers at once."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from eventresults.errors import LogUnavailable
from eventresults.log.memory import MemoryLog
from eventresults.log.question import Question


class SlowLog(MemoryLog):
    """A real log whose answers a test holds back."""

    def __init__(self):
        super().__init__()
        self.asked = 0
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def ends(self, partitions, timeout):
        self.asked += 1
        self.begun.release()
        assert self.go_on.acquire(timeout=5)
        return super().ends(partitions, timeout)


@pytest.fixture
def log():
    log = SlowLog()
    yield log
    log.close()


@pytest.fixture
def question(log):
    return Question(log, [0])


def start(question, answers):
    thread = threading.Thread(target=lambda: answers.append(question.ask(monotonic() + 5)))
    thread.start()
    return thread


def test_readers_that_arrive_while_a_question_is_in_flight_share_the_next_one(log, question):
    # given: one question in flight
    answers = []
    first = start(question, answers)
    assert log.begun.acquire(timeout=5)

    # when: a record is appended after it began, and five readers arrive
    later = [start(question, answers) for _ in range(5)]
    writer = log.writer()
    writer.append(b"k", b"v").result(timeout=5)
    log.go_on.release()
    first.join(5)
    assert log.begun.acquire(timeout=5)
    log.go_on.release(5)
    for thread in later:
        thread.join(5)
    writer.close()

    # then: two or (for one that came too late to share) three questions in all, and every later reader saw the record
    assert len(answers) == 6
    assert log.asked <= 3
    assert [answer[0] for answer in answers[1:]] == [1] * 5


def test_a_reader_whose_time_is_over_gives_up_and_says_so(log, question):
    # given
    answers = []
    first = start(question, answers)
    assert log.begun.acquire(timeout=5)

    # when / then
    with pytest.raises(LogUnavailable, match="did not answer in time"):
        question.ask(monotonic() + 0.01)
    log.go_on.release()
    first.join(5)
    assert len(answers) == 1


def test_a_failed_question_fails_its_asker_only(log, question):
    # given
    log.close()
    log.go_on.release(2)

    # when / then
    with pytest.raises(Exception, match="closed"):
        question.ask(monotonic() + 5)
    assert not question._asking
