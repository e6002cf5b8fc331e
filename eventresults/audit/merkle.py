"""A Merkle tree as in RFC 6962, over links that are hashes of leaves already: an odd node at the end of a level moves up as it is."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from eventresults.audit.chain import NODE


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over these leaves, of which there is at least one."""
    level = leaves
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from the leaf at `index` to the root, from the bottom up."""
    found: list[bytes] = []
    level = leaves
    while len(level) > 1:
        beside = index ^ 1
        if beside < len(level):
            found.append(level[beside])
        level = _parents(level)
        index //= 2
    return found


def climb(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root that this path leads to from the leaf at `index` of `count`; None when the path is too long or too short."""
    if not 0 <= index < count:
        return None
    rest = list(path)
    node = leaf
    while count > 1:
        if index ^ 1 < count:
            if not rest:
                return None
            beside = rest.pop(0)
            node = sha256(NODE + beside + node).digest() if index % 2 else sha256(NODE + node + beside).digest()
        index //= 2
        count = (count + 1) // 2
    return None if rest else node


def _parents(level: Sequence[bytes]) -> list[bytes]:
    pairs = [sha256(NODE + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
    if len(level) % 2:
        pairs.append(level[-1])
    return pairs
