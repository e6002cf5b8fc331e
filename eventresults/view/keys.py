"""The keys of a shard: a tag byte for the kind of row, then what orders it."""

from __future__ import annotations

STATE = b"s"  #: s + task id -> TaskMeta
GROUP = b"g"  #: g + group id -> GroupMeta
HISTORY = b"h"  #: h + first offset -> segment of up to 64 records
RECENT = b"r"  #: r + log time of the first fact + task id -> empty
OPEN = b"o"  #: o + (tag + id of the row) -> what stands open there
EXPIRY = b"e"  #: e + log time + digest of the value -> rows to look at, by then or later
DEAD = b"d"  #: d + offset -> dead letter
META = b"m"  #: m + name
PROJECTED = b"p"  #: p + projection + 00 + key -> its state

HEAD = META + b"head"  #: the shard's head: next offset, log id, fingerprint, schema, counters


def number(value: int) -> bytes:
    """A non-negative integer whose byte order is its numeric order."""
    return value.to_bytes(8, "big")


def state(task_id: str) -> bytes:
    """Row of one task."""
    return STATE + task_id.encode()


def group(group_id: str) -> bytes:
    """Row of one group."""
    return GROUP + group_id.encode()


def history(first_offset: int) -> bytes:
    """Segment that begins with this offset."""
    return HISTORY + number(first_offset)


def recent(born_at: int, task_id: str) -> bytes:
    """Index row of a life that began at this log time."""
    return RECENT + number(born_at) + task_id.encode()


def opened(row: bytes) -> bytes:
    """Index row: something stands open in `row`."""
    return OPEN + row


def expiry(at: int, digest: bytes) -> bytes:
    """A row of the agenda, named by what it holds: nothing in it is due before the log time passes `at`."""
    return EXPIRY + number(at) + digest


def dead(offset: int) -> bytes:
    """Dead letter at this offset."""
    return DEAD + number(offset)


def projected(name: str, key: str) -> bytes:
    """Row of one key of a projection; of all that begin with it, a prefix."""
    return PROJECTED + name.encode() + b"\x00" + key.encode()


def projected_name(row: bytes) -> str:
    """The projection of such a row."""
    return row[1 : row.index(b"\x00")].decode()


def projected_key(row: bytes) -> str:
    """The key in such a row."""
    return row[row.index(b"\x00") + 1 :].decode()


def after(tag: bytes) -> bytes:
    """The first key behind every key with this prefix."""
    return tag[:-1] + bytes([tag[-1] + 1])
