"""The files of boxes, as anybody may look at them: which there are, and what they hold."""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from eventresults.log.frames import Frame, FrameReader, Gap

VERSION = 1

_SLOT = struct.Struct("<IQI")  # segment, offset, checksum; a mark is two of them, written in turn


class Place(NamedTuple):
    """A place in a box: which of its files, and the offset in it."""

    segment: int
    offset: int


def write_mark(descriptor: int, place: Place, turn: int) -> None:
    """Write it into the first or second (`turn`) slot, so that the other holds if this is torn. Raises OSError."""
    body = struct.pack("<IQ", *place)
    os.pwrite(descriptor, body + crc32(body).to_bytes(4, "little"), _SLOT.size * turn)


def boxes(folder: Path) -> list[Path]:
    """All boxes of an outbox, oldest first."""
    try:
        return sorted(each for each in folder.iterdir() if each.name[:1].isdigit() and each.is_dir())
    except FileNotFoundError:
        return []


def half_made(folder: Path) -> list[Path]:
    """Boxes that were never finished, and hold nothing."""
    with contextlib.suppress(FileNotFoundError):
        return [each for each in folder.iterdir() if each.name.startswith(".new-")]
    return []


def about(path: Path) -> dict[str, Any]:
    """What a box says of itself. Raises OSError, ValueError."""
    found = json.loads((path / "about.json").read_text())
    if not isinstance(found, dict) or found.get("v") != VERSION:
        raise ValueError(f"{path} was written by another version of eventresults: forward it with that one")
    return found


def segments(path: Path) -> list[int]:
    """The files of facts in a box, by number."""
    try:
        return sorted(int(each.stem) for each in path.iterdir() if each.suffix == ".facts" and each.stem.isdigit())
    except FileNotFoundError:
        return []


def peek(path: Path) -> Iterator[Frame | Gap]:
    """What waits in a box, read without its lock, and so not to the last fact where its owner is at work."""
    mark = read_mark(path / "mark")
    for number in segments(path):
        if number < mark.segment:
            continue
        with contextlib.suppress(FileNotFoundError), segment(path, number).open("rb") as file:
            limit = os.fstat(file.fileno()).st_size
            reader = FrameReader(file.fileno(), min(mark.offset, limit) if number == mark.segment else 0)
            while (found := reader.read(limit)) is not None:
                yield found


def segment(path: Path, number: int) -> Path:
    """One of them."""
    return path / f"{number:08d}.facts"


def read_mark(file: Path) -> Place:
    """Up to where facts are forwarded; the beginning, where that is not to be had."""
    places = [Place(0, 0)]
    with contextlib.suppress(FileNotFoundError):
        data = file.read_bytes()
        for at in range(0, len(data) - _SLOT.size + 1, _SLOT.size):
            number, offset, checksum = _SLOT.unpack_from(data, at)
            if crc32(data[at : at + 12]) == checksum:
                places.append(Place(number, offset))
    return max(places)
