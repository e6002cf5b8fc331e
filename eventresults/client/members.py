"""Asking for many results at once: one read, or one wait, for all tasks in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from eventresults.client.parents import guards
from eventresults.client.waiting import OnInterval, OnMessage, arrivals
from eventresults.errors import ViewStale

if TYPE_CHECKING:
    from eventresults.client.asyncresult import AsyncResult
    from eventresults.client.backend import Backend
    from eventresults.client.base import ResultBase


def refresh(leaves: Iterable[AsyncResult], timeout: float | None = None) -> None:
    """Let each task that is ready by now be known so to its result.

    With a `timeout` (seconds) an answer that is not to be had in time is done without; else `ViewStale` is raised.
    """
    asked: dict[Backend, list[AsyncResult]] = {}
    for leaf in leaves:
        if not leaf.is_settled and not leaf.ignored:
            asked.setdefault(leaf.backend, []).append(leaf)
    for backend, results in asked.items():
        try:
            known = backend.reader.get_many([result.id for result in results], timeout=timeout or None)
        except ViewStale:
            if timeout is None:
                raise
            return
        for result in results:
            meta = known[result.id]
            if meta is not None and meta.ready:
                result.learn(meta)


def iter_native(
    members: Sequence[ResultBase],
    *,
    timeout: float | None,
    interval: float | None,
    on_interval: OnInterval | None,
    on_message: OnMessage | None,
    follow_parents: bool = False,
) -> Iterator[int]:
    """Yield the index of each member once all its tasks are ready, in order of arrival. `ignored` tasks are not waited for."""
    awaited: dict[int, AsyncResult] = {}
    members_of: dict[int, list[int]] = {}
    left: list[int] = []
    for index, member in enumerate(members):
        leaves = {id(leaf): leaf for leaf in member.leaves() if not leaf.ignored}
        awaited |= leaves
        left.append(len(leaves))
        for key in leaves:
            members_of.setdefault(key, []).append(index)
    yield from (index for index, count in enumerate(left) if not count)
    leaves_in_order = list(awaited.values())
    failing = {guard.id: guard for leaf in leaves_in_order for guard in guards(leaf)} if follow_parents else {}
    arriving = arrivals(
        leaves_in_order,
        guards=list(failing.values()),
        timeout=timeout,
        interval=interval,
        on_interval=on_interval,
        on_message=on_message,
    )
    for leaf in arriving:
        for index in members_of[id(leaf)]:
            left[index] -= 1
            if not left[index]:
                yield index


def value_of(member: Any, *, propagate: bool) -> Any:
    """The value of a member that is ready; of a set, the list of its members'."""
    if hasattr(member, "results"):
        return [value_of(one, propagate=propagate) for one in member.results]
    return None if member.ignored else member.maybe_throw(propagate=propagate)
