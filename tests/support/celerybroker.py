"""Celery's broker made of files, quicker, and without its flaw: a message taken between the making of its file and its writing was lost."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from kombu.transport import filesystem
from kombu.utils.json import dumps

LOOK_SECONDS = 0.2


class Channel(filesystem.Channel):
    def _put(self, queue: str, payload: Any, **_: Any) -> None:
        """Write it under a name that nobody looks for, then give it its own."""
        name = f"{round(monotonic() * 1000)}_{uuid4()}.{queue}.msg"
        written = Path(self.data_folder_out, f".{name}")
        written.write_text(dumps(payload))
        written.rename(Path(self.data_folder_out, name))


class Transport(filesystem.Transport):
    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """A worker asks for two seconds at a time; only between does it acknowledge, and see that it is to end."""
        super().drain_events(connection, timeout=min(timeout or LOOK_SECONDS, LOOK_SECONDS))
