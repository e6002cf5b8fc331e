"""A log that is written through an outbox keeps the contract of a log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from eventresults.domain.position import Position
from eventresults.log.memory import MemoryLog
from eventresults.log.outbox import Outbox
from eventresults.log.sqlite import SqliteLog
from eventresults.testing.logs import LogContract, LogMaker


class OutboxedMemoryLog(MemoryLog):
    def __init__(self, folder: Path, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.outbox = Outbox(MemoryLog(*arguments), folder, **settings)

    def writer(self) -> Any:
        super().writer()  # it raises what it raises
        return self.outbox.writer()


class OutboxedSqliteLog(SqliteLog):
    def __init__(self, folder: Path, path: Path, **settings: Any) -> None:
        super().__init__(path, **settings)
        self.outbox = Outbox(SqliteLog(path, **settings), folder, **settings)

    def writer(self) -> Any:
        super().writer()
        return self.outbox.writer()


class Maker:
    made = 0

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack

    def keep(self, log: Any) -> Any:
        return self.stack.enter_context(closing(log))

    def delete_before(self, log: Any, position: Position) -> None:
        log.delete_before(position)


class MemoryMaker(Maker):
    def new(self, partitions: int = 1, **settings: Any) -> MemoryLog:
        Maker.made += 1
        return self.keep(OutboxedMemoryLog(self.folder / "outbox", f"outboxed-{Maker.made}", partitions, **settings))

    def again(self, log: MemoryLog) -> MemoryLog:
        return self.keep(MemoryLog(log.url.removeprefix("memory://")))


class SqliteMaker(Maker):
    def new(self, partitions: int = 1, **settings: Any) -> SqliteLog:
        Maker.made += 1
        return self.keep(OutboxedSqliteLog(self.folder / "outbox", self.folder / f"{Maker.made}.db", **settings))

    def again(self, log: SqliteLog) -> SqliteLog:
        return self.keep(SqliteLog(log.path))


class TestOutboxedMemoryLog(LogContract):
    @pytest.fixture
    def logs(self, tmp_path: Path) -> Iterator[LogMaker]:
        with ExitStack() as stack:
            yield MemoryMaker(tmp_path, stack)


class TestOutboxedSqliteLog(LogContract):
    @pytest.fixture
    def logs(self, tmp_path: Path) -> Iterator[LogMaker]:
        with ExitStack() as stack:
            yield SqliteMaker(tmp_path, stack)
