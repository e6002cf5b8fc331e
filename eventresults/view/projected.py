"""The rows of projections: a state per key in each shard, merged when it is read.

A head marks the projections that were folded up to its offset. One that its shard's head does not mark, or with another version, was not
folded all the way: nothing is read of it until it was built anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import groupby, islice, takewhile
from operator import itemgetter
from typing import Any

from eventresults.codec import plain
from eventresults.domain.position import Position
from eventresults.domain.projection import Projection
from eventresults.errors import ProjectionFailed, ProjectionUnknown
from eventresults.view import keys
from eventresults.view.base import ProjectedPage, Wanted
from eventresults.view.shard import Head, Shard

#: {"version": int}, and "failed": {"offset": int, "reason": str} once it failed.
Mark = dict[str, Any]


def look(wanted: Wanted, projections: Sequence[Projection], shards: Mapping[int, Shard]) -> ProjectedPage | None:
    """What these shards, of which all run `projections`, hold; None while it is not folded in all of them up to where they are.

    Raises `ProjectionUnknown`, `ProjectionFailed`, and ValueError for a limit below 1.
    """
    projection = _named(projections, wanted)
    if not _is_whole(shards, projection):
        return None
    if wanted.keys is None:
        return _page(shards.values(), projection, wanted)
    return ProjectedPage(sorted(_states(shards.values(), projection, wanted.keys).items()), None)


def merged(projection: Projection | None, wanted: Wanted, pages: Sequence[ProjectedPage]) -> ProjectedPage:
    """One page of several processes' pages, each asked for the same. `projection`: None where this process does not have it."""
    # Beyond where one stopped early, the others may not go on.
    reached = min((one.after for one in pages if one.after is not None), default=None)
    rows = heapq.merge(*(one.items for one in pages), key=itemgetter(0))
    whole = ((key, [state for _, state in group]) for key, group in groupby(rows, itemgetter(0)))
    if wanted.keys is None:
        found = list(islice(takewhile(lambda one: reached is None or one[0] <= reached, whole), wanted.limit + 1))
        more = reached is not None or len(found) > wanted.limit
        found = found[: wanted.limit]
    else:
        found, more = list(whole), False
    items = [(key, _merged_here(projection, wanted.name, partials)) for key, partials in found]
    return ProjectedPage(items, items[-1][0] if more and items else None)


def begun(projections: Iterable[Projection]) -> dict[str, Mark]:
    """The marks of projections that begin with the shard."""
    return {one.name: {"version": one.version} for one in projections}


def behind(head: Head, projections: Iterable[Projection]) -> list[str]:
    """Which of these were not folded all the way up to this head, or by another version: they must be built anew."""
    if head.fresh:
        return []
    return [one.name for one in projections if head.projections.get(one.name, {}).get("version") != one.version]


def _named(projections: Sequence[Projection], wanted: Wanted) -> Projection:
    name = wanted.name
    found = next((one for one in projections if one.name == name), None)
    if found is None:
        known = ", ".join(sorted(one.name for one in projections)) or "none"
        raise ProjectionUnknown(
            f"Who holds the view runs no projection {name!r} (it runs: {known}): register it there, by entry point or by the setting "
            "`projections`, so that every process that may own the view has it.",
            name=name,
            known=known,
        )
    if wanted.version not in (None, found.version):
        raise ProjectionUnknown(
            f"Who holds the view runs version {found.version} of the projection {name!r}, and this process has version {wanted.version}: "
            "run the same one in both.",
            name=name,
            known=name,
        )
    return found


def _is_whole(shards: Mapping[int, Shard], projection: Projection) -> bool:
    """Whether it was folded in all of these up to where they are. Raises `ProjectionFailed` when it failed in one."""
    for partition, shard in shards.items():
        head = shard.head()
        if head is None or head.fresh:
            continue
        mark = head.projections.get(projection.name, {})
        if mark.get("version") != projection.version:
            return False
        if "failed" in mark:
            raise _failed(projection.name, mark, partition)
    return True


def _failed(name: str, mark: Mark, partition: int) -> ProjectionFailed:
    """The error for a projection that is marked so."""
    at, reason = Position(partition, mark["failed"]["offset"]), mark["failed"]["reason"]
    return ProjectionFailed(
        f"The projection {name!r} (version {mark['version']}) failed at {at}: {reason}. Mend it and raise its version, "
        "or run `eventresults view rebuild`.",
        name=name,
        position=str(at),
        reason=reason,
    )


def _states(shards: Iterable[Shard], projection: Projection, wanted: Iterable[str]) -> dict[str, Any]:
    """The states of these keys, those that have one."""
    found: dict[str, Any] = {}
    rows = {key: keys.projected(projection.name, key) for key in wanted}
    for shard in shards:
        for key, raw in zip(rows, shard.get_many(list(rows.values())), strict=True):
            if raw is not None:
                state = plain.unpack(raw)
                found[key] = _merge(projection, [found[key], state]) if key in found else state
    return found


def _page(shards: Iterable[Shard], projection: Projection, wanted: Wanted) -> ProjectedPage:
    if wanted.limit < 1:
        raise ValueError(f"limit={wanted.limit}: a page has at least one key")
    start = keys.projected(projection.name, wanted.prefix)
    stop = keys.after(start)
    if wanted.after is not None:
        start = max(start, keys.projected(projection.name, wanted.after) + b"\x00")
    rows = heapq.merge(*(shard.scan(start, stop) for shard in shards), key=itemgetter(0))
    whole = islice(groupby(rows, itemgetter(0)), wanted.limit + 1)
    found = [(keys.projected_key(row), _merge(projection, [plain.unpack(raw) for _, raw in group])) for row, group in whole]
    return ProjectedPage(found[: wanted.limit], found[wanted.limit - 1][0] if len(found) > wanted.limit else None)


def _merged_here(projection: Projection | None, name: str, partials: Sequence[Any]) -> Any:
    """What partials from several processes add up to. Raises `ProjectionUnknown` where nobody here can say."""
    if len(partials) == 1:
        return partials[0]
    if projection is None:
        raise ProjectionUnknown(
            f"Several processes hold parts of the projection {name!r}, and this one does not know it: register it here, too, by "
            "connect(projections=[…]), entry point or setting.",
            name=name,
            known="",
        )
    return _merge(projection, partials)


def _merge(projection: Projection, partials: Sequence[Any]) -> Any:
    """What these add up to. Raises `ProjectionFailed` when `merge` does."""
    try:
        return reduce(projection.merge, partials)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:500]
        raise ProjectionFailed(
            f"The projection {projection.name!r} cannot merge two states: {reason}. Mend its merge().",
            name=projection.name,
            position=None,
            reason=reason,
        ) from error
