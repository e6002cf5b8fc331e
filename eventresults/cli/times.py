"""Durations and times as people type them on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

from eventresults.codec.readable import iso
from eventresults.config.durations import seconds
from eventresults.domain.position import Position

__all__ = ["duration", "iso", "milliseconds", "moment", "place"]


def duration(text: str) -> float:
    """Seconds of "30s", "5m", "2h", "7d" or a number."""
    try:
        return seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def moment(text: str) -> datetime:
    """A time: ISO 8601 (UTC unless it says otherwise), "now", or a duration and "ago"."""
    words = text.strip().lower()
    now = datetime.now(UTC)
    if words == "now":
        return now
    if words.endswith("ago"):
        return now - timedelta(seconds=duration(words.removesuffix("ago")))
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time: write 2026-11-22T20:44:56Z, 2026-11-22, or '2h ago'") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def place(text: str) -> Position | datetime:
    """Somewhere in the log: a position (`partition:offset`), or a time as `moment` takes it."""
    return Position.parse(text.strip()) if re.fullmatch(r"\d{1,9}:\d{1,19}", text.strip()) else moment(text)


def milliseconds(when: datetime | None) -> int | None:
    """A time as the log counts: milliseconds since the epoch."""
    return None if when is None else int(when.timestamp() * 1000)
