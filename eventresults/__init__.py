"""An event-sourced result tracker for Python task workers.

    import eventresults
    tracker = eventresults.connect("sqlite:///events.db")

The log is the truth, the view is what it adds up to, and `AsyncResult` reads the view.
"""

from eventresults.client.eager import EagerResult
from eventresults.client.groupresult import GroupResult
from eventresults.client.joins import allow_join_result, assert_will_not_block, denied_join_result, task_join_will_block
from eventresults.client.result import AsyncResult, ResultBase
from eventresults.client.resultset import ResultSet
from eventresults.client.tuples import result_from_tuple
from eventresults.domain.events import (
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
from eventresults.errors import (
    AppendTimeout,
    Closed,
    ConfigError,
    EventCorrupt,
    EventResultsError,
    IncompleteStream,
    InvalidTaskId,
    LogError,
    LogUnavailable,
    MaxRetriesExceededError,
    NotOwner,
    NotPicklable,
    PastGone,
    ProjectionFailed,
    ProjectionUnknown,
    RemoteTaskError,
    ReplayRefused,
    ResultTimeout,
    TaskRevokedError,
    TopicMisconfigured,
    ValueNotEncodable,
    ValueTooLarge,
    ViewCorrupt,
    ViewError,
    ViewLocked,
    ViewStale,
    ViewUnavailable,
    WorkerLostError,
    WouldBlock,
)
from eventresults.recorder import Recorder
from eventresults.tracker import Tracker, connect, current_tracker
from eventresults.worker.context import current_task
from eventresults.worker.executor import TrackedExecutor

__all__ = [
    "AppendTimeout",
    "AsyncResult",
    "Closed",
    "ConfigError",
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
    "LogError",
    "LogUnavailable",
    "MaxRetriesExceededError",
    "NotOwner",
    "NotPicklable",
    "PastGone",
    "Position",
    "Projection",
    "ProjectionFailed",
    "ProjectionUnknown",
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
    "ValueNotEncodable",
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
