"""Old records, read as new ones. Bytes in the log are never rewritten: a record says its version, and is lifted when it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

#: The version that this library writes.
CURRENT_VERSION = 1

#: A function that makes of a record of one version (a JSON object, its own to change) a record of the next.
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

#: version -> function to the version after it. Version 1 is the first, so there is none yet.
UPCASTERS: Mapping[int, Upcaster] = MappingProxyType({})


def upcast(record: dict[str, Any], version: int, upcasters: Mapping[int, Upcaster] = UPCASTERS) -> dict[str, Any]:
    """The record as `CURRENT_VERSION` would have written it; one of a later version comes back as it is.

    Raises LookupError when no function leads on from its version, and whatever such a function raises.
    """
    while version < CURRENT_VERSION:
        if version not in upcasters:
            raise LookupError(f"no upcaster leads on from version {version}")
        record = upcasters[version](record)
        version += 1
    return record
