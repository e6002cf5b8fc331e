"""What an owner knows beside the view itself, for this process and for others."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from eventresults.errors import NotOwner, ViewCorrupt, ViewError
from eventresults.service.afresh import verify_checkpoint
from eventresults.service.member import Member
from eventresults.service.owner import Owner
from eventresults.service.places import FolderPlace
from eventresults.service.snapshots import checkpoint_view, checkpoints_in
from eventresults.service.surveys import complete_since, survey_here
from eventresults.view import projected
from eventresults.view.folders import explained

if TYPE_CHECKING:
    from eventresults.service.doorway import Doorway


#: Differences that one answer holds; whoever wants them all asks on the owner's host.
MOST_DIFFERENCES: Final = 1_000

#: A verification folds the whole log beside the live view: one at a time.
_verifying = threading.Lock()


def answer(owner: Owner | Member, what: str, arguments: Mapping[str, Any], timeout: float, *, doorway: Doorway | None = None) -> Any:
    """`stats`: where the view is, which generation, its projections by version, how far a build for these is, and of each partition:
    position, end of the log, lag, bytes, counts, the marks of projections (see `eventresults.view.projected`) and `complete_since`: the
    log time (ms) from which on whatever existed is here with its whole history (the rest may have been swept).

    `survey`: of each partition here, the tasks at a moment: see `survey_here`.

    `yield`: the owner lets the process that asks have the view, see `Owner.yield_to_another`.

    `verify`: the partitions that are here, and where they differ from a fold of the log (four texts each: see `Difference`).

    `checkpoint`: a new folder in `into`, which is one of this host, with a checkpoint of each shard: see `checkpoint_view`.

    `damaged`: a checkpoint cannot be read, `why`; what is on disk is built anew, which the store that has it open need not have noticed.

    Raises `ViewError` for what is not known, and what the log and the stores raise.
    """
    if what == "stats":
        return _stats(owner, timeout, doorway)
    if what == "survey":
        return survey_here(owner, arguments, timeout)
    if what == "yield" and isinstance(owner, Owner):
        return owner.yield_to_another()
    if what == "verify":
        return _verify(owner)
    if what == "checkpoint":
        return _checkpoint(owner, Path(arguments["into"]))
    if what == "damaged":
        owner.view.doubt(ViewCorrupt(arguments["why"], path=owner.place.name, reason="checkpoint"))
        return True
    raise ViewError(f"The owner of the view cannot answer {what!r}: run the same version of eventresults.", reason="unknown question")


def _verify(owner: Owner | Member) -> dict[str, Any]:
    if not _verifying.acquire(blocking=False):
        raise ViewError("This view is being verified for another process already: ask again in a while.", reason="busy")
    try:
        with owner.place.scratch() as folder:
            _checkpoint_healing(owner, folder)
            partitions = list(checkpoints_in(folder))
            found = verify_checkpoint(
                owner.log, folder, owner.place.open_checkpoint, lifetimes=owner.lifetimes, projections=owner.projections
            )
    except ViewCorrupt as error:
        owner.view.doubt(error)  # as a read does that meets damage: it is built anew
        raise
    finally:
        _verifying.release()
    told = [
        (one.subject, one.field, *(side if side is None else str(side) for side in (one.live, one.fresh)))
        for one in found[:MOST_DIFFERENCES]
    ]
    return {"partitions": partitions, "differences": told}


def _checkpoint(owner: Owner | Member, into: Path) -> str:
    folder = into / secrets.token_hex(8)  # a new one each time: an owner that died may have been asked before
    with explained(into):
        folder.mkdir(mode=0o700)
    try:
        _checkpoint_healing(owner, folder)
    except ViewCorrupt as error:
        owner.view.doubt(error)
        raise
    return str(folder)


def _checkpoint_healing(owner: Owner | Member, folder: Path) -> None:
    """`checkpoint_view`; files that are gone, which a store that has them open does without for long, are damage."""
    try:
        checkpoint_view(owner, folder)
    except ViewError as error:
        shards = Path(owner.place.name) / str(owner.generation)
        lost = [p for p in owner.view.partitions if not (shards / str(p) / "CURRENT").exists()]
        if not isinstance(owner.place, FolderPlace) or not lost:
            raise
        raise ViewCorrupt(
            f"Files of the view at {shards} were removed (partitions {lost}): it is built anew; ask again.",
            path=str(shards),
            reason="removed",
        ) from error


def _stats(owner: Owner | Member, timeout: float, doorway: Doorway | None) -> dict[str, Any]:
    heads = owner.heads
    ends = owner.log.ends(list(heads), timeout)
    partitions = []
    for partition, head in heads.items():
        with suppress(NotOwner):  # it has just left this member
            position, size = owner.view.position(partition), owner.view.shard(partition).size()
            end = ends[partition]
            partitions.append(
                {
                    "partition": partition,
                    "position": position,
                    "end": end,
                    "lag": end - position,
                    "bytes": size,
                    "complete_since": complete_since(owner, partition),
                    "projections": projected.begun(owner.projections) if head.fresh else head.projections,
                    **head.counts,
                }
            )
    return {
        "path": owner.place.name,
        "generation": owner.generation,
        "log": owner.log.url,
        "pid": os.getpid(),
        "projections": {one.name: one.version for one in owner.projections},
        "building": owner.view.building,
        "connections": 0 if doorway is None else doorway.connections,
        "watched": 0 if doorway is None else doorway.watched,
        "partitions": partitions,
    }
