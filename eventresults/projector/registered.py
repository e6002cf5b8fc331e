"""Which projections a process has: those it was given, those its settings name, and those of installed packages."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from eventresults.domain.projection import Projection, checked
from eventresults.errors import ConfigError

#: Entry points of this group name projections: `spend = "shop.spend:SPEND"`.
GROUP: Final = "eventresults.projections"


class Registered:
    """Projections by name, loaded when they are first needed: `registered()`. Any thread.

    `given` are objects, `paths` are written "module:object". One of these takes the place of an installed package's of the same name.
    Raises `ConfigError` for one that cannot be run, `registered()` also for one that cannot be loaded.
    """

    def __init__(self, given: Iterable[Projection] = (), *, paths: Iterable[str] = (), installed: bool = True) -> None:
        self._given = checked(given)
        self._paths = tuple(paths)
        self._installed = installed
        self._lock = threading.Lock()
        self._loaded: tuple[Projection, ...] | None = None

    def __call__(self) -> tuple[Projection, ...]:
        """All of them."""
        with self._lock:
            if self._loaded is None:
                mine = checked([*self._given, *(_load(path, "the setting `projections`") for path in self._paths)])
                names = {one.name for one in mine}
                theirs = (_load(one.value, f"the entry point {one.name!r}") for one in self._entry_points())
                self._loaded = (*mine, *checked(one for one in theirs if one.name not in names))
            return self._loaded

    def get(self, name: str) -> Projection | None:
        """The one of this name."""
        return next((one for one in self() if one.name == name), None)

    def _entry_points(self) -> Iterable[EntryPoint]:
        return entry_points(group=GROUP) if self._installed else ()


def _load(path: str, where: str) -> Projection:
    module, _, attribute = path.replace(" ", "").partition(":")
    if not (module and attribute):
        raise ConfigError(f"{path!r} ({where}) names no projection: write module:object.", setting="projections", source=where)
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ConfigError(f"The projection {path!r} ({where}) cannot be loaded: {what}.", setting="projections", source=where) from error
    return checked([found])[0]


#: No projections.
NONE: Final = Registered(installed=False)
