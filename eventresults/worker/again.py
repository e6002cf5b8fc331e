"""The call that a task was, made of what the log recorded of it: to be run again, or refused with the reason."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from eventresults.client.decoding import PLAIN
from eventresults.domain.meta import TaskMeta
from eventresults.errors import ReplayRefused
from eventresults.privacy.encryption import ERASED
from eventresults.privacy.guard import WITHHELD
from eventresults.privacy.redaction import MARK
from eventresults.worker.job import Call, name_of

_OPAQUE: Final = {"content_type", "encoding", "body"}
_SHOWN: Final = {"repr", "flag"}
_REDACTED: Final = MARK.removesuffix("]")


def recorded_call(task_id: str, meta: TaskMeta | None, fn: Callable[..., Any] | None) -> Call:
    """The call of this task; of `fn`, or (None) of the function of its name, which must be imported already.

    Raises `ReplayRefused` where the log does not hold the arguments as they were, or no function is found.
    """
    if meta is None:
        raise _refused(task_id, "no such task is known: it was never sent, or it was forgotten or has expired")
    if meta.args is None and meta.kwargs is None:
        raise _refused(task_id, "its arguments were not recorded")
    args, kwargs = meta.args or [], meta.kwargs or {}
    why = next(_missing(args, "args"), None) or next(_missing(kwargs, "kwargs"), None)
    if why is None and not (isinstance(args, list) and isinstance(kwargs, dict)):
        why = "its arguments were recorded in another form than a list and an object"
    if why is not None:
        raise _refused(task_id, why)
    return Call(fn or _function(task_id, meta.name), tuple(PLAIN.args(args)), PLAIN.kwargs(kwargs))


def _missing(wire: Any, place: str) -> Iterator[str]:
    """What of these arguments is not what the task was given."""
    if isinstance(wire, list):
        for number, item in enumerate(wire):
            yield from _missing(item, f"{place}[{number}]")
    elif isinstance(wire, dict):
        if wire.keys() == _SHOWN:
            yield f"{place} was recorded as a text only ({wire['flag']})"
        elif wire.keys() == _OPAQUE:
            yield f"{place} was written by another serializer ({wire['content_type']}), which is not read here"
        for name, item in wire.items():
            yield from _missing(item, f"{place}[{name!r}]")
    elif isinstance(wire, str) and wire.startswith(_REDACTED) and wire.endswith("]"):
        yield f"{place} was redacted"
    elif wire in {WITHHELD, ERASED}:
        yield f"{place} was kept private"


def _function(task_id: str, name: str | None) -> Callable[..., Any]:
    """What `module.qualname` names, among the modules that this process has imported: a log imports nothing."""
    parts = (name or "").split(".")
    for end in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:end]))
        if found is None:
            continue
        for part in parts[end:]:
            found = getattr(found, part, None)
        if callable(found) and name_of(found) == name:
            return found  # type: ignore[no-any-return]
    raise _refused(task_id, f"no function {name!r} is imported here: import its module first, or pass it as `fn`")


def _refused(task_id: str, reason: str) -> ReplayRefused:
    return ReplayRefused(f"Task {task_id[:64]!r} cannot be run again: {reason}.", task_id=task_id, reason=reason)
