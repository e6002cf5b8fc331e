"""A worker: one small task after another until SIGTERM, each recorded. With EVENTRESULTS_OUTBOX it goes on while the log is away."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading

import eventresults

PAUSE_SECONDS = 0.1


class UnreadablePhoto(ValueError):
    """What some photos are."""


def thumbnail(number: int) -> dict[str, int]:
    """The size of a photo's thumbnail. Raises `UnreadablePhoto` for each tenth."""
    if number % 10 == 0:
        raise UnreadablePhoto(f"photo-{number}.jpg is cut off")
    return {"width": 64 + number % 64, "height": 64}


def main() -> None:
    """Work until told to end. What was recorded is in the log, or in the outbox, when it ends."""
    told = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: told.set())
    with eventresults.connect() as tracker:
        for number in itertools.count(1):
            with contextlib.suppress(UnreadablePhoto), tracker.run("thumbnail", args=[f"photo-{number}.jpg"]) as task:
                task.result = thumbnail(number)
            if told.wait(PAUSE_SECONDS):
                return


if __name__ == "__main__":
    main()
