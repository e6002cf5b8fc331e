"""The states of a projection, as a caller reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from eventresults.view.base import Freshness, ProjectedPage, ViewReader, Wanted

#: Keys asked for at once.
PAGE: Final = 1_000


class ProjectionReader:
    """The states of one projection by key, merged over all partitions, as new as the log was when the reading began. Any thread.

    Every read raises `ProjectionUnknown` when it is not run where the view is held, `ProjectionFailed` when its code failed, and
    `ViewStale` when no answer that new could be had in time: also while it is built from the log, being new or of another version.
    """

    def __init__(self, reader: ViewReader, name: str, *, version: int | None = None) -> None:
        self._reader = reader
        self.name = name
        self.version = version

    def __repr__(self) -> str:
        return f"<ProjectionReader: {self.name}>"

    def get(self, key: str, default: Any = None, *, freshness: Freshness = "default", timeout: float | None = None) -> Any:
        """The state of this key; `default` where it has none."""
        return self.get_many([key], freshness=freshness, timeout=timeout).get(key, default)

    def get_many(self, keys: Iterable[str], *, freshness: Freshness = "default", timeout: float | None = None) -> dict[str, Any]:
        """The states of these keys, those that have one."""
        wanted = Wanted(self.name, self.version, keys=list(dict.fromkeys(keys)))
        return dict(self._reader.projected(wanted, freshness=freshness, timeout=timeout).items)

    def page(
        self,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int = PAGE,
        freshness: Freshness = "default",
        timeout: float | None = None,
    ) -> ProjectedPage:
        """At most `limit` keys that begin with `prefix` and follow `after`, in order, with their states."""
        wanted = Wanted(self.name, self.version, prefix=prefix, after=after, limit=limit)
        return self._reader.projected(wanted, freshness=freshness, timeout=timeout)

    def items(self, prefix: str = "", *, freshness: Freshness = "default", timeout: float | None = None) -> Iterator[tuple[str, Any]]:
        """All keys that begin with `prefix`, in order, with their states; what changes meanwhile may be met or not."""
        page = self.page(prefix=prefix, freshness=freshness, timeout=timeout)
        yield from page.items
        while page.after is not None:
            page = self.page(prefix=prefix, after=page.after, freshness="applied", timeout=timeout)
            yield from page.items
