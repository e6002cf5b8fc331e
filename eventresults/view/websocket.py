"""A way to a view service: whole messages over a WebSocket."""

from __future__ import annotations

import os
from typing import Final

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException
from websockets.sync.client import connect

from eventresults.errors import ConfigError, ViewUnavailable
from eventresults.view.channel import Gone, Silent
from eventresults.view.protocol import MAX_FRAME_BYTES, SILENCE_SECONDS

PATH: Final = "/api/v1/socket"
CLOSE_SECONDS: Final = 0.5


class WebSocketChannel:
    """A connection to the service at `url` (http://host:port or https://…); `token` is what it asks for, if it does.

    Certificates are judged by the system's authorities (or those of `SSL_CERT_FILE`). Raises `Gone` when it cannot be reached within `timeout`
    seconds, `ConfigError` when it refuses the token, `ViewUnavailable` when what answers there is no view service.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 10.0, silence: float = SILENCE_SECONDS) -> None:
        self._silence = silence
        self._closed = False
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        address = f"ws{url.removeprefix('http').rstrip('/')}{PATH}"
        try:
            # As a context manager it may be closed at any time, and gives no warning.
            self._connection = connect(
                address,
                additional_headers=headers,
                compression=None,
                proxy=None,
                open_timeout=timeout,
                close_timeout=CLOSE_SECONDS,
                ping_interval=None,  # the owner's heartbeats tell more
                max_size=MAX_FRAME_BYTES,
            ).__enter__()
        except InvalidStatus as refused:
            raise _refused(url, refused.response.status_code) from None
        except InvalidURI as error:
            raise ConfigError(f"view={url!r} is no address of a service: http://host:port.", setting="view") from error
        except InvalidHandshake as error:
            raise ViewUnavailable(f"What answers at {url} is no view service ({error}): see view=.", services=[url]) from error
        except (OSError, WebSocketException, EOFError) as error:
            raise Gone(str(error) or repr(error)) from None

    def send(self, message: bytes) -> None:
        """See `Channel.send`."""
        try:
            self._connection.send(message)
        except (ConnectionClosed, OSError) as error:
            raise Gone(str(error)) from None

    def receive(self) -> bytes:
        """See `Channel.receive`."""
        try:
            message = self._connection.recv(timeout=self._silence)
        except TimeoutError:
            raise Silent from None
        except (ConnectionClosed, OSError, EOFError) as error:
            raise Gone(str(error)) from None
        return message if isinstance(message, bytes) else message.encode()

    def end(self) -> None:
        """See `Channel.end`."""
        self.close()

    def close(self) -> None:
        """See `Channel.close`."""
        if not self._closed:
            self._closed = True
            self._connection.close()

    def leave_to_parent(self) -> None:
        """See `Channel.leave_to_parent`."""
        descriptor = self._connection.socket.detach()
        if descriptor >= 0:
            os.close(descriptor)


def _refused(url: str, status: int) -> Exception:
    if status in (401, 403):
        return ConfigError(
            f"The service at {url} does not accept this process's token ({status}): set token= or token_file=.", setting="token"
        )
    if status in (429, 503):
        return Gone(f"the service is busy or not ready ({status})")
    return ViewUnavailable(f"What answers at {url} is no view service (status {status}): see view=.", services=[url])
