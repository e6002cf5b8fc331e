"""An application over a real view of a log in memory, asked in the same process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from eventresults.errors import Closed
from eventresults.log.base import Log
from eventresults.log.memory import MemoryLog
from eventresults.projector.registered import NONE
from eventresults.recorder import Recorder
from eventresults.service.web.app import App
from eventresults.service.web.health import Health
from eventresults.service.web.metrics import Metrics
from eventresults.service.web.vitals import Pulse
from eventresults.view.base import ViewReader
from tests.support.views import viewing


@dataclass
class Web:
    """The application, what it serves, and a way to ask it."""

    app: App
    reader: Any
    recorder: Recorder
    log: Log
    metrics: Metrics

    def ask(self, path: str, *, method: str = "GET", **request: Any) -> httpx.Response:
        """One request and its answer."""

        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, **request)

        return asyncio.run(asked())

    def get(self, path: str, **request: Any) -> Any:
        """What a request that goes well answers."""
        answer = self.ask(path, **request)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def batch(self, ids: Any, **request: Any) -> httpx.Response:
        """A batch read."""
        return self.ask("/api/v1/tasks:batch", method="POST", content=json.dumps({"ids": ids}), **request)


@contextmanager
def serving(log: Log | None = None, *, reader: ViewReader | None = None, max_lag: int = 100, **options: Any) -> Iterator[Web]:
    """An application over a view of this log."""
    log = log or MemoryLog(partitions=3)
    settings = {"read_timeout": options.pop("read_timeout", 5.0), "projections": options.pop("projections", NONE)}
    with viewing(log, **settings) as (view, recorder):

        def owner() -> Any:
            if view._closed:
                raise Closed("closed", what="view")
            return view.owner

        pulse = Pulse(owner, log)
        metrics = Metrics(pulse)
        health = Health(pulse, max_lag=max_lag, min_free=0, folder=None)
        app = App(reader or view, health=health, metrics=metrics, **options)
        try:
            yield Web(app, view, recorder, log, metrics)
        finally:
            app.close()


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as one:
        yield one
