"""Where a replay is, in a file: what it was asked for, and the offsets before which all was told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from eventresults.errors import ConfigError
from eventresults.log.stretch import Stretch


@dataclass(frozen=True)
class Notes:
    """What a replay was asked for (`asked`: plain data), the stretch that is, and how far it is."""

    asked: Mapping[str, Any]
    stretch: Stretch
    at: Mapping[int, int] = field(default_factory=dict)
    told: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return all(self.at.get(partition, start) >= self.stretch.ends[partition] for partition, start in self.stretch.starts.items())

    def moved(self, at: Mapping[int, int], told: int) -> Self:
        """The same, further on."""
        return replace(self, at=dict(at), told=told)

    def write(self, path: Path) -> None:
        """Into this file, whole or not at all. Raises `ConfigError`."""
        known = {
            "asked": dict(self.asked),
            "starts": _texts(self.stretch.starts),
            "ends": _texts(self.stretch.ends),
            "until": self.stretch.until,
            "at": _texts(self.at),
            "told": self.told,
        }
        new = path.with_name(f"{path.name}.new")
        try:
            new.write_text(json.dumps(known, indent=2) + "\n", "utf-8")
            new.replace(path)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}. Name another file.", setting="resume") from error

    @classmethod
    def read(cls, path: Path, asked: Mapping[str, Any], *, besides: Iterable[str] = ()) -> Self | None:
        """Of the replay that was asked for the same, but for what is named `besides`; None when there is no file yet.

        Raises `ConfigError` when it is another's.
        """
        try:
            known = json.loads(path.read_text("utf-8"))
            stretch = Stretch(_numbers(known["starts"]), _numbers(known["ends"]), known["until"])
            found = cls(known["asked"], stretch, _numbers(known["at"]), known["told"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path} holds no notes of a replay: name another file.", setting="resume") from error
        differs = sorted(name for name in {*asked, *found.asked}.difference(besides) if asked.get(name) != found.asked.get(name))
        if differs:
            raise ConfigError(
                f"{path} is of another replay (other {', '.join(differs)}): ask for the same as then, or name another file.",
                setting="resume",
            )
        return found


def _texts(offsets: Mapping[int, int]) -> dict[str, int]:
    return {str(partition): offset for partition, offset in offsets.items()}


def _numbers(offsets: Mapping[str, int]) -> dict[int, int]:
    return {int(partition): int(offset) for partition, offset in offsets.items()}
