"""WebSockets: frames between a client and its session, in bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eventresults.errors import ViewUnavailable
from eventresults.service.web.limits import Limits
from eventresults.service.web.tokens import Tokens
from tests.unit.service.web.conftest import Web, serving

DEADLINE = 10.0


class Echo:
    """A session that says everything back, and does as it is told."""

    watched = 3

    def __init__(self, out: Any, loop: asyncio.AbstractEventLoop) -> None:
        assert loop is asyncio.get_running_loop()
        self.out = out
        self.beats = 0
        self.ends = 0
        self.left = False

    def received(self, message: bytes) -> None:
        if message == b"bye":
            self.out.send(b"bye")
            self.out.close()
        else:
            self.out.send(message)

    def beat(self) -> None:
        self.beats += 1

    def leave(self) -> None:
        self.left = True
        self.out.send(b"leaving")

    def closed(self) -> None:
        self.ends += 1


class Client:
    """One connection, that reads when it wants to."""

    def __init__(self, web: Web, path: str = "/api/v1/socket", headers: dict[str, str] | None = None) -> None:
        given = {"host": "localhost", **(headers or {})}
        self.scope = {
            "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "ws",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()], "subprotocols": [], "server": ("localhost", 80),
            "client": None, "http_version": "1.1", "extensions": {"websocket.http.response": {}},
            "asgi": {"version": "3.0", "spec_version": "2.4"},
        }  # fmt: skip
        self.reads = asyncio.Event()
        self.reads.set()
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.say(type="websocket.connect")
        self.task = asyncio.create_task(web.app(self.scope, self._said.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.messages.put_nowait(message)
        if message["type"] == "websocket.close":
            self.say(type="websocket.disconnect", code=message["code"])

    def say(self, **message: Any) -> None:
        self._said.put_nowait(message)

    def send(self, frame: bytes) -> None:
        self.say(type="websocket.receive", bytes=frame)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE):
            return await self.messages.get()

    async def over(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self.task


def talking(test: Callable[[Web, list[Echo]], Awaitable[None]], **options: Any) -> None:
    sessions: list[Echo] = []

    def make(out: Any, loop: asyncio.AbstractEventLoop) -> Echo:
        sessions.append(Echo(out, loop))
        return sessions[-1]

    with serving(open_sessions=lambda: make, **options) as web:
        asyncio.run(test(web, sessions))
        for session in sessions:
            assert session.ends == 1


def test_frames_go_to_the_session_and_come_back_in_order():
    async def test(web: Web, _: list[Echo]) -> None:
        client = Client(web)
        assert (await client.next())["type"] == "websocket.accept"
        for number in range(100):
            client.send(b"%d" % number)
        assert [(await client.next())["bytes"] for _ in range(100)] == [b"%d" % number for number in range(100)]
        client.say(type="websocket.disconnect", code=1000)
        await client.over()

    talking(test)


def test_a_session_may_end_it_and_what_it_said_last_is_written():
    async def test(web: Web, _: list[Echo]) -> None:
        client = Client(web)
        await client.next()
        client.send(b"bye")
        assert (await client.next())["bytes"] == b"bye"
        assert await client.next() == {"type": "websocket.close", "code": 1000, "reason": ""}
        await client.over()

    talking(test)


def test_a_client_that_does_not_read_is_dropped_at_the_bound():
    async def test(web: Web, sessions: list[Echo]) -> None:
        # given
        client = Client(web)
        await client.next()
        client.reads.clear()

        # when
        for _ in range(15):
            client.send(b"x" * 100)
            await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE):
            while len(sessions[0].out._frames):  # noqa: ASYNC110 - the loop's own turns are what is waited for
                await asyncio.sleep(0)
        assert sessions[0].out.buffered <= 1_100
        sessions[0].out.send(b"never")

        # then
        client.reads.set()
        last = {}
        while last.get("type") != "websocket.close":
            last = await client.next()
            assert last.get("bytes") != b"never"
        assert last["code"] == 1013
        await client.over()

    talking(test, limits=Limits(socket_bytes=1_000))


def test_a_client_that_takes_nothing_for_too_long_is_dropped(caplog):
    async def test(web: Web, _: list[Echo]) -> None:
        client = Client(web)
        await client.next()
        client.reads.clear()
        client.send(b"x")
        await client.over()
        assert web.app._sockets.open == 0

    talking(test, limits=Limits(stalled_seconds=0.1))
    assert "took nothing" in caplog.text


def test_text_is_not_understood():
    async def test(web: Web, _: list[Echo]) -> None:
        client = Client(web)
        await client.next()
        client.say(type="websocket.receive", text="hello")
        assert (await client.next())["code"] == 1003
        await client.over()

    talking(test)


def test_sessions_are_told_of_the_time_and_of_the_end(monkeypatch):
    monkeypatch.setattr("eventresults.service.web.sockets.BEAT_SECONDS", 0.01)

    async def test(web: Web, sessions: list[Echo]) -> None:
        client = Client(web)
        await client.next()
        async with asyncio.timeout(DEADLINE):
            while sessions[0].beats < 3:  # noqa: ASYNC110 - a count that others make
                await asyncio.sleep(0.005)
        assert (web.app._sockets.open, web.app._sockets.watched) == (1, 3)
        await web.app.stop()
        assert (await client.next())["bytes"] == b"leaving"
        assert (await client.next())["code"] == 1012
        await client.over()
        assert web.app._sockets.open == 0

    talking(test)


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"authorization": "Bearer x"}, 401)])
def test_a_client_without_a_token_is_refused_at_the_handshake(headers, status):
    async def test(web: Web, sessions: list[Echo]) -> None:
        client = Client(web, headers=headers)
        refused = await client.next()
        assert (refused["type"], refused["status"]) == ("websocket.http.response.start", status)
        await client.over()
        assert sessions == []

    talking(test, tokens=Tokens(["t"]))


def test_a_page_of_another_site_is_refused_at_the_handshake():
    async def test(web: Web, sessions: list[Echo]) -> None:
        client = Client(web, headers={"origin": "http://evil.example"})
        assert (await client.next())["status"] == 403
        await client.over()
        assert sessions == []

    talking(test)


def test_a_session_that_fails_takes_only_its_own_connection_with_it():
    class Broken(Echo):
        def received(self, message: bytes) -> None:
            raise RuntimeError("defect")

    broken: list[Broken] = []

    def make(out: Any, loop: asyncio.AbstractEventLoop) -> Broken:
        broken.append(Broken(out, loop))
        return broken[-1]

    async def test(web: Web) -> None:
        client = Client(web)
        await client.next()
        client.send(b"x")
        with pytest.raises(RuntimeError):
            await client.over()
        assert web.app._sockets.open == 0

    with serving(open_sessions=lambda: make) as web:
        asyncio.run(test(web))
    assert broken[0].ends == 1


def test_a_client_is_refused_while_there_is_nothing_to_talk_about():
    def nothing() -> Any:
        raise ViewUnavailable("another process has it", services=[])

    async def test(web: Web) -> None:
        client = Client(web)
        refused = await client.next()
        assert (refused["type"], refused["status"]) == ("websocket.http.response.start", 503)
        await client.over()

    with serving(open_sessions=nothing) as web:
        asyncio.run(test(web))
