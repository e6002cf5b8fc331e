"""Following a task with asyncio: no thread waits, the event loop is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from eventresults.client.inbox import Inbox, LoopFeed, LoopInbox
from eventresults.client.joins import assert_will_not_block
from eventresults.client.parents import guards
from eventresults.client.waiting import Deadline, Waiting
from eventresults.domain.events import TaskForgotten
from eventresults.domain.meta import TaskMeta
from eventresults.past import folded
from eventresults.view.base import Fact

if TYPE_CHECKING:
    from eventresults.client.asyncresult import AsyncResult
    from eventresults.client.backend import Backend
    from eventresults.domain.events import TaskEvent, UnknownEvent

T = TypeVar("T")


async def wait_async(result: AsyncResult) -> Any:
    """`result.get()` without holding up the event loop."""
    if result.ignored:
        return None
    assert_will_not_block()
    waiting = Waiting([result], guards(result))
    if waiting.to_ask:
        inbox = LoopInbox(waiting.ids)
        with ExitStack() as attached:
            found = await _attach(attached, waiting.to_ask, inbox, lambda: waiting.look(Deadline(None)))
            for _ in waiting.looked(found, None):
                pass
            while waiting.pending:
                for _ in waiting.told(await inbox.take(), None):
                    pass
    return result.maybe_throw()


async def watch(result: AsyncResult) -> AsyncIterator[TaskEvent | UnknownEvent]:
    """The facts of one task: those that are there, then those that come. Ends once the task is ready or forgotten."""
    backend, task_id = result.backend, result.id
    feed = LoopFeed([task_id])

    def read() -> list[Fact]:
        return backend.reader.history(task_id)

    with ExitStack() as attached:
        # Not by position alone: a log that lost its tail has other facts at the same positions, and those are news.
        told: set[Hashable] = set()
        facts = await _attach(attached, {backend: [task_id]}, feed, read)
        while True:
            for fact in facts:
                if _news(fact, told):
                    yield fact.event
            if facts and _over(facts):
                return
            while feed.size() or not feed.lagged:
                change = await feed.take()
                if not _news(change.fact, told):
                    continue
                yield change.fact.event
                if isinstance(change.fact.event, TaskForgotten) or (isinstance(change.meta, TaskMeta) and change.meta.ready):
                    return
            # More came at once than may wait, but history has it all.
            feed.lagged = False
            facts = await asyncio.to_thread(read)


async def _attach(attached: ExitStack, to_ask: dict[Backend, list[str]], inbox: Inbox, read: Callable[[], T]) -> T:
    """Subscribe first, read second, both off the event loop: the first use of a view opens it."""

    def work() -> T:
        for backend, ids in to_ask.items():
            attached.enter_context(backend.attached(inbox, ids))
        return read()

    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        # The thread goes on: what it subscribes to is to be given up when it is done.
        working.add_done_callback(lambda _: attached.close())
        raise


def _over(facts: Sequence[Fact]) -> bool:
    meta = folded(facts)
    return meta is not None and (meta.ready or meta.phase == "forgotten")


def _news(fact: Fact, told: set[Hashable]) -> bool:
    event = fact.event
    key = fact.position, event.event_id, event.kind, event.time
    if key in told:
        return False
    told.add(key)
    return True
