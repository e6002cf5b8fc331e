"""Results from their `as_tuple()` form, which is how they travel and how the log keeps them."""

from __future__ import annotations

from typing import Any

from eventresults.client.asyncresult import AsyncResult
from eventresults.client.base import ResultBase
from eventresults.client.groupresult import GroupResult


def result_from_tuple(r: Any, app: Any = None) -> Any:
    """The result, or group of results, that this tuple (or list) stands for; a result is returned as it is.

    `app` is given to all of them (default: the current tracker, at their first use). Raises ValueError for anything else.
    """
    if isinstance(r, ResultBase):
        return r
    try:
        named, nodes = r
    except (TypeError, ValueError):
        raise ValueError(f"{r!r:.200} is no as_tuple() form of a result") from None
    task_id, parent = named if isinstance(named, list | tuple) else (named, None)
    before = result_from_tuple(parent, app) if parent else None
    if nodes is None:
        return AsyncResult(task_id, app=app, parent=before)
    return GroupResult(task_id, [result_from_tuple(node, app) for node in nodes], parent=before, app=app)


def plain(form: Any) -> Any:
    """An `as_tuple()` form as JSON has it: lists and texts."""
    return [plain(part) for part in form] if isinstance(form, list | tuple) else form
