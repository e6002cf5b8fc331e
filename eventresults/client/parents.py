"""Following results back: the parents they were given, and those that the log tells of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from eventresults.client.base import ResultBase

if TYPE_CHECKING:
    from eventresults.client.asyncresult import AsyncResult
    from eventresults.client.identity import TaskIdentity


def given_ancestors(result: ResultBase) -> Iterator[ResultBase]:
    """The parents that this result, its parent and so on were made with, nearest first; each once."""
    seen = {id(result)}
    node = result.given_parent
    while node is not None and id(node) not in seen:
        seen.add(id(node))
        yield node
        node = node.given_parent


def guards(result: ResultBase) -> list[AsyncResult]:
    """The tasks whose failure means that this one will never run, first of the chain first."""
    return [leaf for ancestor in reversed(list(given_ancestors(result))) for leaf in ancestor.leaves() if leaf.id != _id(result)]


def with_ancestors(results: list[ResultBase]) -> list[AsyncResult]:
    """The tasks of these results and of all the parents given to them, each id once."""
    found: dict[str, AsyncResult] = {}
    to_visit = list(results)
    seen: set[int] = set()
    while to_visit:
        result = to_visit.pop()
        if id(result) in seen:
            continue
        seen.add(id(result))
        for leaf in result.leaves():
            found.setdefault(leaf.id, leaf)
            to_visit.append(leaf)
        if result.given_parent is not None:
            to_visit.append(result.given_parent)
    return list(found.values())


def restored_parent(result: TaskIdentity) -> Any:
    """The task or saved group before this one in its chain, as the log tells; None when it tells of none, or of a descendant."""
    meta = result.task_meta()
    previous = None if meta is None else meta.previous_id
    if previous is None or previous == result.id or _among(previous, result._descendants):  # noqa: SLF001 - our own
        return None
    backend = result.backend
    if backend.reader.get(previous) is None:
        group = backend.restore_group(previous)
        if group is not None:
            return group
    parent = type(result)(previous, app=result.app)
    parent._descendants = (result.id, result._descendants)  # noqa: SLF001
    return parent


def _among(id: str, linked: tuple[str, Any] | None) -> bool:
    while linked is not None:
        if linked[0] == id:
            return True
        linked = linked[1]
    return False


def _id(result: ResultBase) -> str | None:
    return getattr(result, "id", None)
