"""A way to an owner: whole messages over a Unix socket, each led by its length in four bytes.

Reading gives up after `SILENCE_SECONDS` without a byte, for a living owner says something more often than that.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import suppress
from typing import Final, Protocol

from eventresults.view.protocol import MAX_FRAME_BYTES, SILENCE_SECONDS

_LENGTH: Final = struct.Struct("<I")
_READ_BYTES: Final = 256 * 1024


class Silent(Exception):
    """The other side has said nothing for `SILENCE_SECONDS`, or takes nothing: it is stopped, or cut off."""


class Gone(Exception):
    """The connection ended, or cannot be made."""


class Channel(Protocol):
    """Whole messages to and from an owner. One thread receives; any may send."""

    def send(self, *messages: bytes) -> None:
        """Send them in this order, at once. Raises `Silent`, `Gone`; the channel is then ended."""

    def receive(self) -> bytes:
        """The next message. Raises `Silent`, `Gone`."""

    @property
    def pending(self) -> bool:
        """Whether the next message is here already. For who receives."""

    def end(self) -> None:
        """Have whoever sends or receives get `Gone`. Idempotent, any thread."""

    def close(self) -> None:
        """End it, and give up its descriptor. By who receives, or once nobody does. Idempotent."""

    def leave_to_parent(self) -> None:
        """In a forked child: give up the inherited end, without a word."""


class UnixChannel:
    """A connected Unix socket."""

    def __init__(self, path: str, *, silence: float = SILENCE_SECONDS) -> None:
        """Connect. Raises `Gone` when nobody listens there, `Silent` when nobody answers."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sending = threading.Lock()
        self._buffer = bytearray()
        # Room for so much, made anew for every message of a hundred bytes, would take longer than the reading.
        self._room = memoryview(bytearray(_READ_BYTES))
        wait = struct.pack("ll", int(silence), int(silence % 1 * 1_000_000))
        try:
            # By the kernel: a timeout of Python's would make every call two.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
            self._socket.connect(path)
        except BlockingIOError:  # the queue of connections is full
            self._socket.close()
            raise Silent from None
        except OSError as error:
            self._socket.close()
            raise Gone(str(error)) from None

    def send(self, *messages: bytes) -> None:
        """See `Channel.send`."""
        try:
            with self._sending:
                self._socket.sendall(b"".join(map(framed, messages)))
        except OSError as error:
            # Half a message may be out: nothing can follow it.
            self.end()
            if isinstance(error, BlockingIOError):
                raise Silent from None
            raise Gone(str(error)) from None

    def receive(self) -> bytes:
        """See `Channel.receive`."""
        buffer = self._buffer
        while (message := take_frame(buffer)) is None:
            try:
                size = self._socket.recv_into(self._room)
            except BlockingIOError:
                raise Silent from None
            except OSError as error:
                raise Gone(str(error)) from None
            if not size:
                raise Gone("closed by the other side")
            buffer += self._room[:size]
        return message

    @property
    def pending(self) -> bool:
        """See `Channel.pending`."""
        buffer = self._buffer
        return len(buffer) >= 4 and len(buffer) >= 4 + _LENGTH.unpack_from(buffer)[0]

    def end(self) -> None:
        """See `Channel.end`."""
        with suppress(OSError):  # it is not connected any more
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """See `Channel.close`."""
        self.end()
        with self._sending:  # or a sender might write to whatever has the number next
            self._socket.close()

    def leave_to_parent(self) -> None:
        """See `Channel.leave_to_parent`."""
        descriptor = self._socket.detach()
        if descriptor >= 0:
            os.close(descriptor)


def framed(message: bytes) -> bytes:
    """A message behind its length."""
    return _LENGTH.pack(len(message)) + message


def take_frame(buffer: bytearray, limit: int = MAX_FRAME_BYTES) -> bytes | None:
    """The first whole message in the buffer, taken out of it; None when it is not there yet. Raises `Gone` for one over `limit` bytes."""
    if len(buffer) < 4:
        return None
    (length,) = _LENGTH.unpack_from(buffer)
    if length > limit:
        raise Gone(f"a message of {length:,} bytes, over {limit:,}")
    end = 4 + length
    if len(buffer) < end:
        return None
    with memoryview(buffer) as view:
        message = bytes(view[4:end])
    del buffer[:end]
    return message
