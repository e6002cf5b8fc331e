"""Is the process alive, and is it ready to be asked: view open, caught up, not far behind, room on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from eventresults.errors import EventResultsError
from eventresults.service.web.vitals import Pulse, Vitals


class Check(NamedTuple):
    """What one check found."""

    ok: bool
    found: str


class Health:
    """Checks readiness. Any thread; may block for some seconds.

    `max_lag` is in records, `min_free` in bytes on the disk of `folder` (None: the view is on none).
    """

    def __init__(self, pulse: Pulse, *, max_lag: int, min_free: int, folder: Path | None) -> None:
        self._pulse = pulse
        self._max_lag = max_lag
        self._min_free = min_free
        self._folder = folder
        #: Where the log ended when readiness was first asked for: to be caught up is to have been there once.
        self._goal: Mapping[int, int] | None = None
        self._caught_up = False

    def ready(self) -> Mapping[str, Check]:
        """Every check by name."""
        try:
            vitals = self._pulse.take()
        except EventResultsError as error:
            return {"view": Check(ok=False, found=str(error)), **self._disk()}
        if vitals is None:
            return {"view": Check(ok=True, found="another process of this host owns it"), **self._disk()}
        return {"view": self._view(vitals), "caught_up": self._catching_up(vitals), "lag": self._lag(vitals), **self._disk()}

    def _view(self, vitals: Vitals) -> Check:
        if vitals.trouble is not None:
            return Check(ok=False, found=f"held up: {vitals.trouble}")
        if not vitals.settled:
            return Check(ok=False, found=f"opening shards: {len(vitals.partitions)} partition(s) are open")
        return Check(ok=True, found=f"generation {vitals.generation}, {len(vitals.partitions)} partition(s)")

    def _catching_up(self, vitals: Vitals) -> Check:
        if not self._caught_up:
            if self._goal is None and vitals.lag is not None:
                self._goal = {partition: one.end for partition, one in vitals.partitions.items() if one.end is not None}
            if self._goal is not None:
                left = sum(max(end - vitals.partitions[p].position, 0) for p, end in self._goal.items() if p in vitals.partitions)
                self._caught_up = left == 0
                if left:
                    return Check(ok=False, found=f"{left:,} records to go")
        return Check(ok=self._caught_up, found="yes" if self._caught_up else "the log cannot be asked")

    def _lag(self, vitals: Vitals) -> Check:
        if vitals.lag is None:
            return Check(ok=False, found="not known: the log cannot be asked")
        return Check(ok=vitals.lag <= self._max_lag, found=f"{vitals.lag:,} records, of {self._max_lag:,} allowed")

    def _disk(self) -> dict[str, Check]:
        if self._folder is None:
            return {}
        folder = self._folder.absolute()
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            return {"disk": Check(ok=False, found=str(error))}
        return {"disk": Check(ok=free >= self._min_free, found=f"{free / 2**20:,.0f} MiB free, of {self._min_free / 2**20:,.0f} needed")}


def make_pool() -> ThreadPoolExecutor:
    """Health has threads of its own: the more is read, the more it matters."""
    return ThreadPoolExecutor(2, thread_name_prefix="eventresults-web-health")
