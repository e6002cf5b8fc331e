"""Where the stores of a view are: what is asked of such a place, and the one that is a folder with generations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from eventresults.log.base import LogInfo
from eventresults.service.shards import Opened, OpenStore, open_shards
from eventresults.view.base import Store
from eventresults.view.generation import Generation, ViewFolder


class Build(Protocol):
    """One generation of a view, locked for this process."""

    @property
    def number(self) -> int:
        """Which generation this is."""

    @property
    def open_store(self) -> OpenStore:
        """Opens the store of one partition in it."""

    def shard_path(self, partition: int) -> Path:
        """Where the files of that store are, or will be. Raises `ViewError` when it has none."""

    def begin_beat(self) -> None:
        """Nobody listens here yet, or any more: give signs of life at the place itself. Idempotent."""

    def end_beat(self) -> None:
        """It is heard otherwise from now on. Idempotent."""

    def close(self) -> None:
        """Release it. Idempotent."""


class Draft(Protocol):
    """What is to be a generation, while it is filled."""

    def open_store(self, partition: int) -> Store:
        """Opens the store of one partition in it."""

    def shard_path(self, partition: int) -> Path:
        """Where the files of that store are, or will be. Raises `ViewError` when it has none."""

    def adopt(self, opened: Opened, info: LogInfo) -> tuple[Build, Opened]:
        """The next generation, locked, not yet current, with all that is here; if stores were opened here, they are open there.

        Raises `ViewLocked` when somebody is about to put another in its place, and `ViewError`; `opened` may be closed then.
        """


class Place(Protocol):
    """Somewhere that generations of one view can be."""

    @property
    def name(self) -> str:
        """For people: a path, or what it is."""

    def open(self) -> Build:
        """The current generation (made if there is none), locked. Raises `ViewLocked`, `ViewError`."""

    def next(self) -> Build:
        """A new, empty generation beside the current one, locked. Raises `ViewLocked`, `ViewError`."""

    def succeed(self) -> Build:
        """A new generation, locked, that holds what the death of the current one's owner would leave now; not yet current.

        Raises `ViewLocked` when somebody makes one already; another `ViewError` when none can be had: then take `next()`.
        """

    def draft(self) -> AbstractContextManager[Draft]:
        """Something to fill at leisure, the next generation being anybody's meanwhile. Raises `ViewLocked` while another fills one."""

    def losses(self) -> int:
        """How often the log was found to be another one than what this view was made from, whatever its id says."""

    def note_loss(self) -> None:
        """Once more. By who holds a generation that is to take the place of the one that was made from it."""

    def sign_of_life(self, number: int) -> int | None:
        """Of who holds this generation, see `eventresults.view.beat`; None when there is none to be had."""

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder for checkpoints, where they take no space; removed at the end. Raises `ViewError`."""

    def open_checkpoint(self, path: Path) -> Store:
        """Open what `Store.checkpoint` of a store of this place made; a new store where there is nothing. Raises `ViewError`."""

    def current(self) -> int | None:
        """The number of the generation in use; None when there is none (the view was deleted)."""

    def publish(self, build: Build) -> None:
        """From now on this one is current."""

    def tidy(self) -> bool:
        """Remove the generations that are not current and that nobody holds; whether none below the current one is left."""


class FolderPlace:
    """Generations in a folder, one of them current, each owned by who holds its lock."""

    def __init__(self, path: Path, make_store: Callable[[Path], Store]) -> None:
        self._folder = ViewFolder(path)
        self._make_store = make_store
        self.name = str(path)

    def open(self) -> Build:
        """The current generation, locked."""
        return _FolderBuild(self._folder.open(), self._make_store)

    def next(self) -> Build:
        """A new generation, locked."""
        return _FolderBuild(self._folder.next(), self._make_store)

    def succeed(self) -> Build:
        """A new generation, locked, with a clone of the current one."""
        return _FolderBuild(self._folder.succeed(), self._make_store)

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """A folder beside the generations, held."""
        with self._folder.draft() as path:
            yield _FolderDraft(self._folder, path, self._make_store)

    def losses(self) -> int:
        """A file beside the generations says so, for it outlives them all."""
        return self._folder.losses()

    def note_loss(self) -> None:
        """In that file."""
        self._folder.note_losses(self._folder.losses() + 1)

    def sign_of_life(self, number: int) -> int | None:
        """The time of the generation's lock."""
        return self._folder.sign_of_life(number)

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder beside the generations."""
        return self._folder.scratch()

    def open_checkpoint(self, path: Path) -> Store:
        """A store on disk, as in a generation."""
        return self._make_store(path)

    def current(self) -> int | None:
        """The generation that the folder names."""
        return self._folder.current()

    def publish(self, build: Build) -> None:
        """Move `current` to it."""
        assert isinstance(build, _FolderBuild)
        self._folder.publish(build.generation)

    def tidy(self) -> bool:
        """Remove old generations, and leftovers of builds that were never published and of checkpoints."""
        self._folder.sweep()
        return not self._folder.older()


class _FolderBuild:
    def __init__(self, generation: Generation, make_store: Callable[[Path], Store]) -> None:
        self.generation = generation
        self.number = generation.number
        self._make_store = make_store

    def open_store(self, partition: int) -> Store:
        """The store of one partition in this generation."""
        return self._make_store(self.shard_path(partition))

    def shard_path(self, partition: int) -> Path:
        """The folder of one partition's shard in this generation."""
        return self.generation.shard_path(partition)

    def begin_beat(self) -> None:
        """By the time of its lock."""
        self.generation.beat.begin()

    def end_beat(self) -> None:
        """The lock's time says so."""
        self.generation.beat.end(elsewhere=True)

    def close(self) -> None:
        """Release the lock."""
        self.generation.close()


class _FolderDraft:
    def __init__(self, folder: ViewFolder, path: Path, make_store: Callable[[Path], Store]) -> None:
        self._folder = folder
        self._path = path
        self._make_store = make_store

    def open_store(self, partition: int) -> Store:
        """The store of one partition in this folder."""
        return self._make_store(self.shard_path(partition))

    def shard_path(self, partition: int) -> Path:
        """The folder of one partition's shard."""
        return self._path / str(partition)

    def adopt(self, opened: Opened, info: LogInfo) -> tuple[Build, Opened]:
        """Closed, moved, and opened again: a store knows its path."""
        opened.close()
        build = _FolderBuild(self._folder.adopt(self._path), self._make_store)
        try:
            return build, open_shards(build.open_store, info) if opened.shards else opened
        except BaseException:
            build.close()
            raise
