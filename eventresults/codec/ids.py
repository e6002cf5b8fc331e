"""Ids and the keys they become in the log."""

from __future__ import annotations

from eventresults.errors import InvalidTaskId

LONGEST = 1024


def key_of(subject: str) -> bytes:
    """The key of a task or group id: its UTF-8. Raises `InvalidTaskId` unless that is 1 to 1,024 bytes."""
    try:
        key = subject.encode()
    except (UnicodeEncodeError, AttributeError):
        key = b""
    if not 0 < len(key) <= LONGEST:
        shown = str(subject)[:64]
        raise InvalidTaskId(f"{shown!a} is no usable id: an id is a text of 1 to 1,024 bytes of UTF-8.", task_id=shown)
    return key
