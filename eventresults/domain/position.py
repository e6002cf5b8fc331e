"""Where a fact stands in the log."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """A partition and the offset of one record in it; written `partition:offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read `partition:offset`; raises ValueError on anything else."""
        partition, colon, offset = text.partition(":")
        if not (colon and partition.isdecimal() and offset.isdecimal()):
            raise ValueError(f"{text!r} is no position: write partition:offset, for example 0:42")
        return cls(int(partition), int(offset))
