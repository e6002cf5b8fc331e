"""Conversations over the WebSocket, on a real view."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eventresults.errors import ViewUnavailable
from eventresults.log.own import OwnWrites
from eventresults.projector import Lifetimes
from eventresults.reading import FreshReader
from eventresults.service.served import Served
from eventresults.service.web.sessions import Sessions
from eventresults.view import protocol
from tests.unit.service.web.conftest import Web


class Owning:
    """An owner's word on whether it still is one."""

    resigned = False
    lives = True
    looks = 0

    def check(self) -> bool:
        self.looks += 1
        return self.lives


class Out:
    """What was said."""

    buffered = 0

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.closed = False

    def send(self, message: bytes) -> None:
        self.frames.append(protocol.reply(message))

    def close(self) -> None:
        self.closed = True


def served(web: Web) -> Served:
    owner = web.reader.owner
    return Served(
        view=owner.view,
        reader=FreshReader(owner.view, web.log, OwnWrites()),
        log=web.log,
        log_id=lambda: "l",
        generation=lambda: 1,
        lifetimes=Lifetimes(),
        answer=lambda what, arguments, timeout: what,
    )


@pytest.fixture
def owning() -> Owning:
    return Owning()


def kinds(out: Out) -> list[type]:
    return [type(frame) for frame in out.frames]


def test_a_conversation_greets_answers_and_says_that_the_owner_lives(web: Web, owning: Owning):
    async def test() -> None:
        # given
        web.recorder.succeeded("a", result=1).result(5)
        sessions = Sessions(lambda: (owning, served(web)))
        out = Out()
        one = sessions.open()(out, asyncio.get_running_loop())

        # when
        one.received(protocol.encode(protocol.Tasks(1, ["a"], "latest", {}, 5.0)))
        async with asyncio.timeout(10):
            while len(out.frames) < 2:  # noqa: ASYNC110 - a list that others fill
                await asyncio.sleep(0.005)
        one.beat()

        # then
        assert kinds(out) == [protocol.Hello, protocol.Metas, protocol.Beat]
        assert out.frames[1].call == 1
        one.closed()
        sessions.close()

    asyncio.run(test())


def test_an_owner_in_doubt_is_silent_and_one_that_resigned_says_goodbye(web: Web, owning: Owning):
    async def test() -> None:
        sessions = Sessions(lambda: (owning, served(web)))
        out = Out()
        one = sessions.open()(out, asyncio.get_running_loop())
        owning.lives = False
        one.beat()
        assert kinds(out) == [protocol.Hello]
        owning.resigned = True
        one.beat()
        assert kinds(out) == [protocol.Hello, protocol.Leaving]
        assert out.closed
        one.closed()
        sessions.close()

    asyncio.run(test())


def test_many_conversations_look_at_the_owner_once(web: Web, owning: Owning):
    async def test() -> None:
        found = served(web)
        sessions = Sessions(lambda: (owning, found))
        many = [sessions.open()(Out(), asyncio.get_running_loop()) for _ in range(50)]
        for one in many:
            one.beat()
        assert owning.looks <= 3
        for one in many:
            one.closed()
        sessions.close()

    asyncio.run(test())


def test_without_an_owner_there_is_nothing_to_talk_about():
    sessions = Sessions(lambda: None)
    with pytest.raises(ViewUnavailable):
        sessions.open()
    sessions.close()
