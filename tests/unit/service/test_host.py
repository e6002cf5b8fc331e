"""Who may own a view."""

from __future__ import annotations

import sys
from time import monotonic
from types import ModuleType

import pytest

from eventresults.errors import ViewLocked
from eventresults.log.memory import MemoryLog
from eventresults.service.places import FolderPlace
from eventresults.service.unfit import RocksThreads
from eventresults.view.memory import MemoryStore
from tests.support.events import TASK
from tests.support.views import viewing


@pytest.mark.parametrize(
    ("library", "part", "asks"), [("gevent", "monkey", "is_module_patched"), ("eventlet", "patcher", "is_monkey_patched")]
)
@pytest.mark.parametrize("patched", [True, False])
def test_a_process_whose_threads_were_replaced_never_owns(library: str, part: str, asks: str, patched: bool, monkeypatch):
    # given: as these libraries tell it
    module = ModuleType(f"{library}.{part}")
    setattr(module, asks, lambda name: patched and name in {"thread", "threading"})
    monkeypatch.setitem(sys.modules, library, ModuleType(library))
    monkeypatch.setitem(sys.modules, f"{library}.{part}", module)

    # when / then
    with viewing(MemoryLog()) as (view, _):
        if patched:
            begun = monotonic()
            with pytest.raises(ViewLocked, match=f"patched by {library}"):
                view.get(TASK)
            assert monotonic() - begun < 1
        else:
            assert view.get(TASK) is None


def test_a_process_forked_from_an_owner_never_owns_for_rocksdb_would_have_no_threads(monkeypatch, tmp_path):
    # given
    monkeypatch.setattr(RocksThreads, "opened", True)
    monkeypatch.setattr(RocksThreads, "inherited", False)
    RocksThreads.in_forked_child()

    # when / then
    place = FolderPlace(tmp_path / "view", lambda _: MemoryStore())
    with viewing(MemoryLog(), place) as (view, _), pytest.raises(ViewLocked, match="forked from one that had a view open") as caught:
        view.get(TASK, timeout=0.05)
    with viewing(MemoryLog()) as (view, _):
        assert view.get(TASK) is None  # in memory there are none to be missed
    assert "eventresults serve" in str(caught.value)
