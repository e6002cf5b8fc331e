"""A small log in a file, a notary of it, and ways to tamper with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from eventresults.audit.ledger import Ledger, OpenLedger
from eventresults.audit.notary import Notary
from eventresults.audit.report import Report
from eventresults.audit.signing import Signer, load_public, make_key
from eventresults.audit.source import LogSource
from eventresults.audit.succession import trusted
from eventresults.audit.verify import verify
from eventresults.log.sqlite import SqliteLog


@dataclass
class Scene:
    """`append` some records, `notarize` them, change the file by `sql`, and `verify`."""

    home: Path
    clock: list[float] = field(default_factory=lambda: [0.0])

    def __post_init__(self) -> None:
        self.key = self.home / "notary.key"
        make_key(self.key)
        self.signer = Signer.load(self.key)
        self.keys = load_public([f"{self.key}.pub"])
        self.log = SqliteLog(self.home / "events.db", clock=lambda: 1_000)
        self.folder = self.home / "ledger"

    def append(self, count: int, text: str = "value") -> None:
        with closing(self.log.writer()) as writer:
            for number in range(count):
                last = writer.append(b"task", f"{text} {number}".encode())
            last.result(10)

    def notary(self, ledger: OpenLedger, **options: Any) -> Notary:
        return Notary(self.log, ledger, self.signer, **{"every": 10, "elapsed": lambda: self.clock[0], **options})

    def notarize(self, **options: Any) -> int:
        """Sign all there is; the number of new checkpoints."""
        with OpenLedger(self.folder) as ledger, self.notary(ledger, **options) as notary:
            notary.open()
            return len([*notary.catch_up(notary.ends), *notary.finish()])

    def sql(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.home / "events.db")) as database:
            for statement in statements:
                database.execute(statement)
            database.commit()

    def verify(self, *, links: bool = True) -> Report:
        source = LogSource(self.log, timeout=10)
        ledger = Ledger(self.folder)
        chains = trusted(ledger.checkpoints(), self.keys, log_id=source.log_id, url=source.url)
        return verify(source, chains, ledger=ledger if links else None, time="now")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.log.close()
