"""eventresults: the view that `connect` opens, on a log that notes when its first records come. `--client` confluent or kafka-python."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from benchmarks.peers.job import Watch, asked
from benchmarks.peers.sameness import checksum
from eventresults import bootstrap
from eventresults.cli.entry import relax_collector
from eventresults.config import load_settings
from eventresults.log.own import OwnWrites
from eventresults.view.base import ViewReader

PATIENCE_SECONDS = 600.0


class Noted:
    """A log, or a reader of one, whose first records start the watch."""

    def __init__(self, inner: Any, watch: Watch) -> None:
        self._inner = inner
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def reader(self, *args: Any, **kwargs: Any) -> Noted:
        return Noted(self._inner.reader(*args, **kwargs), self._watch)

    def poll(self, timeout: float) -> Mapping[int, Any]:
        polled = self._inner.poll(timeout)
        if polled:
            self._watch.start()
        return polled


def rows(view: ViewReader) -> Iterator[dict[str, Any]]:
    """Every task of the view, as the peers hold it."""
    cursor: str | None = None
    while True:
        page = view.recent(limit=1_000, cursor=cursor, freshness="applied")
        for meta in page.items:
            times = {name: _written(getattr(meta, name)) for name in ("sent_at", "started_at", "date_done")}
            yield {name: getattr(meta, name) for name in ("task_id", "state", "name", "queue", "worker", "result")} | times
        cursor = page.cursor
        if cursor is None:
            return


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"


def main() -> None:
    """Fold the topic."""
    relax_collector()  # as `eventresults serve` does
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", required=True)
    job, options = asked(parser)
    settings = load_settings(
        f"kafka://{job.bootstrap}/{job.topic}", client=options.client, view=str(job.folder), read_timeout=PATIENCE_SECONDS
    )
    watch = Watch()
    log = Noted(bootstrap.make_log(settings), watch)
    place = bootstrap.make_place(settings, bootstrap.make_stores(settings))
    view = bootstrap.make_view(settings, log, OwnWrites(), place, bootstrap.projections(settings))  # type: ignore[arg-type]
    view.recent(limit=1)  # of any task, so that all partitions have to be folded to their ends
    watch.stop()
    watch.answer(job.events, checksum(rows(view)))
    view.close()
    log.close()


if __name__ == "__main__":
    main()
