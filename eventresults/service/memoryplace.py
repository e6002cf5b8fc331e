"""Where the stores of a view are that lives in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eventresults.errors import ViewError
from eventresults.log.base import LogInfo
from eventresults.service.places import Build, Draft
from eventresults.service.shards import Opened, OpenStore
from eventresults.view.base import Store
from eventresults.view.memory import MemoryStore


class MemoryPlace:
    """Generations that live as long as the process."""

    name = "memory"

    def __init__(self, make_store: Callable[[], Store]) -> None:
        self._make_store = make_store
        self._made = 0
        self._current: int | None = None
        self._losses = 0

    def open(self) -> Build:
        """A first generation: what an earlier one held is gone."""
        build = self.next()
        self.publish(build)
        return build

    def next(self) -> Build:
        """A new, empty generation."""
        self._made += 1
        return _MemoryBuild(self._made, lambda _: self._make_store())

    def succeed(self) -> Build:
        """Nobody outlives its process's memory."""
        raise _no_folder()

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """There is room for any number of them."""
        yield _MemoryDraft(self.next())

    def losses(self) -> int:
        """Since it was made."""
        return self._losses

    def note_loss(self) -> None:
        """Nobody else need know."""
        self._losses += 1

    def sign_of_life(self, number: int) -> None:
        """Nobody else could see it."""

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Somewhere among the system's temporary files."""
        with tempfile.TemporaryDirectory(prefix="eventresults-") as path:
            yield Path(path)

    def open_checkpoint(self, path: Path) -> Store:
        """A store in memory of what is there; an empty one of nothing."""
        return MemoryStore(path if path.exists() else None)

    def current(self) -> int | None:
        """The generation published last."""
        return self._current

    def publish(self, build: Build) -> None:
        """Nobody else sees it."""
        self._current = build.number

    def tidy(self) -> bool:
        """What nobody holds is gone already."""
        return True


class _MemoryBuild:
    def __init__(self, number: int, open_store: OpenStore) -> None:
        self.number = number
        self.open_store = open_store

    def shard_path(self, partition: int) -> Path:  # noqa: ARG002 - none of them has one
        """There is none."""
        raise _no_folder()

    def begin_beat(self) -> None:
        """Nobody else could see it."""

    def end_beat(self) -> None:
        """Likewise."""

    def close(self) -> None:
        """Nothing to release."""


class _MemoryDraft:
    def __init__(self, build: Build) -> None:
        self._build = build

    def open_store(self, partition: int) -> Store:
        """The store of the generation that it will be."""
        return self._build.open_store(partition)

    def shard_path(self, partition: int) -> Path:
        """There is none."""
        return self._build.shard_path(partition)

    def adopt(self, opened: Opened, info: LogInfo) -> tuple[Build, Opened]:  # noqa: ARG002 - they stay open
        """It is one."""
        return self._build, opened


def _no_folder() -> ViewError:
    return ViewError("This view is in memory and has no folder: name one with view=.", reason="no folder")
