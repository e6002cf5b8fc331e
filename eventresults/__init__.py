"""An event-sourced result tracker for Python task workers.

    import eventresults
    tracker = eventresults.connect("sqlite:///events.db")

The log is the truth, the view is what it adds up to, and `AsyncResult` reads the view.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from eventresults.errors import (
    AppendTimeout,
    ArchiveCorrupt,
    ArchiveError,
    ArchiveGap,
    ArchiveMismatch,
    ArchiveUnavailable,
    AuditError,
    ChainBroken,
    Closed,
    ConfigError,
    EventCorrupt,
    EventResultsError,
    IncompleteStream,
    InvalidTaskId,
    LedgerCorrupt,
    LogError,
    LogUnavailable,
    MaxRetriesExceededError,
    NotaryConflict,
    NotOwner,
    NotPicklable,
    PastGone,
    PrivacyError,
    ProjectionFailed,
    ProjectionUnknown,
    ProofInvalid,
    QueryRefused,
    RemoteTaskError,
    ReplayRefused,
    ResultTimeout,
    TaskRevokedError,
    TopicMisconfigured,
    UnknownSubject,
    ValueErased,
    ValueNotEncodable,
    ValueSealed,
    ValueTooLarge,
    ViewCorrupt,
    ViewError,
    ViewLocked,
    ViewStale,
    ViewUnavailable,
    WorkerLostError,
    WouldBlock,
)

if TYPE_CHECKING:
    from eventresults.client.eager import EagerResult
    from eventresults.client.groupresult import GroupResult
    from eventresults.client.joins import allow_join_result, assert_will_not_block, denied_join_result, task_join_will_block
    from eventresults.client.result import AsyncResult, ResultBase
    from eventresults.client.resultset import ResultSet
    from eventresults.client.tuples import result_from_tuple
    from eventresults.domain.events import (
        DataErased,
        GroupDispatched,
        GroupDispatching,
        GroupForgotten,
        GroupPart,
        GroupSaved,
        GroupSized,
        TaskEvent,
        TaskFailed,
        TaskForgotten,
        TaskReceived,
        TaskRejected,
        TaskRetried,
        TaskRevoked,
        TaskRevokeRequested,
        TaskSent,
        TaskStarted,
        TaskSucceeded,
        TaskUpdated,
    )
    from eventresults.domain.meta import TaskMeta
    from eventresults.domain.position import Position
    from eventresults.domain.projection import Projection, Transition
    from eventresults.domain.states import TaskState
    from eventresults.recorder import Recorder
    from eventresults.tracker import Tracker, connect, current_tracker
    from eventresults.worker.context import current_task
    from eventresults.worker.executor import TrackedExecutor
else:
    #: Where the names above are; a module is imported when the first of its names is asked for. Errors are light, and here at once.
    _NAMES_OF = {
        "eventresults.client.eager": "EagerResult",
        "eventresults.client.groupresult": "GroupResult",
        "eventresults.client.joins": "allow_join_result assert_will_not_block denied_join_result task_join_will_block",
        "eventresults.client.result": "AsyncResult ResultBase",
        "eventresults.client.resultset": "ResultSet",
        "eventresults.client.tuples": "result_from_tuple",
        "eventresults.domain.events": (
            "DataErased GroupDispatched GroupDispatching GroupForgotten GroupPart GroupSaved GroupSized TaskEvent TaskFailed TaskForgotten "
            "TaskReceived TaskRejected TaskRetried TaskRevokeRequested TaskRevoked TaskSent TaskStarted TaskSucceeded TaskUpdated"
        ),
        "eventresults.domain.meta": "TaskMeta",
        "eventresults.domain.position": "Position",
        "eventresults.domain.projection": "Projection Transition",
        "eventresults.domain.states": "TaskState",
        "eventresults.recorder": "Recorder",
        "eventresults.tracker": "Tracker connect current_tracker",
        "eventresults.worker.context": "current_task",
        "eventresults.worker.executor": "TrackedExecutor",
    }
    _HOMES = {name: module for module, names in _NAMES_OF.items() for name in names.split()}

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "AppendTimeout",
    "ArchiveCorrupt",
    "ArchiveError",
    "ArchiveGap",
    "ArchiveMismatch",
    "ArchiveUnavailable",
    "AsyncResult",
    "AuditError",
    "ChainBroken",
    "Closed",
    "ConfigError",
    "DataErased",
    "EagerResult",
    "EventCorrupt",
    "EventResultsError",
    "GroupDispatched",
    "GroupDispatching",
    "GroupForgotten",
    "GroupPart",
    "GroupResult",
    "GroupSaved",
    "GroupSized",
    "IncompleteStream",
    "InvalidTaskId",
    "LedgerCorrupt",
    "LogError",
    "LogUnavailable",
    "MaxRetriesExceededError",
    "NotOwner",
    "NotPicklable",
    "NotaryConflict",
    "PastGone",
    "Position",
    "PrivacyError",
    "Projection",
    "ProjectionFailed",
    "ProjectionUnknown",
    "ProofInvalid",
    "QueryRefused",
    "Recorder",
    "RemoteTaskError",
    "ReplayRefused",
    "ResultBase",
    "ResultSet",
    "ResultTimeout",
    "TaskEvent",
    "TaskFailed",
    "TaskForgotten",
    "TaskMeta",
    "TaskReceived",
    "TaskRejected",
    "TaskRetried",
    "TaskRevokeRequested",
    "TaskRevoked",
    "TaskRevokedError",
    "TaskSent",
    "TaskStarted",
    "TaskState",
    "TaskSucceeded",
    "TaskUpdated",
    "TopicMisconfigured",
    "TrackedExecutor",
    "Tracker",
    "Transition",
    "UnknownSubject",
    "ValueErased",
    "ValueNotEncodable",
    "ValueSealed",
    "ValueTooLarge",
    "ViewCorrupt",
    "ViewError",
    "ViewLocked",
    "ViewStale",
    "ViewUnavailable",
    "WorkerLostError",
    "WouldBlock",
    "allow_join_result",
    "assert_will_not_block",
    "connect",
    "current_task",
    "current_tracker",
    "denied_join_result",
    "result_from_tuple",
    "task_join_will_block",
]
