"""Opening a generation of the view, and beginning another when it is no longer right."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import monotonic, sleep
from typing import Final

from eventresults.errors import EventResultsError, ViewCorrupt, ViewError, ViewLocked
from eventresults.log.base import Log, LogInfo
from eventresults.service.places import Build, Place
from eventresults.service.shards import Opened, Outdated, open_shards, why_outdated
from eventresults.view.shard import Shard

logger = logging.getLogger(__name__)

#: How long the owner of an older generation is given to let go of it.
NOTICE_SECONDS: Final = 3.0
LOOK_SECONDS: Final = 0.01


def open_or_judge(build: Build, log: Log, info: LogInfo, timeout: float) -> Opened | Outdated:
    """The shards of this generation, or why they cannot be used."""
    try:
        opened = open_shards(build.open_store, info)
    except ViewCorrupt as error:
        return _damaged(error)
    try:
        outdated = why_outdated(opened.heads, log, info, timeout=timeout)
    except BaseException:
        opened.close()
        raise
    if outdated is None:
        return opened
    opened.close()
    return outdated


def take(log: Log, place: Place, timeout: float) -> tuple[Build, Opened]:
    """The current generation, locked and open, or another in its place when it is no longer right. See `Owner.open`."""
    build = place.open()
    build.begin_beat()
    try:
        # Not before the lock was had: the owner before may have folded further than a log that was asked earlier.
        info = log.info(timeout)
        found = open_or_judge(build, log, info, timeout)
        current = place.current()
        if current is not None and current != build.number:
            if not isinstance(found, Outdated):
                found.close()
            raise ViewLocked(  # noqa: TRY301 - what is held is released below
                f"Another process took the view at {place.name} while this one opened it: ask that one.", path=place.name, pid=None
            )
        if not isinstance(found, Outdated):
            return build, found
        fresh, opened = begin_anew(log, place, info, found)
        _publish(place, fresh, opened)
    except BaseException:
        build.close()
        raise
    build.close()
    return fresh, opened


def take_over(log: Log, place: Place, timeout: float) -> tuple[Build, Opened]:
    """The next generation, locked and open: a clone of the current one, whose owner is there but silent; if need be, an empty one."""
    found: Opened | Outdated
    try:
        build = place.succeed()
    except ViewLocked:
        raise
    except ViewError as error:
        info = log.info(timeout)
        found = Outdated(f"its owner is silent, and no clone of it could be had ({error})", same_log=True)
    else:
        build.begin_beat()
        try:
            info = log.info(timeout)
            found = open_or_judge(build, log, info, timeout)
            if not isinstance(found, Outdated):
                _publish(place, build, found)
                return build, found
        except BaseException:
            build.close()
            raise
        build.close()
    build, opened = begin_anew(log, place, info, found)
    _publish(place, build, opened)
    return build, opened


def _publish(place: Place, build: Build, opened: Opened) -> None:
    try:
        place.publish(build)
    except BaseException:
        opened.close()
        build.close()
        raise


def begin_anew(log: Log, place: Place, info: LogInfo, outdated: Outdated) -> tuple[Build, Opened]:
    """An empty generation at the start of the log."""
    logger.warning("the view at %s is built anew from the start of %s: %s", place.name, log.url, outdated.why)
    build = place.next()
    build.begin_beat()
    try:
        if not outdated.same_log:
            place.note_loss()
        return build, open_shards(build.open_store, info)
    except BaseException:
        build.close()
        raise


def why_damaged(current: int | None, *errors: EventResultsError | None) -> Outdated | None:
    """Why a view must be built anew, by its current generation (None: there is none) and by what was raised of late."""
    if current is None:
        return Outdated("its folder was deleted", same_log=True)
    for error in errors:
        if isinstance(error, ViewCorrupt):
            return _damaged(error)
    return None


def _damaged(error: ViewCorrupt) -> Outdated:
    return Outdated(f"it is damaged ({error.facts.get('reason', error)})", same_log=True)


def close_all(shards: Mapping[int, Shard]) -> None:
    """Close these, whatever one of them says to it."""
    for shard in shards.values():
        try:
            shard.close()
        except ViewError as error:
            logger.warning("a shard of the view could not be closed: %s", error)


def see_off(place: Place) -> bool:
    """Wait until nobody holds an older generation, and so answers from it; False when that takes over `NOTICE_SECONDS`.

    An owner that is not stopped sees the current one with its next heartbeat.
    """
    deadline = monotonic() + NOTICE_SECONDS
    while not place.tidy():
        if monotonic() > deadline:
            logger.warning("who owned the view at %s before does not let go of it: it may be stopped", place.name)
            return False
        sleep(LOOK_SECONDS)
    return True


def tidy(place: Place) -> None:
    """Remove old generations; one that cannot be removed harms nobody."""
    try:
        place.tidy()
    except ViewError as error:
        logger.warning("old generations of the view at %s could not be removed: %s", place.name, error)
