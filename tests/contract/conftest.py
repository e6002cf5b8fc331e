"""Fixtures of the contract tests."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

import eventresults
from eventresults.config import load_settings
from eventresults.tracker import Tracker


@pytest.fixture(params=["memory", "sqlite", "through another"])
def tracker(request, tmp_path):
    """A tracker of its own log, by each engine that needs no broker; and one that reads through the socket of another."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/events.db"
    with ExitStack() as others:
        if request.param == "through another":
            others.enter_context(Tracker(load_settings(url))).read("nobody")
        connected = others.enter_context(eventresults.connect(url))
        connected.read("nobody")  # opens the view, so that no test's timing depends on how long that takes
        yield connected


@pytest.fixture
def recorder(tracker):
    """What the worker writes with."""
    return tracker.recorder(worker="w1")
