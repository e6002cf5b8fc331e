"""Snapshots of a view: taken while it moves, kept elsewhere, and put in its place when the log is far to go.

A snapshot is a checkpoint of every shard with a manifest beside it. It appears under its name by a rename, whole or not at all.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any, Final, Protocol

from eventresults.errors import Closed, ViewCorrupt, ViewError
from eventresults.log.base import Log
from eventresults.service.manifest import (
    MANIFEST,
    Manifest,
    SnapshotShard,
    read_manifest,
    restore_files,
    shard_of,
    take_files,
    write_manifest,
)
from eventresults.service.opening import see_off
from eventresults.service.places import Place
from eventresults.service.shards import Opened, why_outdated
from eventresults.view.base import Store
from eventresults.view.folders import explained, fsync_folder, held_folder, sweep_folders
from eventresults.view.live import LiveView
from eventresults.view.shard import SCHEMA, Head, Shard

logger = logging.getLogger(__name__)

#: What is being written has this name, and goes with the next snapshot when its writer was killed.
UNFINISHED: Final = ".unfinished-"
NAMES: Final = re.compile(r"snapshot-\d{8}T\d{12}Z-[0-9a-f]{8}")
CHOOSE: Final = "with --to"
AT_ONCE: Final = 8


class Holder(Protocol):
    """Who holds the shards: an `Owner`, or a `Member` of a group."""

    @property
    def log(self) -> Log:
        """What they are made from."""

    @property
    def place(self) -> Place:
        """Where they are."""

    @property
    def view(self) -> LiveView:
        """The shards."""

    @property
    def still(self) -> AbstractContextManager[Any]:
        """Held while shards come and go."""

    @property
    def resigned(self) -> bool:
        """Whether they are somebody else's now."""


def checkpoint_view(owner: Holder, into: Path) -> None:
    """Make `<into>/<partition>` a checkpoint of each shard, with its own position. Readers and the projector go on meanwhile.

    `into` is an empty folder, best one of `owner.place.scratch()`. Raises `ViewError`, and `Closed` when the owner is closed meanwhile.
    """
    while True:
        shards = dict(owner.view.shards)
        try:
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="eventresults-checkpoint") as pool:
                list(pool.map(lambda shard: shard.checkpoint(into / str(shard.partition)), shards.values()))
        except Closed:
            with owner.still:  # whoever puts another generation in place holds it until that is done
                replaced = owner.view.shards != shards
            if not replaced or owner.resigned:
                raise
            for partition in shards:
                shutil.rmtree(into / str(partition), ignore_errors=True)
        else:
            return


def checkpoints_in(folder: Path) -> dict[int, Path]:
    """The checkpoints that `checkpoint_view` made there, by partition."""
    with explained(folder):
        return {int(name): folder / name for name in sorted((e.name for e in folder.iterdir() if e.name.isdecimal()), key=int)}


def snapshot(owner: Holder, to: Path, *, keep: int | None = None) -> Path:
    """Take a snapshot of the live view into a new folder in `to`; that folder. See `pack_snapshot`."""
    with owner.place.scratch() as folder:
        checkpoint_view(owner, folder)
        return pack_snapshot(folder, to, open_checkpoint=owner.place.open_checkpoint, log_url=owner.log.url, keep=keep)


def pack_snapshot(folder: Path, to: Path, *, open_checkpoint: Callable[[Path], Store], log_url: str, keep: int | None = None) -> Path:
    """Make a snapshot, a new folder in `to`, of the checkpoints in `folder`, which are opened once to see that they can be.

    On the file system of the view it takes little space, for it shares files with it; elsewhere it is a full copy. With `keep`, older
    snapshots in `to` go once that many later ones hold their shards. Raises `ViewError`; nothing is left then.
    """
    sweep_folders(to, prefix=UNFINISHED)
    with held_folder(to, prefix=UNFINISHED, choose=CHOOSE) as place, explained(to, choose=CHOOSE):
        whole = place / "snapshot"
        whole.mkdir(mode=0o700)
        heads: dict[int, Head] = {}
        shards: dict[int, SnapshotShard] = {}
        for partition, path in checkpoints_in(folder).items():
            into = whole / str(partition)
            into.mkdir(mode=0o700)
            # Before it is opened, for to open it is to begin to rearrange it: as it is, it shares all tables with the view.
            take_files(path, sorted(entry.name for entry in path.iterdir() if entry.is_file()), into)
            with closing(Shard(open_checkpoint(path), partition)) as shard:
                head = shard.head()
            if head is None:  # there is nothing in it yet
                shutil.rmtree(into)
            else:
                heads[partition] = head
                shards[partition] = shard_of(into, head)
        if not shards:
            message = "The view holds nothing yet that a snapshot could be taken of: wait until something of its log was folded."
            raise ViewError(message, path=str(to), reason="empty")
        one = next(iter(heads.values()))
        manifest = Manifest(log=log_url, log_id=one.log_id, partitions=one.partitions, shards=shards)
        write_manifest(whole, manifest)
        name = to / f"snapshot-{manifest.created_at:%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(4)}"
        whole.rename(name)
        fsync_folder(to)
    if keep is not None:
        _forget_older(to, keep)
    return name


