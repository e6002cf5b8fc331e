"""Fixtures of the contract tests."""

from __future__ import annotations

import pytest

import eventresults


@pytest.fixture(params=["memory", "sqlite"])
def tracker(request, tmp_path):
    """A tracker of its own log, by each engine that needs no broker."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/events.db"
    with eventresults.connect(url) as connected:
        connected.read("nobody")  # opens the view, so that no test's timing depends on how long that takes
        yield connected


@pytest.fixture
def recorder(tracker):
    """What the worker writes with."""
    return tracker.recorder(worker="w1")
