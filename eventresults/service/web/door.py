"""The door: who may come in, how many at once, and what a path says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from eventresults.service.web.limits import Limits
from eventresults.service.web.problems import Refused, problem
from eventresults.service.web.tokens import Tokens

#: Health is for whoever keeps this process running, and tells nothing of tasks.
HEALTH = frozenset({"/livez", "/readyz"})
METRICS = "/metrics"
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})

_PORT = re.compile(r":\d+$")


class Door:
    """Stands before the application. Without tokens only this machine reaches us, and a browser's pages must not use that."""

    def __init__(
        self, app: ASGIApp, *, tokens: Tokens, limits: Limits, open_metrics: bool = False, hosts: Iterable[str] = LOCAL_HOSTS
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._limits = limits
        self._unguarded = HEALTH | ({METRICS} if open_metrics else set())
        self._hosts = frozenset(hosts)
        #: Requests, streams and sockets inside.
        self.inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in, or answer with the reason."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        path = canonical(scope)
        try:
            self._check(path, dict(scope["headers"]))
        except Refused as refused:
            await problem(refused)(scope, receive, send)
            return
        self.inside += 1
        try:
            await self._app({**scope, "path": path}, receive, send)
        finally:
            self.inside -= 1

    def _check(self, path: str, headers: dict[bytes, bytes]) -> None:
        if path in self._unguarded:
            return
        if self.inside >= self._limits.connections:
            raise Refused(
                429,
                "too-many-connections",
                "Too many connections",
                f"{self.inside:,} requests, streams and sockets are open, as many as may be: come back in a second.",
                headers={"Retry-After": "1"},
                limit=self._limits.connections,
            )
        if not self._tokens:
            self._check_origin(headers)
        elif not self._tokens.admits(headers.get(b"authorization")):
            raise Refused(
                401,
                "unauthenticated",
                "Who asks?",
                "Send the header `Authorization: Bearer <token>` with a token that this service was started with.",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _check_origin(self, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        origin = headers.get(b"origin")
        named = _PORT.sub("", host)
        if (self._hosts and named and named not in self._hosts) or (
            origin is not None and origin.decode("latin-1").rpartition("//")[2] != host
        ):
            raise Refused(
                403,
                "foreign-origin",
                "Not for other sites' pages",
                "Without a token this service answers this machine only, under its own name: start it with a token to ask from elsewhere.",
            )


def canonical(scope: Scope) -> str:
    """The path with each of its parts percent-encoded in the one way: an id may hold slashes."""
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    return "/".join(quote(unquote_to_bytes(part), safe=":") for part in raw.decode("latin-1").split("/"))
