from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime

import pytest

from eventresults.client import inbox
from eventresults.client.asyncresult import AsyncResult
from eventresults.client.eager import EagerResult
from eventresults.domain.events import TaskForgotten, TaskUpdated
from eventresults.errors import Closed, WouldBlock


def result_of(backend, task_id="t"):
    return AsyncResult(task_id, backend=backend)


async def kinds(result):
    return [event.kind async for event in result.watch()]


async def until(true):
    while not true():  # noqa: ASYNC110 - what it waits for knows no event loop; `run` bounds it
        await asyncio.sleep(0.001)


def run(awaitable):
    async def bounded():
        async with asyncio.timeout(10):
            return await awaitable

    return asyncio.run(bounded())


def test_awaiting_gives_the_value_without_holding_up_the_loop(backend, facts):
    async def both():
        ticks = 0
        waiting = asyncio.ensure_future(one())
        while not waiting.done():
            await asyncio.sleep(0.005)
            ticks += 1
            if ticks == 5:
                facts.succeeded("t", result=42)
        return ticks, await waiting

    async def one():
        return await result_of(backend)

    ticks, value = run(both())

    assert value == 42
    assert ticks >= 5


def test_awaiting_what_is_done_and_what_failed(backend, facts):
    facts.succeeded("t", result=1)
    facts.failed("f", error={"type": "ValueError", "module": "builtins", "message": "x", "args": ["x"]})

    async def await_both():
        assert await result_of(backend) == 1
        known = result_of(backend)
        assert known.ready()
        assert await known == 1
        await result_of(backend, "f")

    with pytest.raises(ValueError, match="x"):
        run(await_both())


def test_many_awaits_take_no_thread_each(backend, facts, view):
    async def gather():
        waiting = [asyncio.ensure_future(wait(n)) for n in range(200)]
        await until(lambda: view.subscriptions == 200)
        threads = threading.active_count()
        for n in range(200):
            facts.succeeded(f"t{n}", result=n)
        return threads, await asyncio.gather(*waiting)

    async def wait(n):
        return await result_of(backend, f"t{n}")

    threads, values = run(gather())

    assert values == list(range(200))
    assert threads < 50
    assert view.subscriptions == 0


def test_a_cancelled_await_leaves_no_subscription(backend, view):
    async def cancel():
        for _ in range(20):
            waiting = asyncio.ensure_future(kinds(result_of(backend)))
            awaiting = asyncio.ensure_future(wait())
            await asyncio.sleep(0)
            waiting.cancel()
            awaiting.cancel()
            await asyncio.gather(waiting, awaiting, return_exceptions=True)
        await until(lambda: not view.subscriptions)

    async def wait():
        return await result_of(backend)

    run(cancel())

    assert view.subscriptions == 0
    assert not backend._inboxes


def test_awaiting_raises_closed_when_the_tracker_closes(backend, view):
    async def close():
        waiting = asyncio.ensure_future(wait())
        watching = asyncio.ensure_future(kinds(result_of(backend)))
        await until(lambda: view.subscriptions == 2)
        await asyncio.to_thread(backend.close)
        return await asyncio.gather(waiting, watching, return_exceptions=True)

    async def wait():
        return await result_of(backend)

    assert [type(outcome) for outcome in run(close())] == [Closed, Closed]


def test_awaiting_follows_given_parents(backend, facts):
    async def wait():
        facts.failed("p", error={"type": "ValueError", "module": "builtins", "message": "root", "args": ["root"]})
        return await AsyncResult("t", backend=backend, parent=result_of(backend, "p"))

    with pytest.raises(ValueError, match="root"):
        run(wait())


def test_awaiting_inside_a_task_is_refused(backend):
    from eventresults.client.joins import denied_join_result

    async def wait():
        with denied_join_result():
            await result_of(backend)

    with pytest.raises(WouldBlock):
        run(wait())


def test_a_watch_begins_with_the_history_and_ends_after_the_end(backend, facts, view):
    facts.sent("t")

    async def watch():
        seen = []
        async for event in result_of(backend).watch():
            seen.append(event.kind)
            if len(seen) == 1:
                facts.started("t")
                facts.succeeded("t")
        return seen

    assert run(watch()) == ["task-sent", "task-started", "task-succeeded"]
    assert view.subscriptions == 0


def test_a_watch_of_what_is_done_is_its_history(backend, facts):
    facts.sent("t")
    facts.succeeded("t")
    facts.started("t")

    assert run(kinds(result_of(backend))) == ["task-sent", "task-succeeded", "task-started"]


def test_a_watch_ends_when_the_task_is_forgotten(backend, facts, view):
    facts.sent("t")

    async def watch():
        seen = []
        async for event in result_of(backend).watch():
            seen.append(event.kind)
            if len(seen) == 1:
                view.tell(TaskForgotten(task_id="t", time=datetime.now(UTC)))
        return seen

    assert run(watch()) == ["task-sent", "task-forgotten"]
    assert run(kinds(result_of(backend))) == ["task-sent", "task-forgotten"]


def test_a_watch_that_lags_loses_nothing(backend, facts, view, monkeypatch):
    monkeypatch.setattr(inbox, "LIMIT", 5)
    facts.sent("t")

    async def watch():
        seen = []
        async for event in result_of(backend).watch():
            seen.append(getattr(event, "meta", event.kind))
            if len(seen) == 1:
                for n in range(50):
                    view.tell(TaskUpdated(task_id="t", time=datetime.now(UTC), state="PROGRESS", meta=n))
                facts.succeeded("t")
        return seen

    assert run(watch()) == ["task-sent", *range(50), "task-succeeded"]


def test_a_watch_goes_on_with_a_log_that_lost_its_tail_and_grew_anew(backend, facts, view):
    facts.sent("t")
    facts.started("t")

    async def watch():
        seen = []
        async for event in result_of(backend).watch():
            seen.append(event.kind)
            if len(seen) == 2:
                view.lose_from(1)
                facts.succeeded("t")
        return seen

    # then: what it was told is not told again, and what has its place is
    assert run(watch()) == ["task-sent", "task-started", "task-succeeded"]


def test_a_local_result_can_be_awaited_and_watched():
    async def use():
        assert await EagerResult("e", 1, "SUCCESS") == 1
        return await kinds(EagerResult("e", 1, "SUCCESS"))

    assert run(use()) == []
