from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventresults.tracker import Tracker, connect


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    with connect("memory://") as tracker:
        yield tracker
