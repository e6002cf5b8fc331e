from __future__ import annotations

import logging
import signal

import pytest

from eventresults.errors import ViewStale
from eventresults.worker.revokes import Order, Revokes, signal_name, signal_number


@pytest.mark.parametrize("text", ["SIGKILL", "KILL", "sigkill", " 9 "])
def test_a_signal_is_known_by_its_name_with_or_without_sig_and_by_its_number(text):
    assert signal_number(text) == signal.SIGKILL


@pytest.mark.parametrize("text", ["SIGNOTHING", "4711", ""])
def test_what_is_no_signal_is_taken_as_sigterm_and_logged(text, caplog):
    with caplog.at_level(logging.WARNING):
        assert signal_number(text) == signal.SIGTERM
    assert "no signal" in caplog.text


def test_a_signal_without_a_name_is_told_by_its_number():
    assert signal_name(9) == "SIGKILL"
    assert signal_name(4711) == "4711"


def test_only_requests_for_our_tasks_are_heard(tracker):
    heard: list[Order] = []
    revokes = Revokes(lambda: tracker.backend.reader, concerns={"ours"}.__contains__, obey=heard.append)
    revokes.open()
    revokes.open()
    for task_id in ("theirs", "ours"):
        tracker.backend.request_revoke(task_id, terminate=True, signal="SIGINT", reason="enough").result(10)
        tracker.read(task_id)
    assert heard == [Order("ours", True, "SIGINT", "enough")]
    revokes.close()
    revokes.close()
    tracker.backend.request_revoke("ours").result(10)
    tracker.read("ours")
    assert len(heard) == 1


def test_a_request_of_this_process_is_found_at_once(tracker):
    revokes = Revokes(lambda: tracker.backend.reader, concerns=lambda _: False, obey=lambda _: None)
    tracker.backend.recorder.sent("a")
    assert revokes.find("a") is None
    tracker.backend.request_revoke("a")
    assert revokes.find("a") == Order("a", False, "SIGTERM", None)


def test_a_view_that_cannot_answer_is_waited_for_once_and_said_once(caplog):
    class Blind:
        waited: list[float] = []

        def get(self, task_id, *, freshness, timeout):
            self.waited.append(timeout)
            raise ViewStale("far behind", reason="test")

    revokes = Revokes(Blind, concerns=lambda _: False, obey=lambda _: None)
    with caplog.at_level(logging.WARNING):
        assert [revokes.find("a") for _ in range(3)] == [None] * 3
    assert Blind.waited[0] > Blind.waited[1] == Blind.waited[2]
    assert caplog.text.count("far behind") == 1
