"""The application: which address answers what."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from eventresults.errors import EventResultsError
from eventresults.service.web import metrics as exposition
from eventresults.service.web import openapi
from eventresults.service.web.answers import answer, encoded
from eventresults.service.web.door import LOCAL_HOSTS, Door
from eventresults.service.web.health import Check, Health, make_pool
from eventresults.service.web.limits import Limits
from eventresults.service.web.metrics import Metrics, Present
from eventresults.service.web.problems import Refused, on_error
from eventresults.service.web.projections import ProjectionReads
from eventresults.service.web.questions import Questions
from eventresults.service.web.reads import Reads
from eventresults.service.web.sockets import OpenSessions, Sockets
from eventresults.service.web.stream import Streams
from eventresults.service.web.tokens import Tokens
from eventresults.view.base import ViewReader

API = "/api/v1"
#: How long clients have to take what they are told last.
GOODBYE_SECONDS = 0.5


class App:
    """An ASGI application that serves one view. `stop` ends its streams and sockets; `close` its threads.

    `open_sessions` finds what talks to processes that connect to the WebSocket; without it there is none. `hosts` are the names under which
    it answers when there are no tokens (empty: any).
    """

    def __init__(
        self,
        reader: ViewReader,
        *,
        health: Health,
        metrics: Metrics,
        tokens: Tokens | None = None,
        limits: Limits | None = None,
        open_metrics: bool = False,
        hosts: frozenset[str] = LOCAL_HOSTS,
        open_sessions: OpenSessions | None = None,
    ) -> None:
        limits = limits or Limits()
        self._health = health
        self._metrics = metrics
        self._pool = make_pool()
        self._questions = Questions(limits)
        self._streams = Streams(reader, self._questions, limits)
        self._sockets = None if open_sessions is None else Sockets(open_sessions, self._questions, limits)
        self.routes = self._routes(Reads(reader, self._questions, limits), ProjectionReads(reader, self._questions, limits))
        handlers = dict.fromkeys((HTTPException, Refused, EventResultsError, ValueError, Exception), on_error)
        starlette = Starlette(routes=self.routes, exception_handlers=handlers)
        starlette.router.redirect_slashes = False
        self._door = Door(starlette, tokens=tokens or Tokens(), limits=limits, open_metrics=open_metrics, hosts=hosts)
        metrics.present(Present(connections=self._connections, waiters=lambda: self._questions.open, watchers=self._watched))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, stream or socket."""
        await self._door(scope, receive, send)

    async def ready(self) -> Mapping[str, Check]:
        """What each check of readiness found, by its name."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._health.ready)

    async def stop(self) -> None:
        """End streams and sockets; their clients come back, to whoever serves then. Waits a moment for those who read to be told."""
        self._streams.stop()
        if self._sockets is not None:
            self._sockets.stop()
        deadline = asyncio.get_running_loop().time() + GOODBYE_SECONDS
        while self._lasting and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - they are many
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Take no more questions. Idempotent."""
        self._questions.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _routes(self, reads: Reads, projections: ProjectionReads) -> list[BaseRoute]:
        routes: list[BaseRoute] = [
            Route(f"{API}/tasks", reads.tasks),
            Route(f"{API}/tasks:batch", reads.batch, methods=["POST"]),
            Route(f"{API}/tasks/{{id}}", reads.task),
            Route(f"{API}/tasks/{{id}}/history", reads.history),
            Route(f"{API}/groups/{{id}}", reads.group),
            Route(f"{API}/projections/{{id}}", projections.page),
            Route(f"{API}/projections/{{id}}/{{key}}", projections.state),
            Route(f"{API}/events", self._streams.events),
            Route(f"{API}/openapi.json", self._openapi),
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
            Route("/metrics", self._exposition),
        ]
        if self._sockets is not None:
            routes.append(WebSocketRoute(f"{API}/socket", self._sockets, name="socket"))
        return routes

    async def _livez(self, _: Request) -> Response:
        return answer(encoded({"status": "alive"}))

    async def _readyz(self, _: Request) -> Response:
        checks = await self.ready()
        ok = all(check.ok for check in checks.values())
        said = {"status": "ready" if ok else "not ready", "checks": {name: check._asdict() for name, check in checks.items()}}
        return answer(encoded(said), status=200 if ok else 503)

    async def _exposition(self, _: Request) -> Response:
        text = await asyncio.get_running_loop().run_in_executor(self._pool, self._metrics.text)
        return Response(text, headers={"Content-Type": exposition.MEDIA_TYPE, "Cache-Control": "no-store"})

    async def _openapi(self, _: Request) -> Response:
        return answer(encoded(openapi.document()))

    def _connections(self) -> dict[str, int]:
        streams = self._streams.open
        sockets = 0 if self._sockets is None else self._sockets.open
        return {"request": max(self._door.inside - streams - sockets, 0), "stream": streams, "socket": sockets}

    @property
    def _lasting(self) -> int:
        return self._streams.open + (0 if self._sockets is None else self._sockets.open)

    def _watched(self) -> int:
        return self._streams.watched + (0 if self._sockets is None else self._sockets.watched)
