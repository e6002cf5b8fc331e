"""Fixtures of the owner's tests."""

from __future__ import annotations

import pytest

from eventresults.service import owner as module
from tests.support.owned import Folder, told


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Look at the log often, and try again soon."""
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(module, "BACKOFF_SECONDS", (0.01, 0.05))


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path)
    told(folder.log)
    yield folder
    folder.log.close()
