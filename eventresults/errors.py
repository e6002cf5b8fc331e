"""Every error that eventresults raises.

    EventResultsError
    ├── ResultTimeout (TimeoutError)      a wait ended before the task did
    ├── IncompleteStream                  a result tree was walked before it was complete
    ├── WouldBlock (RuntimeError)         get() inside a task could deadlock its workers
    ├── RemoteTaskError                   a task failed with an exception this process cannot rebuild
    ├── TaskRevokedError                  the task was revoked
    ├── WorkerLostError                   the process that ran a task ended under it
    ├── MaxRetriesExceededError           a task asked for one more attempt than it may have
    ├── ReplayRefused                     a recorded task cannot be run again
    ├── NotPicklable (TypeError)          a task cannot travel to a process, or its outcome back
    ├── Closed                            the tracker (or a part of it) was closed
    ├── InvalidTaskId (ValueError)        an id is not 1 to 1,024 bytes of UTF-8
    ├── ConfigError (ValueError)          a setting, a URL or a missing extra
    ├── LogError
    │   ├── LogUnavailable                the log cannot be reached, or refused us
    │   ├── AppendTimeout                 a fact was not accepted in time
    │   ├── ValueTooLarge                 a fact is over max_value_bytes
    │   ├── ValueNotEncodable (TypeError) no rule turns a value into JSON
    │   ├── EventCorrupt                  bytes that are no event of ours
    │   ├── PastGone                      a moment before what the log still holds
    │   └── TopicMisconfigured            a topic that is missing, or lacks a setting we rely on
    ├── ViewError
    │   ├── ViewLocked                    another process owns the view
    │   ├── ViewCorrupt                   a shard cannot be read
    │   ├── ViewStale                     an answer new enough could not be had in time
    │   ├── ViewUnavailable               nobody serves the view
    │   ├── ProjectionFailed              the code of a projection raised
    │   ├── ProjectionUnknown             nobody runs a projection of that name
    │   └── NotOwner                      this process does not own that shard
    ├── AuditError
    │   ├── ChainBroken                   the log no longer is what was signed
    │   ├── LedgerCorrupt                 checkpoints that cannot be read, or that nobody trusted has signed
    │   ├── NotaryConflict                two notaries sign one log
    │   └── ProofInvalid                  a proof does not prove what it says
    ├── ArchiveError
    │   ├── ArchiveCorrupt                a file of the archive is missing, or cannot be read, or lies
    │   ├── ArchiveUnavailable            the object store cannot be reached, or refused us
    │   ├── ArchiveMismatch               the archive is of another log
    │   ├── ArchiveGap                    the log removed records that were not archived yet
    │   └── QueryRefused (ValueError)     a query that is none, or asks for more than it may have
    └── PrivacyError
        ├── ValueSealed                   a value is encrypted, and its key is not here
        ├── ValueErased                   the key of an encrypted value was destroyed
        └── UnknownSubject                nothing was ever encrypted for this subject

An error says in its message what to do next and carries its facts as attributes (`error.facts` holds them all).
Every error pickles. No message and no fact holds a password.
"""

from __future__ import annotations

from typing import Any


