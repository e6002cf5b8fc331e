"""What was known of a task at a moment, for people and programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer

from eventresults.cli import records
from eventresults.cli.exits import ExitCode
from eventresults.cli.terminal import complain, say
from eventresults.cli.times import iso
from eventresults.domain.meta import TaskMeta
from eventresults.domain.position import Position
from eventresults.errors import ConfigError

if TYPE_CHECKING:
    from eventresults.past import Past, When
    from eventresults.tracker import Tracker

#: What every fact moves: where the last one stands, and how many there are. `describe` tells these.
_BOOKS: Final = frozenset({"position", "facts", "log_time", "expires_at"})


def past(tracker: Tracker, task_id: str, at: When) -> Past:
    """What was known of a task, a caution on stderr where that may not be all. Raises `typer.BadParameter` for a place that cannot be."""
    try:
        found = tracker.past.task(task_id, at)
    except ConfigError:
        raise
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if found.partial:
        say(f"Only in part: {task_id!r} began before the log does now; what retention removed is missing.")
    return found


def known(found: Past) -> TaskMeta:
    """What was known; exit 3 if that is nothing."""
    if found.meta is None:
        complain(f"no task {found.task_id!r} was known at {moment_text(found.when)} (says the {found.source}): see `task history`")
        raise typer.Exit(ExitCode.NOT_FOUND)
    return found.meta


def changed(before: TaskMeta | None, after: TaskMeta | None) -> list[dict[str, Any]]:
    """The fields that differ, as a row each."""
    one, other = ({} if meta is None else records.task_row(meta) for meta in (before, after))
    return [
        {"field": name, "before": one.get(name), "after": other.get(name)}
        for name in (one | other)
        if name not in _BOOKS and one.get(name) != other.get(name)
    ]


def describe(found: Past) -> str:
    """In a few words: the moment, how many facts that is, and who says so."""
    meta = found.meta
    what = "not there" if meta is None else f"{meta.state} after {meta.facts} facts, the last at {meta.position}"
    return f"{moment_text(found.when)}: {what} ({found.source})"


def moment_text(when: When) -> str:
    """As it is written on the command line."""
    return str(when) if isinstance(when, Position) else str(iso(when))