def restore(log: Log, place: Place, source: Path, *, timeout: float = 10.0) -> int:
    """Put the snapshot in `source` (or the latest of those in it) in place of the view; the number of the new generation.

    Of snapshots that hold some shards each, the latest of every shard is taken; a shard that none holds comes from the log. Whoever owns
    the view meanwhile sees the new generation and resigns; this waits for that, so that nobody who asks afterwards is answered from the
    old one (unless its owner is stopped). Raises `ViewCorrupt` for a snapshot that is damaged, `ViewError` for one of
    another log or version, or that the log has left behind, `ViewLocked` while another generation is being built; the view is then as it
    was.
    """
    info = log.info(timeout)
    chosen: dict[int, tuple[Path, Manifest]] = {}
    refused: list[str] = []
    for folder, manifest in _snapshots(source):
        why = _why_not(manifest, info.log_id)
        if why is not None:
            refused.append(f"{folder.name} {why}")
            continue
        for partition in manifest.shards:
            if partition < info.partitions:
                chosen.setdefault(partition, (folder, manifest))
    if not chosen:
        reason = refused[0] if refused else "there is none"
        raise ViewError(f"No snapshot of {log.url} is to be had in {source}: {reason}.", path=str(source), reason=reason)
    heads = {partition: manifest.head(partition) for partition, (_, manifest) in sorted(chosen.items())}
    outdated = why_outdated(heads, log, info, timeout=timeout)
    if outdated is not None:
        raise ViewError(f"The snapshot in {source} is of no use any more: {outdated.why}.", path=str(source), reason=outdated.why)
    with place.draft() as draft:
        with ThreadPoolExecutor(min(AT_ONCE, len(chosen)), thread_name_prefix="eventresults-restore") as pool:

            def fill(partition: int) -> None:
                folder, manifest = chosen[partition]
                _fill(folder / str(partition), manifest.shards[partition], draft.shard_path(partition))

            list(pool.map(fill, chosen))
        build, _ = draft.adopt(Opened({}, {}), info)
        with closing(build):
            place.publish(build)
    see_off(place)
    return build.number


def restore_shard(source: Path, partition: int, into: Path, *, log_id: str) -> bool:
    """Make the new folder `into` the shard of one partition, from the latest snapshot in `source` that holds it, whole or not at all.

    False when there is none of this log and version: the log has it all. Raises `ViewCorrupt` for one that is damaged, and `ViewError`.
    Whether the log still goes on from there is to be judged when the shard is opened.
    """
    if not source.is_dir():
        return False
    for folder, manifest in _snapshots(source):
        if partition in manifest.shards and _why_not(manifest, log_id) is None:
            _fill(folder / str(partition), manifest.shards[partition], into)
            return True
    return False


def _snapshots(source: Path) -> Iterator[tuple[Path, Manifest]]:
    """The snapshot at `source`, or those in it, latest first."""
    if (source / MANIFEST).exists():
        yield source, read_manifest(source)
        return
    for folder in _folders(source):
        yield folder, read_manifest(folder)


def _folders(source: Path) -> list[Path]:
    with explained(source, choose="with --from"):
        return sorted((entry for entry in source.iterdir() if NAMES.fullmatch(entry.name)), reverse=True)


def _why_not(manifest: Manifest, log_id: str) -> str | None:
    if manifest.log_id != log_id:
        return f"is of another log ({manifest.log}, {manifest.log_id}; this one is {log_id})"
    for shard in manifest.shards.values():
        if shard.schema != SCHEMA:
            return f"was taken by another version (schema {shard.schema}, this one reads {SCHEMA})"
    return None


def _fill(source: Path, shard: SnapshotShard, into: Path) -> None:
    half = into.with_name(f"{into.name}.half")
    with explained(into):
        shutil.rmtree(half, ignore_errors=True)
        into.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            restore_files(source, shard, half)
            half.rename(into)
        except BaseException:
            shutil.rmtree(half, ignore_errors=True)
            raise


def _forget_older(to: Path, keep: int) -> None:
    held: dict[int, int] = {}
    for folder in _folders(to):
        partitions = _partitions(folder)
        if partitions and all(held.get(partition, 0) >= keep for partition in partitions):
            doomed = folder.with_name(f"{UNFINISHED}{folder.name}")
            with explained(to, choose=CHOOSE):
                folder.rename(doomed)  # out of sight first: half of it must never be taken for a snapshot
                shutil.rmtree(doomed)
        for partition in partitions:
            held[partition] = held.get(partition, 0) + 1


def _partitions(folder: Path) -> Mapping[int, SnapshotShard]:
    try:
        return read_manifest(folder).shards
    except ViewCorrupt as error:
        logger.warning("%s is left where it is: %s", folder, error)
        return {}
