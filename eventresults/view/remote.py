"""A view that another process holds, asked over one connection by all threads of this one.

A thread of its own receives: answers go to those who wait for them, changes to the listeners. When the connection is lost, everything
that waits raises `ViewUnavailable`, and `on_lost` is called: whoever made this may connect again and hand over `told`, the vector from
which the listeners are to be told on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from eventresults.errors import EventResultsError, ViewUnavailable
from eventresults.view import protocol, travel
from eventresults.view.asking import A, Asking
from eventresults.view.base import Change
from eventresults.view.channel import Channel, Gone, Silent
from eventresults.view.protocol import Changes, Hello, Message, Unwatch, Watch, Watching, WatchRevokes

logger = logging.getLogger(__name__)

JOIN_SECONDS: Final = 2.0


class Audience(Protocol):
    """Those who listen at this end, as `Listeners` are; it may ask for more or fewer at any time, by the hooks it is given."""

    on_more: Callable[[Sequence[str]], None]
    on_fewer: Callable[[Sequence[str]], None]
    on_revokes: Callable[[], None]

    @property
    def of_revokes(self) -> Sequence[object]:
        """Those who wait for requests to revoke."""

    def subjects(self) -> list[str]:
        """The ids that are listened to."""

    def listens(self, subject: str, request: bool) -> bool:
        """See `Listeners.listens`."""

    def tell(self, change: Change) -> None:
        """See `Listeners.tell`."""

    def unhook(self) -> None:
        """See `Listeners.unhook`."""

    def catch_up(self) -> None:
        """See `Listeners.catch_up`."""

    def caught_up(self, until: Mapping[int, int] | None = None) -> None:
        """See `Listeners.caught_up`."""


class RemoteView:
    """Questions to the owner at the other end of `channel`, and changes from there for `listeners`. Any thread.

    `after` is what an earlier connection told the listeners: (log id, vector). Of another log nothing was told, not even when its offsets
    are the same ones: they are told all that it holds. Making one waits for the owner's `Hello`; raises `Silent`, `Gone`, and
    `ViewUnavailable` for an owner of another version.
    """

    def __init__(
        self,
        channel: Channel,
        listeners: Audience,
        *,
        name: str,
        after: tuple[str, Mapping[int, int]] | None = None,
        on_lost: Callable[[RemoteView], None] = lambda _: None,
        on_moved: Callable[[int, int], None] = lambda _partition, _position: None,
    ) -> None:
        self.name = name
        self.hello = _hello(channel, name)
        self.listeners = listeners
        self.asking = Asking(channel, name=name)
        self._channel = channel
        self._on_lost = on_lost
        self._on_moved = on_moved
        known = self._known(after)
        self._told: dict[int, int] = dict(self.hello.positions if known is None else known)
        #: Watches whose history is still being told, and how far those that were told reach.
        self._catching: set[int] = set()
        self._caught: dict[int, int] = {}
        #: How far live changes were told meanwhile.
        self._live: dict[int, int] = {}
        listeners.on_more = lambda subjects: self.asking.say(*_watches(subjects))
        listeners.on_fewer = lambda subjects: self.asking.say(Unwatch(list(subjects)))
        listeners.on_revokes = lambda: self.asking.say(WatchRevokes())
        try:
            self._watch_all(known)
        except BaseException:
            listeners.unhook()
            channel.close()
            raise
        self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._receive, name="eventresults-view-remote", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> str | None:
        """Why the connection is no more."""
        return self.asking.lost

    @property
    def silent(self) -> bool:
        """Whether that is because the owner stopped answering."""
        return self.asking.silent

    @property
    def told(self) -> tuple[str, dict[int, int]]:
        """The log's id, and the offsets before which every change of what is listened to was told."""
        return self.hello.log_id, dict(self._told)

    def call(self, expected: type[A], question: Callable[..., Message], *arguments: Any, timeout: float) -> A:
        """See `Asking.call`."""
        return self.asking.call(expected, question, *arguments, timeout=timeout)

    def watch(self, subjects: Sequence[str], after: Mapping[int, int] | None) -> None:
        """Have `listeners` told of these ids from now on; with `after`, first of what history holds from these offsets on."""
        watches = self._watches(subjects, after)
        if after is not None:
            self._told.update(after)  # of these no more was told than that
        self.asking.say(*watches)
        self.flush()

    def unwatch(self, subjects: Sequence[str]) -> None:
        """Tell of these no more. Waits for nothing."""
        self.asking.say(Unwatch(list(subjects)))

    def watch_revokes(self) -> None:
        """Have `listeners` told of every request to revoke from now on."""
        self.asking.say(WatchRevokes())
        self.flush()

    def flush(self) -> None:
        """Send what is to be watched from now on. A lost connection is no error here: the next one will be told."""
        self.asking.flush()

    def close(self) -> None:
        """End the connection. Idempotent; what waits raises `ViewUnavailable`, and `on_lost` is not called."""
        self._on_lost = lambda _: None
        self._channel.end()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)

    def leave_to_parent(self) -> None:
        """In a forked child: the connection is the parent's."""
        self._channel.leave_to_parent()

    # Watching

    def _watches(self, subjects: Sequence[str], after: Mapping[int, int] | None) -> list[Watch]:
        watches = _watches(subjects)
        if after is None:
            return watches
        watches = [Watch(self.asking.number(), watch.ids, dict(after)) for watch in watches]
        self._catching.update(watch.call for watch in watches)
        return watches

    def _known(self, after: tuple[str, Mapping[int, int]] | None) -> Mapping[int, int] | None:
        """How far the listeners were told of this log. None: of none at all, so they hear what happens from now on."""
        if after is None:
            return None
        log_id, offsets = after
        if log_id == self.hello.log_id:
            return offsets
        self.listeners.caught_up()
        return dict.fromkeys(self.hello.positions, 0)

    def _watch_all(self, after: Mapping[int, int] | None) -> None:
        """Watch everything that is listened to, telling first what history holds after this vector."""
        if after is None:
            self.listeners.caught_up()
        else:
            self.listeners.catch_up()
        messages: list[Message] = [*self._watches(self.listeners.subjects(), after)]
        if self.listeners.of_revokes:
            messages.append(WatchRevokes())
        if not self._catching:
            self.listeners.caught_up()
        for message in messages:
            self._channel.send(protocol.encode(message))

    # Receiving

    def _receive(self) -> None:
        try:
            while True:
                self._take(protocol.reply(self._channel.receive()))
                if not self._channel.pending:
                    self.asking.wake()
        except (Gone, Silent) as error:
            self.asking.give_up(error)
        except EventResultsError as error:
            logger.warning("the connection to %s is given up: %s", self.name, error)
            self.asking.give_up(Gone(str(error)))
        except Exception as error:
            logger.exception("the connection to %s is given up", self.name)
            self.asking.give_up(Gone(repr(error)))
        self._lose()
        self._on_lost(self)

    def _lose(self) -> None:
        self._channel.close()
        self.asking.release()

    def _take(self, said: protocol.Reply) -> None:
        if isinstance(said, Changes | protocol.Beat | Watching | protocol.Lagged | protocol.Moved | protocol.Leaving | Hello):
            self.asking.wake()  # whoever hears of it may wait for what one of them holds
            self._hear(said)
        else:
            self.asking.answered(said)

    def _hear(self, said: Changes | protocol.Beat | Watching | protocol.Lagged | protocol.Moved | protocol.Leaving | Hello) -> None:
        match said:
            case Changes():
                self._tell(said)
            case protocol.Beat():
                self._advance(said.positions)
                self.flush()
            case Watching():
                self._caught_up(said)
            case protocol.Lagged():
                self._fall_behind()
            case protocol.Moved():
                self._on_moved(said.partition, said.position)
            case protocol.Leaving():
                raise Gone("the owner leaves")
            case Hello():
                raise ViewUnavailable(f"{self.name} said hello twice.", services=[])

    def _tell(self, said: Changes) -> None:
        listeners = self.listeners
        for wire in said.changes:
            subject, (partition, offset, _, _), *_ = wire
            if listeners.listens(subject, request=True):
                listeners.tell(travel.read_change(wire))
            if said.live:
                told = self._live if self._catching else self._told
                told[partition] = max(offset + 1, told.get(partition, 0))

    def _advance(self, positions: Mapping[int, int]) -> None:
        if self._catching:
            return
        for partition, offset in positions.items():
            if offset > self._told.get(partition, 0):
                self._told[partition] = offset

    def _caught_up(self, said: Watching) -> None:
        """One of the watches has been told its history; once all have, all were told up to where the least of them was."""
        if said.call not in self._catching:
            return
        self._catching.remove(said.call)
        for partition, offset in said.positions.items():
            self._caught[partition] = min(offset, self._caught.get(partition, offset))
        if not self._catching:
            self._advance(self._caught)
            # Of what was held back meanwhile, too, nothing before these is left.
            self._advance(self._live)
            self._caught, self._live = {}, {}
            self.listeners.caught_up(self._told)

    def _fall_behind(self) -> None:
        logger.info("%s told faster than this process listens: asking again from where it is", self.name)
        if self.listeners.of_revokes:
            raise Gone("it told faster than this process listens")  # no history holds these: whoever connects again looks in the log
        self._catching.clear()
        self._caught, self._live = {}, {}
        self._watch_all(dict(self._told))


def _hello(channel: Channel, name: str) -> Hello:
    try:
        said = protocol.reply(channel.receive())
    except BaseException:
        channel.close()
        raise
    if isinstance(said, Hello) and said.version == protocol.VERSION:
        return said
    channel.close()
    if isinstance(said, protocol.Failed):
        raise travel.read_error(said)
    version = said.version if isinstance(said, Hello) else "?"
    raise ViewUnavailable(
        f"{name} speaks version {version} of the view's protocol, this process {protocol.VERSION}: run the same version of eventresults.",
        services=[name],
    )


def _watches(subjects: Sequence[str]) -> list[Watch]:
    return [Watch(0, list(subjects[at : at + protocol.MAX_IDS]), None) for at in range(0, len(subjects), protocol.MAX_IDS)]
