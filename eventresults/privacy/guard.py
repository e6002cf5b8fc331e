"""The guard: every fact passes it on its way from the recorder into the log."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from eventresults.codec.values import encode_value
from eventresults.codec.wire import check_wire
from eventresults.errors import ConfigError, EventResultsError, ValueSealed
from eventresults.privacy.encryption import Encryption
from eventresults.privacy.redaction import Redaction, Value

logger = logging.getLogger(__name__)

WITHHELD: Final = "[withheld]"
#: Tasks whose name, subject and redacted texts are remembered.
REMEMBERED: Final = 10_000
#: Redacted texts that are remembered of one task.
SECRETS: Final = 256
#: Fields of facts that may hold private data. Not a chord's `body`: who sends it needs it as it is.
REDACTED: Final = ("args", "kwargs", "result", "meta", "error", "traceback", "reason")
_TEXTS: Final = ("error", "traceback", "reason")
_ARGUMENTS: Final = ("args", "kwargs")
_OF_REQUEST: Final = ("args", "kwargs", "stamps")


class Known:
    """What this process knows of one task."""

    __slots__ = ("name", "secrets", "subject")

    def __init__(self) -> None:
        self.name: str | None = None
        self.subject: str | None = None
        self.secrets: set[str] = set()


class Guard:
    """Redacts and encrypts the fields of facts. Any thread. Raises nothing: what cannot be treated is withheld, and that is logged."""

    def __init__(self, *, redaction: Redaction | None = None, encryption: Encryption | None = None) -> None:
        self._redaction = redaction
        self._encryption = encryption
        #: Without a lock, which a fork could leave locked: each step on it is atomic.
        self._tasks: OrderedDict[str, Known] = OrderedDict()

    def about(
        self, task_id: str, *, name: str | None = None, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None
    ) -> None:
        """Learn of a task that this process works on, whose arguments no fact of this process tells, or told long ago."""
        fields: dict[str, Any] = {"name": name}
        try:
            fields["args"] = None if args is None else [_told(one) for one in args]
            fields["kwargs"] = None if kwargs is None else {str(key): _told(one) for key, one in kwargs.items()}
            known = self._known(task_id, fields)
            if self._redaction is not None:
                self._walked(known, fields)
        except Exception as error:  # noqa: BLE001 - rules may raise anything; what follows from knowing less is seen to with each fact
            logger.warning(
                "too little is known of the task %s to keep its values private by more than common rules: %s", task_id, _kind(error)
            )

    def fields(self, kind: str, task_id: str, fields: dict[str, Any]) -> dict[str, Any]:
        """These fields of a fact as they may be recorded."""
        try:
            known = self._known(str(fields.get("task_id", task_id)), fields)
            if self._redaction is not None:
                fields = self._redact(kind, task_id, known, fields)
            if self._encryption is not None:
                fields = self._encryption.seal(fields, known.subject)
        except Exception as error:  # noqa: BLE001 - rules and hooks may raise anything, and then nothing private leaves
            told = f"the payloads of a {kind} fact of {task_id} are withheld, for they could not be made private: {_kind(error)}"
            logger.error(told)  # noqa: TRY400 - likewise its traceback
            return withheld(fields)
        return fields

    def _known(self, task_id: str, fields: Mapping[str, Any]) -> Known:
        known = self._tasks.setdefault(task_id, Known())
        with suppress(KeyError):
            self._tasks.move_to_end(task_id)
            if len(self._tasks) > REMEMBERED:
                self._tasks.popitem(last=False)
        name = fields.get("name")
        if isinstance(name, str):
            known.name = name
        if self._encryption is not None and any(fields.get(key) is not None for key in _ARGUMENTS):
            known.subject = self._encryption.subject_of(known.name, fields.get("args"), fields.get("kwargs")) or known.subject
        return known

    def _redact(self, kind: str, task_id: str, known: Known, fields: dict[str, Any]) -> dict[str, Any]:
        assert self._redaction is not None
        done = self._walked(known, fields)
        if self._redaction.hook is not None:
            for name, value in done.items():
                done[name] = self._redaction.hook(Value(kind, task_id, known.name, name, value))
                check_wire(done[name], name=name)
        return fields | _typed(done)

    def _walked(self, known: Known, fields: Mapping[str, Any]) -> dict[str, Any]:
        assert self._redaction is not None
        walk = self._redaction.walk(known.name, known.secrets)
        done = {name: walk.field(name, fields[name]) for name in REDACTED if fields.get(name) is not None}
        request = fields.get("request")
        if isinstance(request, dict):
            done["request"] = request | {name: walk.field(name, request[name]) for name in _OF_REQUEST if request.get(name) is not None}
        for name in _TEXTS:  # once more: what a later field told to be private may stand in these
            if done.get(name) is not None:
                done[name] = walk.field(name, done[name])
        while len(known.secrets) > SECRETS:
            known.secrets.pop()
        return done


def withheld(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a fact without anything that may be private."""
    kept = dict(fields)
    for name in REDACTED:
        if kept.get(name) is not None:
            kept[name] = WITHHELD
    if isinstance(kept.get("request"), dict):
        kept["request"] = {name: value for name, value in kept["request"].items() if name not in _OF_REQUEST}
    kept["body"] = None
    return {name: value for name, value in _typed(kept, fields).items() if name in fields}


def _typed(fields: dict[str, Any], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An error is an object, also when it was redacted as a whole."""
    error = fields.get("error")
    if isinstance(error, str):
        told = (before or {}).get("error")
        names = {name: told.get(name) for name in ("type", "module")} if isinstance(told, dict) else {}
        fields["error"] = {**names, "message": error, "args": []}
    return fields


def _told(value: Any) -> Any:
    """A wire value of any object, as far as there is one."""
    try:
        return encode_value(value)
    except EventResultsError:
        return None


def _kind(error: Exception) -> str:
    """What can be told of an error: of one that is not ours no more than its kind, for its text may hold what is to be kept private."""
    return f"{error}" if isinstance(error, ConfigError | ValueSealed) else type(error).__name__
