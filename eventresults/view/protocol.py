"""What a reader and the owner of a view say to each other: MessagePack arrays, each led by its number.

The owner speaks first (`Hello`), and then at least every `BEAT_SECONDS`. A question carries a number that its answer repeats. `Watch` has
no answer of its own unless it asks for what history holds after a vector; changes come in log order per partition. The owner keeps nothing
of a connection that ended: who connects again says again what it watches, and from where. What messages hold: see
`eventresults.view.travel`.
"""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.errors import ViewUnavailable

#: Raised when a message changes its meaning; both sides must speak the same.
VERSION: Final = 3
BEAT_SECONDS: Final = 0.5
#: An owner that says nothing for so long is silent: stopped, or cut off.
SILENCE_SECONDS: Final = 1.5
#: The longest message, and how many ids one may carry.
MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
MAX_IDS: Final = 10_000

#: "default", "latest", "applied", or (partition, offset).
WireFreshness = str | tuple[int, int]
#: partition → offset
Vector = dict[int, int]
#: partition, offset, log time, the event's bytes
WireFact = tuple[int, int, int, bytes]
#: subject, fact, what the row is of ("t": a task, "g": a group, "": the life ended), the row
WireChange = tuple[str, WireFact, str, bytes]


class Message(msgspec.Struct, array_like=True):
    """Anything that is said."""


class Tasks(Message, tag=1):
    """What is known of these tasks? First wait until the view holds `needed`. `timeout` is in seconds."""

    call: int
    ids: list[str]
    freshness: WireFreshness
    needed: Vector
    timeout: float


class Group(Message, tag=2):
    """What is known of this group? `brief`: without its payloads."""

    call: int
    id: str
    freshness: WireFreshness
    needed: Vector
    timeout: float
    brief: bool = False


class History(Message, tag=3):
    """The facts of this id; with `starts`, those that lead to these offsets, which an answer gave."""

    call: int
    id: str
    freshness: WireFreshness
    needed: Vector
    timeout: float
    starts: list[int] | None = None


class Recent(Message, tag=4):
    """One page of tasks; `query` holds the arguments of `ViewReader.recent`."""

    call: int
    query: dict[str, Any]
    freshness: WireFreshness
    needed: Vector
    timeout: float


class Reach(Message, tag=5):
    """Does the view hold this position within `timeout`?"""

    call: int
    needed: Vector
    timeout: float


class Watch(Message, tag=6):
    """Tell of changes of these ids from now on; with `after`, first of those that history holds at or after these offsets."""

    call: int
    ids: list[str]
    after: Vector | None


class Unwatch(Message, tag=7):
    """Tell no more of these."""

    ids: list[str]


class WatchRevokes(Message, tag=8):
    """Tell of every request to revoke from now on."""


class Ask(Message, tag=9):
    """Anything else: `what` names it, `arguments` are its own."""

    call: int
    what: str
    arguments: dict[str, Any]
    timeout: float


class Opened(Message, tag=10):
    """One page of what stands open; `query` holds the arguments of `ViewReader.opened`."""

    call: int
    query: dict[str, Any]
    freshness: WireFreshness
    needed: Vector
    timeout: float


class Projected(Message, tag=11):
    """States of a projection; `query` holds the fields of `Wanted`, and `partitions` (None: all that are here)."""

    call: int
    query: dict[str, Any]
    freshness: WireFreshness
    needed: Vector
    timeout: float


class Hello(Message, tag=32):
    """Who answers. `positions` is how far the view is."""

    version: int
    log_id: str
    generation: int
    pid: int
    positions: Vector


class Metas(Message, tag=33):
    """Tasks in the order of the ids; None where nothing is known. Fewer than ids: these are the first ones, ask again for the others."""

    call: int
    tasks: list[TaskMeta | None]


class Facts(Message, tag=34):
    """A history, oldest first. Not whole if there are `earlier` facts: ask for these by the offsets that lead to them."""

    call: int
    facts: list[WireFact]
    earlier: list[int] = []


class Page(Message, tag=35):
    """One page of tasks."""

    call: int
    tasks: list[TaskMeta]
    cursor: str | None


class Said(Message, tag=36):
    """The answer to `Reach` and `Ask`."""

    call: int
    answer: Any


class Failed(Message, tag=37):
    """The question raised this."""

    call: int
    error: str
    message: str
    facts: dict[str, Any]


class Watching(Message, tag=38):
    """The history that a `Watch` asked for has been told, up to these positions."""

    call: int
    positions: Vector


class Changes(Message, tag=39):
    """What happened. `live`: all earlier changes of what is watched were told before; else it is from history."""

    live: bool
    changes: list[WireChange]


class Beat(Message, tag=40):
    """The owner lives, and every change before these positions was told."""

    positions: Vector


class Lagged(Message, tag=41):
    """You took too long: nothing is watched any more. Watch again, from where you are."""


class Moved(Message, tag=43):
    """This partition is not here (any more); its changes were told up to `position` (-1: none were). Ask the group who has it."""

    partition: int
    position: int


class Leaving(Message, tag=42):
    """The owner goes. Look for another one."""


class Open(Message, tag=44):
    """One page of what stands open: of each its id, and what is known of the matter."""

    call: int
    rows: list[tuple[str, dict[str, Any]]]
    cursor: str | None


class OneGroup(Message, tag=46):
    """A group; None when nothing is known of it."""

    call: int
    group: GroupMeta | None


class States(Message, tag=45):
    """States by key, as packed, and the key after which there are more."""

    call: int
    rows: list[tuple[str, bytes]]
    after: str | None


#: What a view is asked, and what it answers.
Lookup = Tasks | Group | History | Recent | Opened | Projected
Found = Metas | OneGroup | Facts | Page | Open | States
Question = Lookup | Reach | Ask
Request = Question | Watch | Unwatch | WatchRevokes
Answer = Found | Said | Failed | Watching
Reply = Hello | Answer | Changes | Beat | Lagged | Moved | Leaving

encode = msgspec.msgpack.Encoder().encode
_requests = msgspec.msgpack.Decoder(Request)
_replies = msgspec.msgpack.Decoder(Reply)


def request(frame: bytes) -> Request:
    """What a reader said. Raises `EventResultsError` for what is no request."""
    return cast("Request", _decoded(_requests, frame))


def reply(frame: bytes) -> Reply:
    """What an owner said; as `request`."""
    return cast("Reply", _decoded(_replies, frame))


def _decoded(decoder: msgspec.msgpack.Decoder[Any], frame: bytes) -> Any:
    try:
        return decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ViewUnavailable(f"The other side said what this version does not understand ({error}): run the same version.") from None
