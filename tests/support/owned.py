"""Logs, and views over them that a test owns: told, opened, and asked what they hold."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path

from eventresults.errors import LogUnavailable
from eventresults.log.memory import MemoryLog
from eventresults.log.sqlite import SqliteLog
from eventresults.recorder import Appender, Recorder
from eventresults.service.local import LocalView
from eventresults.service.places import FolderPlace
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore
from tests.support.views import tell_life, viewing

IDS = [f"t{number}" for number in range(10)]


def rocks(path: Path) -> RocksStore:
    return RocksStore(path, resources=RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE))


@contextmanager
def recording(log):
    appender = Appender(log)
    try:
        yield Recorder(appender)
    finally:
        appender.close()


def told(log, ids=IDS) -> None:
    with recording(log) as recorder:
        tell_life(recorder, ids)
        assert recorder.flush(10)


def folded(view: LocalView) -> int:
    return sum(head.counts.get("records", 0) for head in view.owner.heads.values())


def states(view: LocalView, ids=IDS) -> list[str | None]:
    return [meta and meta.state for meta in view.get_many(ids, freshness="latest").values()]


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("eventresults")}


class Folder:
    """A SQLite log with a view beside it, opened as often as a test likes."""

    def __init__(self, path: Path):
        self.path = path
        self.log = SqliteLog(path / "log.db")

    @property
    def place(self) -> FolderPlace:
        return FolderPlace(self.path / "view", rocks)

    @contextmanager
    def viewing(self, **settings):
        with viewing(self.log, self.place, **settings) as (view, _):
            yield view

    def recreate_log(self) -> None:
        self.log.close()
        for file in self.path.glob("log.db*"):
            file.unlink()
        self.log = SqliteLog(self.path / "log.db")


class MoodyLog(MemoryLog):
    """A log that can be out of reach."""

    away = False

    def reader(self, positions):
        self._be_there()
        return super().reader(positions)

    def info(self, timeout):
        self._be_there()
        return super().info(timeout)

    def _be_there(self):
        if self.away:
            raise LogUnavailable("broker 3 is on fire", url=self.url, reason="fire")


class SlowLog(MemoryLog):
    """A log that answers no question about itself while it is `silent`."""

    def __init__(self):
        super().__init__()
        self.silent = self.asked = False
        self.speak = threading.Event()

    def info(self, timeout):
        if self.silent:
            self.asked = True
            self.speak.wait(timeout)
        return super().info(timeout)
