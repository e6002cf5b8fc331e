"""Exit codes: what they mean, and which error becomes which."""

from __future__ import annotations

from enum import IntEnum

from eventresults.errors import (
    AppendTimeout,
    ArchiveMismatch,
    ArchiveUnavailable,
    ConfigError,
    EventResultsError,
    InvalidTaskId,
    LogUnavailable,
    NotOwner,
    PastGone,
    ProjectionUnknown,
    QueryRefused,
    ResultTimeout,
    TopicMisconfigured,
    UnknownSubject,
    ViewLocked,
    ViewStale,
    ViewUnavailable,
)


class ExitCode(IntEnum):
    """What a command tells the shell."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 69
    MISCONFIGURED = 78
    TIMEOUT = 124
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "the task failed, a check found something, or two things differ",
    ExitCode.USAGE: "wrong usage, or input that cannot be read",
    ExitCode.NOT_FOUND: "no such task, event or subject, or nothing is held of the moment asked for",
    ExitCode.UNREACHABLE: "the log, the view or the archive cannot be reached",
    ExitCode.MISCONFIGURED: "wrong configuration, or a topic that is missing or wrongly set up",
    ExitCode.TIMEOUT: "the time was over first, or the task has not ended",
    ExitCode.INTERRUPTED: "interrupted",
}

EPILOG = "\b\nExit codes:\n" + "\n".join(f"{code:>5}  {meaning}" for code, meaning in MEANINGS.items())

_CODES: dict[type[BaseException], ExitCode] = {
    InvalidTaskId: ExitCode.USAGE,
    QueryRefused: ExitCode.USAGE,
    LogUnavailable: ExitCode.UNREACHABLE,
    ViewUnavailable: ExitCode.UNREACHABLE,
    ArchiveUnavailable: ExitCode.UNREACHABLE,
    ViewLocked: ExitCode.UNREACHABLE,
    NotOwner: ExitCode.UNREACHABLE,
    PastGone: ExitCode.NOT_FOUND,
    ProjectionUnknown: ExitCode.MISCONFIGURED,
    ConfigError: ExitCode.MISCONFIGURED,
    ArchiveMismatch: ExitCode.MISCONFIGURED,
    TopicMisconfigured: ExitCode.MISCONFIGURED,
    ResultTimeout: ExitCode.TIMEOUT,
    AppendTimeout: ExitCode.TIMEOUT,
    ViewStale: ExitCode.TIMEOUT,
    UnknownSubject: ExitCode.NOT_FOUND,
    EventResultsError: ExitCode.FAILED,
}


def code_of(error: BaseException) -> ExitCode:
    """The code for this error, by the nearest class that has one."""
    return next((_CODES[cls] for cls in type(error).__mro__ if cls in _CODES), ExitCode.FAILED)
