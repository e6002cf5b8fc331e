from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from eventresults.cli import progress
from eventresults.cli.progress import Meter, tell_lag
from eventresults.errors import LogUnavailable


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_without_a_terminal_a_line_now_and_then_tells_how_far_it_is(capsys):
    clock = Clock()
    with Meter("Folding", clock=clock) as meter:
        for second in range(1, 26):
            clock.now = second
            meter(second * 100, 10_000)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0] == "Folding: 1,000 of 10,000 records, 90/s, about 1m40s left"


def test_a_short_job_is_done_in_silence(capsys):
    with Meter("Folding", clock=Clock()) as meter:
        meter(1, 2)
        meter(2, 2)
    assert capsys.readouterr().err == ""


def test_a_view_that_moves_not_at_all_has_no_time_left(capsys):
    clock = Clock()
    meter = Meter("Folding", clock=clock)
    meter(0, 10)
    clock.now = 11
    meter(0, 10)
    assert capsys.readouterr().err == "Folding: 0 of 10 records\n"


def _tracker(stats):
    return SimpleNamespace(view_stats=stats)


def test_who_waits_less_than_a_second_is_told_nothing(capsys):
    done = threading.Event()
    done.set()
    tell_lag(_tracker(None), done)
    assert capsys.readouterr().err == ""


def test_the_lag_is_told_until_the_read_is_done(capsys, monkeypatch):
    monkeypatch.setattr(progress, "QUIET", 0.0)
    monkeypatch.setattr(progress, "REFRESH", 0.001)
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    done = threading.Event()
    positions = iter([10, 60])

    def stats():
        position = next(positions, None)
        if position is None:
            done.set()
        return {"partitions": [{"position": position or 100, "end": 100}]}

    tell_lag(_tracker(stats), done)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("The view catches up: 10 of 100 records")
    assert said[1].startswith("The view catches up: 60 of 100 records")


def test_a_build_for_projections_is_told_of_rather_than_the_view_that_it_waits_beside(capsys, monkeypatch):
    monkeypatch.setattr(progress, "QUIET", 0.0)
    monkeypatch.setattr(progress, "REFRESH", 0.001)
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    done = threading.Event()

    def stats():
        done.set()
        return {"partitions": [{"position": 100, "end": 100}], "building": [30, 100]}

    tell_lag(_tracker(stats), done)
    assert "30 of 100 records" in capsys.readouterr().err


@pytest.mark.parametrize("error", [LogUnavailable("gone")])
def test_a_log_that_cannot_be_asked_is_left_to_the_read_to_report(capsys, monkeypatch, error):
    monkeypatch.setattr(progress, "QUIET", 0.0)
    monkeypatch.setattr(progress, "REFRESH", 0.001)

    def stats():
        raise error

    tell_lag(_tracker(stats), threading.Event())
    assert capsys.readouterr().err == ""
