"""One view served until a signal: the parts put together."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eventresults.errors import ConfigError
from eventresults.log.base import Log
from eventresults.projector import Observer
from eventresults.service.web.address import check_guarded, is_loopback, listen, listen_unix, remove_unix
from eventresults.service.web.app import App
from eventresults.service.web.door import LOCAL_HOSTS
from eventresults.service.web.health import Health
from eventresults.service.web.limits import Limits
from eventresults.service.web.metrics import Metrics
from eventresults.service.web.notify import Notifier
from eventresults.service.web.server import Server
from eventresults.service.web.sockets import OpenSessions
from eventresults.service.web.tokens import load_tokens
from eventresults.service.web.vitals import Holder, Pulse
from eventresults.view.base import ViewReader

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is served: a view's reader and its log, and what this process holds of the view.

    `holder` finds that (None: another process holds it), may block, and is called now and again. `observe_with` has the projector tell an
    observer. `open_sessions` finds what talks to processes on the WebSocket. `folder` is the view's, for the free space of its disk.
    """

    reader: ViewReader
    log: Log
    holder: Callable[[], Holder | None]
    observe_with: Callable[[Observer], None] = lambda _: None
    open_sessions: OpenSessions | None = None
    folder: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How it is served: where, to whom, and within which limits."""

    host: str = "127.0.0.1"
    port: int = 8765
    uds: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    open_metrics: bool = False
    max_lag: int = 10_000
    min_free: int = 100 * 2**20
    limits: Limits = field(default_factory=Limits)


class Service:
    """A view's service, listening from the moment it is made.

    Raises `ConfigError` for a public address without a token, an address that cannot be had, a token or a certificate that cannot be read.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._tokens = load_tokens(terms.token, terms.token_file)
        if terms.uds is None:
            check_guarded(terms.host, self._tokens)
        _check_tls(terms)
        self._inode = 0
        if terms.uds is None:
            self._listening = listen(terms.host, terms.port)
        else:
            self._listening = listen_unix(terms.uds)
            self._inode = os.stat(terms.uds).st_ino  # noqa: PTH116 - of the path as it was given

    @property
    def address(self) -> str:
        """Where to ask."""
        if self._terms.uds is not None:
            return f"unix:{self._terms.uds}"
        host, port = self._listening.getsockname()[:2]
        shown = f"[{host}]" if self._listening.family == socket.AF_INET6 else host
        return f"http{'s' if self._terms.tls_cert else ''}://{shown}:{port}"

    def run(self, source: Source, environ: Mapping[str, str]) -> None:
        """Serve until SIGTERM or SIGINT. In the main thread."""
        terms = self._terms
        pulse = Pulse(source.holder, source.log)
        health = Health(pulse, max_lag=terms.max_lag, min_free=terms.min_free, folder=source.folder)
        metrics = Metrics(pulse)
        source.observe_with(metrics.observe)
        app = App(
            source.reader,
            health=health,
            metrics=metrics,
            tokens=self._tokens,
            limits=terms.limits,
            open_metrics=terms.open_metrics,
            hosts=frozenset({*LOCAL_HOSTS, terms.host.lower()}) if terms.uds is None and is_loopback(terms.host) else frozenset(),
            open_sessions=source.open_sessions,
        )
        server = Server(app, limits=terms.limits, notifier=Notifier(environ), tls_cert=terms.tls_cert, tls_key=terms.tls_key)
        logger.info("serving %s at %s", source.log.url, self.address)
        try:
            server.run(sockets=[self._listening])
        finally:
            app.close()
            logger.info("stopped serving")

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self._listening.close()
        if self._terms.uds is not None:
            remove_unix(self._terms.uds, self._inode)


def _check_tls(terms: Terms) -> None:
    if (terms.tls_cert is None) != (terms.tls_key is None):
        raise ConfigError("--tls-cert and --tls-key go together: give both, or neither.", setting="tls_cert")
    if terms.tls_cert is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(terms.tls_cert, terms.tls_key, password=_no_password)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--tls-cert {terms.tls_cert} with --tls-key {terms.tls_key} cannot be used: {error}", setting="tls_cert"
        ) from error


def _no_password() -> str:
    raise ValueError("the key is encrypted, and a service has nobody to ask for its password")
