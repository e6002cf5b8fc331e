"""Waiting for results of Celery's own classes: told by the projector, one subscription a process, whatever number of threads waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from celery import states
from celery.exceptions import TimeoutError as CeleryTimeout

from eventresults.client.result import AsyncResult
from eventresults.client.waiting import arrivals
from eventresults.contrib.celery.promises import Promises
from eventresults.errors import ResultTimeout


class Waiting(Promises):
    """The part of a Celery backend that waits."""

    READY_STATES = states.READY_STATES
    supports_native_join = True

    _cache: Any
    _ensure_not_eager: Callable[[], None]
    get_task_meta: Callable[..., dict[str, Any]]

    @property
    def is_async(self) -> bool:
        """Results are told, not polled for."""
        return True

    def wait_for_pending(
        self,
        result: Any,
        timeout: float | None = None,
        interval: float | None = 0.5,
        no_ack: bool = True,  # noqa: ARG002 - Celery's
        on_message: Callable[[dict[str, Any]], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
        callback: Callable[[str, Any], Any] | None = None,
        propagate: bool = True,
    ) -> Any:
        """Wait for one result; what `AsyncResult.get` calls. Raises Celery's `TimeoutError`, and what a failed parent raised."""
        self._ensure_not_eager()
        if (known := self._cache.get(result.id)) is not None:
            result._maybe_set_cache(known)  # noqa: SLF001 - as Celery's own backends do
            return result.maybe_throw(callback=callback, propagate=propagate)
        mirror = self.mirror(result)
        guards = [self.mirror(node) for node in ancestors(result)] if propagate else []
        ticks = _unwrapped(on_interval)
        for _ in self._arrivals([mirror], guards=guards, timeout=timeout, interval=interval, on_interval=ticks, on_message=on_message):
            pass
        self.fulfil(result, mirror)
        return result.maybe_throw(callback=callback, propagate=propagate)

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float | None = 0.5,
        no_ack: bool = True,  # noqa: ARG002 - Celery's
        on_interval: Callable[[], Any] | None = None,
    ) -> dict[str, Any]:
        """Wait for one task and return its meta. Raises Celery's `TimeoutError`."""
        self._ensure_not_eager()
        mirror = AsyncResult(task_id, backend=self.home)
        for _ in self._arrivals([mirror], timeout=timeout, interval=interval, on_interval=on_interval):
            pass
        return self.meta_of(task_id, mirror.task_meta())

    def iter_native(
        self,
        result: Any,
        timeout: float | None = None,
        interval: float | None = 0.5,
        no_ack: bool = True,  # noqa: ARG002 - Celery's
        on_message: Callable[[dict[str, Any]], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
    ) -> Iterator[tuple[str, Any]]:
        """Yield (id, meta) of each result of a set as it gets ready; (id, its results) of a group within, once all of these are."""
        self._ensure_not_eager()
        nodes = list(result.results)
        waiting: dict[int, set[int]] = {}  # of each node, the leaves that are not ready
        open_leaves: dict[int, tuple[Any, list[int]]] = {}  # the nodes that each belongs to
        for number, node in enumerate(nodes):
            for leaf in leaves(node):
                if leaf._cache is None:  # noqa: SLF001 - Celery's own way to tell
                    waiting.setdefault(number, set()).add(id(leaf))
                    open_leaves.setdefault(id(leaf), (leaf, []))[1].append(number)
        for number, node in enumerate(nodes):
            if number not in waiting:
                yield _told(node)
        mirrors = {id(leaf): (self.mirror(leaf), leaf, numbers) for leaf, numbers in open_leaves.values()}
        by_mirror = {id(mirror): (leaf, numbers) for mirror, leaf, numbers in mirrors.values()}
        for mirror in self._arrivals(
            [mirror for mirror, _, _ in mirrors.values()],
            timeout=timeout,
            interval=interval,
            on_interval=on_interval,
            on_message=on_message,
        ):
            leaf, numbers = by_mirror[id(mirror)]
            self.fulfil(leaf, mirror)
            for number in numbers:
                waiting[number].discard(id(leaf))
                if not waiting[number]:
                    yield _told(nodes[number])

    def get_many(
        self,
        task_ids: Iterable[str],
        timeout: float | None = None,
        interval: float | None = 0.5,
        no_ack: bool = True,  # noqa: ARG002 - Celery's
        on_message: Callable[[dict[str, Any]], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
        max_iterations: int | None = None,
        READY_STATES: frozenset[str] = states.READY_STATES,  # noqa: N803 - Celery's
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (id, meta) of each task as it gets ready; with `max_iterations`, of those that are ready now."""
        ids = list(dict.fromkeys(str(one) for one in task_ids))
        if max_iterations:
            for task_id, meta in self.home.reader.get_many(ids).items():
                if meta is not None and meta.state in READY_STATES:
                    yield task_id, self.meta_of(task_id, meta)
            return
        mirrors = [AsyncResult(task_id, backend=self.home) for task_id in ids]
        for mirror in self._arrivals(mirrors, timeout=timeout, interval=interval, on_interval=on_interval, on_message=on_message):
            yield mirror.id, self.meta_of(mirror.id, mirror.task_meta())

    def look(self, results: Iterable[Any]) -> None:
        """Have each of these results know its end, if its task has ended: one question for all."""
        by_id: dict[str, list[Any]] = {}
        for result in results:
            by_id.setdefault(str(result.id), []).append(result)
        for task_id, meta in self.home.reader.get_many(list(by_id)).items():
            if meta is not None and meta.ready:
                for result in by_id[task_id]:
                    result._maybe_set_cache(self.meta_of(task_id, meta))  # noqa: SLF001 - as Celery's own backends do

    def _arrivals(
        self, mirrors: list[AsyncResult], *, on_message: Callable[[dict[str, Any]], Any] | None = None, **arguments: Any
    ) -> Iterator[AsyncResult]:
        try:
            yield from arrivals(mirrors, on_message=_of_stored(on_message), **arguments)
        except ResultTimeout as error:
            raise CeleryTimeout(str(error)) from None


def ancestors(result: Any) -> Iterator[Any]:
    """The parents that are single tasks; as many as there are, once each."""
    seen: set[int] = set()
    node = result.parent
    while node is not None and id(node) not in seen:
        seen.add(id(node))
        yield from leaves(node)
        node = node.parent


def _of_stored(on_message: Callable[[dict[str, Any]], Any] | None) -> Callable[[dict[str, Any]], Any] | None:
    """Celery's messages are what was stored: that a task was sent or received is none."""
    if on_message is None:
        return None

    def told(meta: dict[str, Any]) -> None:
        if meta["status"] != states.PENDING:
            on_message(meta)

    return told


def _unwrapped(on_interval: Any) -> Any:
    """What `get` was given: it hangs that on a promise, which would call it once. Parents, whom the promise asks, are watched here."""
    if not hasattr(on_interval, "_svpending"):
        return on_interval
    return getattr(on_interval._svpending, "fun", None)  # noqa: SLF001 - there is no other way to it


def leaves(node: Any) -> Iterator[Any]:
    """The single tasks of a result, or of a set of them."""
    if hasattr(node, "_cache"):
        yield node
    else:
        for one in node.results:
            yield from leaves(one)


def _told(node: Any) -> tuple[str, Any]:
    return (node.id, node._cache) if hasattr(node, "_cache") else (node.id, node.children)  # noqa: SLF001
