from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventresults.tracker import Tracker, connect
from eventresults.worker.executor import TrackedExecutor


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    with connect("memory://") as tracker:
        yield tracker


@pytest.fixture
def pool(tracker: Tracker) -> Iterator[TrackedExecutor]:
    with TrackedExecutor(tracker, max_workers=2, name="unit") as pool:
        yield pool
