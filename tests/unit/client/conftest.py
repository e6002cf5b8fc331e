from __future__ import annotations

from datetime import UTC, datetime

import pytest

from eventresults.client.backend import Backend
from eventresults.domain.events import TaskFailed, TaskSent, TaskStarted, TaskSucceeded
from tests.support.collected import Collected
from tests.support.told import ToldView


class Facts:
    """Writes facts into a `ToldView`."""

    def __init__(self, view):
        self._view = view

    def sent(self, task_id, **fields):
        return self._view.tell(TaskSent(task_id=task_id, time=datetime.now(UTC), **fields))

    def started(self, task_id, **fields):
        return self._view.tell(TaskStarted(task_id=task_id, time=datetime.now(UTC), **fields))

    def succeeded(self, task_id, **fields):
        return self._view.tell(TaskSucceeded(task_id=task_id, time=datetime.now(UTC), **fields))

    def failed(self, task_id, **fields):
        return self._view.tell(TaskFailed(task_id=task_id, time=datetime.now(UTC), **fields))


@pytest.fixture
def view():
    return ToldView()


@pytest.fixture
def facts(view):
    return Facts(view)


@pytest.fixture
def backend(view):
    backend = Backend(None, view)
    yield backend
    backend.close()


@pytest.fixture
def called():
    """Takes calls from the callback thread; `wait(n)` gives the first n."""
    return Collected()
