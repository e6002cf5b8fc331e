"""Server-sent events: history after a vector, then what comes; no gap, no double; a slow client harms nobody."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eventresults.domain.position import Position
from eventresults.log.memory import MemoryLog
from eventresults.service.web.limits import Limits
from eventresults.service.web.query import parse_vector
from eventresults.service.web.stream import past
from eventresults.view.base import Fact
from tests.support.events import LOG_EPOCH, sent, started, succeeded
from tests.support.views import tell_life
from tests.unit.service.web.conftest import Web, serving
from tests.unit.service.web.test_reads import problem

DEADLINE = 10.0


class Client:
    """Reads one stream as a browser would, as slowly as the test wants."""

    def __init__(self, web: Web, ids: list[str], *, after: str | None = None, last: str | None = None) -> None:
        query = "&".join([*(f"ids={one}" for one in ids), *([f"after={after}"] if after is not None else [])])
        headers = [(b"host", b"localhost"), *([(b"last-event-id", last.encode())] if last is not None else [])]
        self.scope = {
            "type": "http", "method": "GET", "path": "/api/v1/events", "raw_path": b"/api/v1/events", "query_string": query.encode(),
            "headers": headers, "root_path": "", "scheme": "http", "http_version": "1.1", "server": ("localhost", 80), "client": None,
        }  # fmt: skip
        self.text = ""
        self._parsed = 0
        self._events: list[dict[str, Any]] = []
        self.ended = False
        #: Cleared: the client takes nothing.
        self.reads = asyncio.Event()
        self.reads.set()
        self._app = web.app
        self._news = asyncio.Condition()
        self._left = asyncio.Event()
        self._asked = False
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        await self._app(self.scope, self._receive, self._send)
        self.ended = True
        async with self._news:
            self._news.notify_all()

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        async with self._news:
            if message["type"] == "http.response.start":
                self.status, self.headers = message["status"], dict(message["headers"])
            else:
                self.text += message["body"].decode()
            self._news.notify_all()

    @property
    def events(self) -> list[dict[str, Any]]:
        """What came, as (id, data)."""
        whole = self.text.rfind("\n\n")
        for block in self.text[self._parsed : whole].split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
            if "data" in fields and "event" not in fields:
                self._events.append({"vector": fields["id"], **json.loads(fields["data"])})
        self._parsed = max(whole, self._parsed)
        return self._events

    async def until(self, ask: Callable[[Client], Any]) -> Client:
        """Read until this holds."""
        async with asyncio.timeout(DEADLINE), self._news:
            await self._news.wait_for(lambda: ask(self))
        return self

    async def leave(self) -> None:
        """Close the connection."""
        self._left.set()
        self.reads.set()
        async with asyncio.timeout(DEADLINE):
            await self.task


def streaming(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())


def kinds(client: Client) -> list[tuple[str, str]]:
    return [(one["id"], one["kind"]) for one in client.events]


def test_history_comes_first_and_then_what_happens(web: Web):
    async def test() -> None:
        # given
        web.recorder.sent("a", name="n")
        client = await Client(web, ["a"]).until(lambda c: len(c.events) == 1)

        # when
        web.recorder.started("a")
        web.recorder.sent("other", name="n")
        web.recorder.succeeded("a", result=1)

        # then
        await client.until(lambda c: len(c.events) == 3)
        assert kinds(client) == [("a", "task-sent"), ("a", "task-started"), ("a", "task-succeeded")]
        assert client.status == 200
        assert client.headers[b"content-type"].startswith(b"text/event-stream")
        await client.leave()

    streaming(test)


def test_an_id_that_nobody_has_heard_of_may_still_come(web: Web):
    async def test() -> None:
        client = await Client(web, ["late"]).until(lambda c: "retry:" in c.text)
        web.recorder.sent("late", name="n")
        await client.until(lambda c: kinds(c) == [("late", "task-sent")])
        await client.leave()

    streaming(test)


@pytest.mark.parametrize("by", ["last", "after"])
def test_a_client_that_comes_back_with_any_id_misses_nothing_and_hears_nothing_twice(web: Web, by: str):
    async def test() -> None:
        # given
        ids = ["a", "b", "c", "d"]
        tell_life(web.recorder, ids)
        client = await Client(web, ids).until(lambda c: len(c.events) == 12)
        whole = client.events
        await client.leave()

        for place, event in enumerate(whole):
            # when
            client = Client(web, ids, **{by: event["vector"]})
            rest = whole[place + 1 :]
            left = len(rest)
            await client.until(lambda c, left=left: len(c.events) >= left and "retry" in c.text)

            # then
            assert sorted(one["event_id"] for one in client.events) == sorted(one["event_id"] for one in rest)
            await client.leave()

    streaming(test)


def test_facts_that_come_while_it_begins_are_told_once(web: Web):
    async def test() -> None:
        # given
        ids, count = [f"t{n}" for n in range(10)], 3_000
        begun = threading.Event()

        def write() -> None:
            for number in range(count):
                web.recorder.updated(ids[number % 10], state="PROGRESS", meta={"n": number})
                if number == count // 10:
                    begun.set()

        writer = threading.Thread(target=write)
        writer.start()
        assert await asyncio.to_thread(begun.wait, 5)

        # when
        clients = [Client(web, ids) for _ in range(5)]
        await asyncio.to_thread(writer.join, 10)

        # then
        for client in clients:
            await client.until(lambda c: len(c.events) >= count)
            assert len({one["event_id"] for one in client.events}) == len(client.events) == count
            for one in ids:
                told = [event["details"]["meta"]["n"] for event in client.events if event["id"] == one]
                assert told == sorted(told)
            await client.leave()

    streaming(test)


class Racing:
    """A reader whose second id has a fact that was folded after the first id was read."""

    def __init__(self) -> None:
        self.facts = {"a": [Fact(Position(0, 0), LOG_EPOCH, sent())], "b": [Fact(Position(0, 1), LOG_EPOCH, sent())]}

    def get_many(self, ids: list[str], **_: Any) -> dict[str, None]:
        return dict.fromkeys(ids)

    def history(self, subject: str, **_: Any) -> list[Fact]:
        answer = list(self.facts[subject])
        if subject == "b" and len(self.facts["b"]) == 1:
            self.facts["a"].append(Fact(Position(0, 2), LOG_EPOCH, started()))
            self.facts["b"].append(Fact(Position(0, 3), LOG_EPOCH, started()))
            answer = list(self.facts["b"])
            self.facts["a"].append(Fact(Position(0, 4), LOG_EPOCH, succeeded()))
        return answer


def test_history_is_whole_up_to_the_vector_it_ends_with():
    found = past(Racing(), ["a", "b"], {}, {"freshness": "default", "timeout": None})
    assert [fact.position.offset for _, fact in found.facts] == [0, 1, 2, 3]
    assert found.vector == {0: 3}


def test_a_quiet_stream_shows_that_it_lives():
    async def test(web: Web) -> None:
        client = await Client(web, ["a"]).until(lambda c: c.text.count(": still here") >= 2)
        await client.leave()

    with serving(limits=Limits(keep_alive_seconds=0.02)) as web:
        asyncio.run(test(web))


def test_a_client_that_does_not_keep_up_lags_is_let_go_and_comes_back_without_loss():
    async def test(web: Web) -> None:
        # given
        client = await Client(web, ["a"]).until(lambda c: "retry" in c.text)
        client.reads.clear()

        # when
        for number in range(200):
            web.recorder.updated("a", state="PROGRESS", meta={"n": number, "much": "x" * 1000})
        assert web.recorder.flush(5)
        web.get_state = await asyncio.to_thread(web.reader.get, "a", timeout=5)  # the fold is not held up
        assert web.get_state.progress["n"] == 199
        assert max(len(tail._waiting) for tail in web.app._streams._open) < 200
        client.reads.set()

        # then
        await client.until(lambda c: c.ended)
        assert "event: lagged\n" in client.text
        told = client.events
        again = Client(web, ["a"], last=told[-1]["vector"] if told else "")
        await again.until(lambda c: len(c.events) + len(told) >= 200)
        assert [one["details"]["meta"]["n"] for one in [*told, *again.events]] == list(range(200))
        await again.leave()

    with serving(limits=Limits(stream_bytes=20_000)) as web:
        asyncio.run(test(web))


def test_what_waits_for_the_loop_is_bounded_too():
    async def test(web: Web) -> None:
        client = await Client(web, ["a"]).until(lambda c: "retry" in c.text)
        # the loop does nothing meanwhile
        for _ in range(50):
            web.recorder.updated("a", state="PROGRESS", meta={})
        assert web.recorder.flush(5)
        web.reader.get("a", timeout=5)
        (tail,) = web.app._streams._open
        assert len(tail._inbox) <= 10
        await client.until(lambda c: c.ended and "event: lagged" in c.text)

    with serving(limits=Limits(stream_changes=10)) as web:
        asyncio.run(test(web))


def test_a_client_that_takes_nothing_is_dropped(caplog):
    async def test(web: Web) -> None:
        client = await Client(web, ["a"]).until(lambda c: "retry" in c.text)
        client.reads.clear()
        web.recorder.sent("a", name="n")
        async with asyncio.timeout(DEADLINE):
            await client.task
        assert web.app._streams.open == 0

    with serving(limits=Limits(stalled_seconds=0.1)) as web:
        asyncio.run(test(web))
    assert "took nothing" in caplog.text


def test_a_client_that_leaves_is_forgotten(web: Web):
    async def test() -> None:
        client = await Client(web, ["a", "b"]).until(lambda c: "retry" in c.text)
        assert (web.app._streams.open, web.app._streams.watched) == (1, 2)
        await client.leave()
        assert (web.app._streams.open, web.app._streams.watched) == (0, 0)
        assert not web.reader.owner.view.listeners

    streaming(test)


def test_streams_end_when_the_service_stops(web: Web):
    async def test() -> None:
        client = await Client(web, ["a"]).until(lambda c: "retry" in c.text)
        await web.app.stop()
        await client.until(lambda c: c.ended)
        assert ": the service stops" in client.text

    streaming(test)


def test_however_many_ids_a_stream_follows_the_log_is_asked_once_for_its_end():
    class Counting(MemoryLog):
        asked = 0

        def ends(self, partitions, timeout):
            self.asked += 1
            return super().ends(partitions, timeout)

    async def test(web: Web) -> None:
        web.reader.get("a")
        before = log.asked
        client = await Client(web, [f"t{n}" for n in range(50)]).until(lambda c: "retry" in c.text)
        assert log.asked - before == 1
        await client.leave()

    log = Counting()
    with serving(log) as web:
        asyncio.run(test(web))


class Silent(MemoryLog):
    """A log whose end nobody gets to."""

    def ends(self, partitions, timeout):
        return {partition: end + 1 for partition, end in super().ends(partitions, timeout).items()}


def test_a_stream_that_cannot_begin_is_a_problem_and_leaves_nothing_behind():
    with serving(Silent()) as web:
        problem(web.ask("/api/v1/events?ids=a&timeout=0.05"), 503, "view-stale")
        assert web.app._streams.open == 0
        assert not web.reader.owner.view.listeners


@pytest.mark.parametrize("query", ["", "ids=", "ids=a&after=x", "ids=a&after=0:1;1:2", "id=a", "&".join(f"ids={n}" for n in range(101))])
def test_a_stream_of_nonsense_is_400(web: Web, query: str):
    assert web.ask(f"/api/v1/events?{query}").status_code == 400


def test_a_vector_reads_back():
    assert parse_vector("0:41,12:7", "after") == {0: 41, 12: 7}
    assert parse_vector("", "after") == {}
