"""How much anybody may ask of the service at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds that protect the service from its clients. Sizes in bytes, times in seconds."""

    #: Requests, streams and sockets open at the same time.
    connections: int = 1_000
    #: The body of a request.
    body: int = 1024 * 1024
    #: Tasks in one page of a list.
    page: int = 1_000
    #: Tasks in one batch read.
    batch: int = 1_000
    #: Ids that one stream of events may follow.
    stream_ids: int = 100
    #: How long a request may take; a stream may stay.
    request_seconds: float = 30.0
    #: Reads under way, each in a thread of its own, and reads that wait for a thread.
    reading: int = 32
    waiting: int = 256
    #: What a stream or a socket holds for a client that does not keep up, before it drops what it holds, or the client.
    stream_bytes: int = 8 * 1024 * 1024
    stream_changes: int = 10_000
    socket_bytes: int = 64 * 1024 * 1024
    #: One message on the WebSocket.
    message: int = 64 * 1024 * 1024
    #: A client that takes nothing for so long is dropped.
    stalled_seconds: float = 30.0
    #: How often a quiet stream shows that it lives.
    keep_alive_seconds: float = 15.0
