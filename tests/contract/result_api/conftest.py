"""Fixtures of the Result API's tests."""

from __future__ import annotations

import threading
import time

import pytest

from tests.support.collected import SOON


@pytest.fixture
def later():
    """Do something on another thread, shortly; whatever it raises fails the test."""
    threads, errors = [], []

    def do(act, delay=0.05):
        def run():
            time.sleep(delay)
            try:
                act()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run, name="test-later")
        thread.start()
        threads.append(thread)

    yield do
    for thread in threads:
        thread.join(SOON)
    assert not errors


@pytest.fixture
def three(tracker):
    return tracker.ResultSet([tracker.AsyncResult(name) for name in "abc"])
