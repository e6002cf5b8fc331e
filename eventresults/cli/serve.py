"""`eventresults serve`: own the view and serve it to other processes and machines; `healthcheck`: ask such a service how it is."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from eventresults.cli.connection import settings_of
from eventresults.cli.exits import ExitCode
from eventresults.cli.options import Url, View
from eventresults.cli.terminal import complain, one_line, say

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765
HEALTH_SECONDS = 5.0
PREFIX = "EVENTRESULTS_SERVE_"


def serve(
    *,
    host: Annotated[
        str, typer.Option(envvar=PREFIX + "HOST", help="Where to listen. One that others can reach needs a token.")
    ] = DEFAULT_HOST,
    port: Annotated[int, typer.Option(envvar=PREFIX + "PORT", min=0, max=65_535, help="The TCP port; 0 takes any.")] = DEFAULT_PORT,
    uds: Annotated[
        str | None,
        typer.Option(
            envvar=PREFIX + "UDS", metavar="PATH", help="Listen at a Unix socket instead, for this user alone.", show_default=False
        ),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Bearer tokens, one a line, any of which opens the service. Also EVENTRESULTS_TOKEN.", show_default=False
        ),
    ] = None,
    tls_cert: Annotated[
        str | None, typer.Option(envvar=PREFIX + "TLS_CERT", metavar="FILE", help="Certificate (PEM), for https.", show_default=False)
    ] = None,
    tls_key: Annotated[
        str | None, typer.Option(envvar=PREFIX + "TLS_KEY", metavar="FILE", help="Its private key (PEM).", show_default=False)
    ] = None,
    open_metrics: Annotated[
        bool, typer.Option("--open-metrics", envvar=PREFIX + "OPEN_METRICS", help="Ask no token for /metrics.")
    ] = False,
    max_lag: Annotated[int, typer.Option(envvar=PREFIX + "MAX_LAG", min=0, help="Not ready when more records behind the log.")] = 10_000,
    min_free: Annotated[
        int, typer.Option(envvar=PREFIX + "MIN_FREE", min=0, help="Not ready with less MiB free on the view's disk.")
    ] = 100,
    max_connections: Annotated[
        int, typer.Option(envvar=PREFIX + "MAX_CONNECTIONS", min=1, help="Requests, streams and sockets open at the same time.")
    ] = 1_000,
    max_page: Annotated[int, typer.Option(envvar=PREFIX + "MAX_PAGE", min=1, max=1_000, help="Tasks in one page of a list.")] = 1_000,
    request_timeout: Annotated[
        float, typer.Option(envvar=PREFIX + "REQUEST_TIMEOUT", min=0.1, help="How long a request may take, in seconds.")
    ] = 30.0,
    group: Annotated[
        str | None,
        typer.Option(
            envvar=PREFIX + "GROUP",
            metavar="NAME",
            help="Be a member of this consumer group, and serve the partitions it assigns (Kafka).",
            show_default=False,
        ),
    ] = None,
    instance_id: Annotated[
        str | None,
        typer.Option(
            envvar=PREFIX + "INSTANCE_ID",
            metavar="NAME",
            help="This member's name in the group, and of its folder; the host's name unless set.",
            show_default=False,
        ),
    ] = None,
    advertise: Annotated[
        str | None,
        typer.Option(envvar=PREFIX + "ADVERTISE", metavar="URL", help="Where others reach this member.", show_default=False),
    ] = None,
    snapshots: Annotated[
        Path | None,
        typer.Option(
            envvar=PREFIX + "SNAPSHOTS", metavar="DIR", help="Snapshots with which a shard that is new here begins.", show_default=False
        ),
    ] = None,
    url: Url = None,
    view: View = None,
) -> None:
    """Own the view and serve it: REST, server-sent events, a WebSocket, health and metrics, until SIGTERM.

    With --group it is one of several that share the partitions of a Kafka topic; readers find the right one with view=group.

    Logs go to stderr: JSON lines, or readable ones on a terminal. A second signal ends it at once.
    """
    # Until the server has taken over: the first process of a container would else not hear of it while the view is opened.
    signal.signal(signal.SIGTERM, _end)
    from eventresults.cli import serving  # noqa: PLC0415 - brings the server's libraries
    from eventresults.service.web.limits import Limits  # noqa: PLC0415
    from eventresults.service.web.run import Terms  # noqa: PLC0415

    settings = settings_of(url, view, token_file=token_file)
    terms = Terms(
        host=host,
        port=port,
        uds=uds,
        token=None if settings.token is None else settings.token.get_secret_value(),
        token_file=settings.token_file,
        tls_cert=tls_cert,
        tls_key=tls_key,
        open_metrics=open_metrics,
        max_lag=max_lag,
        min_free=min_free * 2**20,
        limits=Limits(connections=max_connections, page=max_page, request_seconds=request_timeout),
    )
    level = "INFO" if settings.sources["log_level"] == "default" else settings.log_level
    if group is None:
        serving.run(terms, url=url, view=view, level=level)
        return
    from eventresults.cli import serving_group  # noqa: PLC0415 - likewise

    membering = serving_group.Membering(
        group=group, instance_id=instance_id or socket.gethostname(), advertise=advertise, snapshots=snapshots
    )
    serving_group.run(terms, membering, settings, level=level)


def _end(*_: object) -> None:
    raise SystemExit(0)


def healthcheck(
    *,
    url: Annotated[
        str, typer.Option("--url", envvar=PREFIX + "URL", help="The service's address.")
    ] = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}",
    uds: Annotated[
        str | None, typer.Option(envvar=PREFIX + "UDS", metavar="PATH", help="Its Unix socket, instead.", show_default=False)
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Take any certificate, as one for another name than 127.0.0.1.")] = False,
) -> None:
    """Ask a service whether it is ready, as container health checks do. Exit 0 if it is, 1 if not or if nobody answers."""
    try:
        ready, text = _ask(url, uds, insecure=insecure)
    except (OSError, http.client.HTTPException, ValueError) as error:
        complain(f"{uds or url} does not answer: {error or type(error).__name__}")
        raise typer.Exit(ExitCode.FAILED) from error
    say(one_line(text))
    if not ready:
        raise typer.Exit(ExitCode.FAILED)


def _ask(url: str, uds: str | None, *, insecure: bool) -> tuple[bool, str]:
    connection = _connect(url, uds, insecure=insecure)
    try:
        connection.request("GET", "/readyz", headers={"Host": "localhost"})
        response = connection.getresponse()
        body = response.read(64 * 1024)
    finally:
        connection.close()
    checks = json.loads(body).get("checks", {})
    bad = [f"{name}: {check['found']}" for name, check in checks.items() if not check["ok"]]
    return response.status == http.HTTPStatus.OK, "; ".join(bad) or (
        "ready" if response.status == http.HTTPStatus.OK else str(response.status)
    )


def _connect(url: str, uds: str | None, *, insecure: bool) -> http.client.HTTPConnection:
    if uds is not None:
        return UnixConnection(uds)
    parts = urlsplit(url)
    if parts.hostname is None or parts.scheme not in {"http", "https"}:
        raise ValueError("write http://host:port")
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.hostname, parts.port or DEFAULT_PORT, timeout=HEALTH_SECONDS)
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(parts.hostname, parts.port or DEFAULT_PORT, timeout=HEALTH_SECONDS, context=context)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=HEALTH_SECONDS)
        self._path = os.fspath(path)

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(HEALTH_SECONDS)
        self.sock.connect(self._path)