class EventResultsError(Exception):
    """The root: `except EventResultsError` catches whatever this library raises on its own account."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts
        for name, value in facts.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.facts)


def _rebuild(cls: type[EventResultsError], message: str, facts: dict[str, Any]) -> EventResultsError:
    return cls(message, **facts)


class ResultTimeout(EventResultsError, TimeoutError):
    """The wait for a result ended first; the task itself goes on.

    Attributes: `task_id`, `timeout` (seconds), where known `state` (the last state seen).
    """


class IncompleteStream(EventResultsError):
    """A tree of results was walked while a task of it was unfinished. Attribute: `task_id`."""


class WouldBlock(EventResultsError, RuntimeError):
    """`get()` was called inside a task, where waiting for another task can deadlock all workers."""


class RemoteTaskError(EventResultsError):
    """A task failed with an exception whose class is not imported here, or is no `Exception`.

    Attributes: `type` (class name), `module`, `args_` (the exception's arguments), `remote_message` (its text).
    """


class TaskRevokedError(EventResultsError):
    """The task was revoked. Attributes: `task_id`, `reason`, `terminated`, `signal`."""


class WorkerLostError(EventResultsError):
    """The process that ran the task ended under it, or never got ready.

    Attributes: `task_id`, `pid`, `exitcode` (-9: killed by SIGKILL).
    """


class MaxRetriesExceededError(EventResultsError):
    """A task asked for another attempt, without an error, after its last one. Attributes: `task_id`, `attempts`."""


class ReplayRefused(EventResultsError):
    """The log does not hold what it takes to run a task again. Attributes: `task_id`, `reason`."""


class NotPicklable(EventResultsError, TypeError):
    """A task cannot travel to a process, or what it returned cannot travel back. Attributes: `what`, `reason`."""


class Closed(EventResultsError):
    """The tracker, recorder, log or view was closed: what was pending cannot go on. Attribute: `what`."""


class InvalidTaskId(EventResultsError, ValueError):
    """A task or group id that is not 1 to 1,024 bytes of UTF-8. Attribute: `task_id` (cut to 64 characters)."""


class ConfigError(EventResultsError, ValueError):
    """A setting cannot be used. Attributes: `setting`, where it applies, and `source` (where it came from)."""


class LogError(EventResultsError):
    """Something about the log."""


class LogUnavailable(LogError):
    """The log cannot be reached or refused us. Attributes: `url` (password masked), `reason`."""


class AppendTimeout(LogError):
    """A fact was not accepted within the append timeout; it may or may not be in the log.

    Append it again with the same `event_id`: the fold counts it once. Attributes: `task_id` or `key`, `timeout` (seconds).
    """


class ValueTooLarge(LogError):
    """A fact is larger than `max_value_bytes`. Attributes: `size`, `limit` (bytes), `task_id`."""


class ValueNotEncodable(LogError, TypeError):
    """No rule of the codec turns this value into JSON. Attributes: `path` (where in the value), `type_name`."""


class EventCorrupt(LogError):
    """Bytes that do not parse as an event. Attributes: `reason`, and where known `partition`, `offset`."""


class PastGone(LogError):
    """What was asked lies before what the log still holds. Attributes: `when`, `start` (its first position), `begins` (that log time)."""


class TopicMisconfigured(LogError):
    """The topic is missing, or a setting of it would lose or reorder facts. Attributes: `topic`, `problems`."""

    problems: list[str]


class ArchiveError(EventResultsError):
    """Something about the archive."""


class ArchiveCorrupt(ArchiveError):
    """A file of the archive is missing, cannot be read, or contradicts another. Attributes: `path`, `reason`."""


class ArchiveUnavailable(ArchiveError):
    """The object store that an archive lies in cannot be reached, or refused us. Attributes: `url`, `reason`."""


class ArchiveMismatch(ArchiveError):
    """The archive is of another log than the one asked for. Attributes: `archive`, `have`, `want` (names of logs)."""


class ArchiveGap(ArchiveError):
    """The log removed records that were not archived yet. Attributes: `partition`, `start`, `end` (offsets: start <= missing < end)."""


class QueryRefused(ArchiveError, ValueError):
    """A query that is none, or that asked for more time, memory or access than it may have. Attribute: `reason`."""


class ViewError(EventResultsError):
    """Something about the view."""


class ViewLocked(ViewError):
    """Another process owns this view. Attributes: `path`, `pid` (of the owner, where known)."""


class ViewCorrupt(ViewError):
    """A shard of the view cannot be read; the log can rebuild it. Attributes: `path`, `reason`."""


class ViewStale(ViewError):
    """The view could not be brought as far as the read asked for.

    Attributes: `partition`, `position` (next offset to fold), `end` (the log's end), `lag` (records), `eta` (seconds or None), `reason`.
    """


class ViewUnavailable(ViewError):
    """Nobody serves the view. Attribute: `services` (the addresses tried)."""


class ProjectionFailed(ViewError):
    """The code of a projection raised, or gave what is no state: its rows go no further.

    Attributes: `name`, `position` (of the fact, as a text; None: in a merge), `reason`.
    """


class ProjectionUnknown(ViewError):
    """Whoever holds the view runs no projection of that name. Attributes: `name`, `known` (those it runs)."""


class NotOwner(ViewError):
    """This process does not own that shard. Attributes: `partition`, `owner` (address or None)."""


class AuditError(EventResultsError):
    """Something about the evidence that a log was not altered."""


class ChainBroken(AuditError):
    """The log no longer is what was signed. Attributes: `partition`, `offset` (the first that differs), `reason`."""


class LedgerCorrupt(AuditError):
    """Checkpoints that cannot be read, do not follow one another, or are not signed by a trusted key.

    Attributes: `place` (where the checkpoint was found), `reason`.
    """


class NotaryConflict(AuditError):
    """Another notary signs the same log: only one may. Attribute: `place` (where it was met)."""


class ProofInvalid(AuditError):
    """A proof that does not prove what it says. Attribute: `reason`."""


class PrivacyError(EventResultsError):
    """Something about values that are kept private."""


class ValueSealed(PrivacyError):
    """A value is encrypted and cannot be read here. Attributes: `key_id` (of the key that it takes, where known), `reason`."""


class ValueErased(PrivacyError):
    """The key of an encrypted value was destroyed: nobody can read it any more. Attributes: `key_id`, `erased` (ISO 8601)."""


class UnknownSubject(PrivacyError):
    """Nothing was ever encrypted for this subject. Attribute: `subject` (cut to 64 characters)."""
