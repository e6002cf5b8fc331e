"""What is called what in an archive."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, unquote

IDENTITY = "archive.json"
MANIFEST = "manifest.json"
EVENTS = "events"
GAPS = "gaps"

_NAME = re.compile(r"(?P<topic>[^/]+)-(?P<partition>\d+)-(?P<start>\d{20})(?:\.c(?P<level>\d+))?\.(?P<kind>parquet|json)")


class FileName(NamedTuple):
    """What a file's name says. `level` counts how often its rows were compacted: 0 is as the archiver wrote them."""

    topic: str
    partition: int
    start: int
    level: int = 0

    def events(self, log_time: int) -> str:
        """The path of a file whose first record has this log time (milliseconds since the epoch)."""
        compacted = f".c{self.level}" if self.level else ""
        return f"{EVENTS}/day={day_of(log_time)}/{self._stem}{compacted}.parquet"

    @property
    def gap(self) -> str:
        """The path of the file that says that these records are gone for good."""
        return f"{GAPS}/{self._stem}.json"

    @property
    def _stem(self) -> str:
        return f"{quote(self.topic, safe='')}-{self.partition}-{self.start:020}"

    @classmethod
    def parse(cls, path: str) -> FileName | None:
        """What this path says; None for a file that is none of ours."""
        match = _NAME.fullmatch(path.rpartition("/")[2])
        if match is None:
            return None
        return cls(unquote(match["topic"]), int(match["partition"]), int(match["start"]), int(match["level"] or 0))


def day_of(log_time: int) -> str:
    """The day of a log time, in UTC: 2026-11-28."""
    return datetime.fromtimestamp(log_time / 1000, UTC).strftime("%Y-%m-%d")
