"""What a member of a group serves: its own shards to processes that come for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from eventresults.codec.ids import key_of
from eventresults.errors import ViewError
from eventresults.log.own import OwnWrites
from eventresults.reading import FreshReader
from eventresults.service.answers import answer
from eventresults.service.member import Member
from eventresults.service.served import Served


def served_by(member: Member, *, read_timeout: float) -> Served:
    """The shards that this member holds, whichever they are at the time."""

    def answered(what: str, arguments: Mapping[str, Any], timeout: float) -> Any:
        if what not in {"stats", "survey", "verify"}:
            raise ViewError(f"A member of a group cannot be asked for {what!r} from elsewhere.", reason="unknown question")
        return answer(member, what, arguments, timeout)

    def missing(ids: Sequence[str]) -> Collection[int]:
        return {member.log.partition_for(key_of(one)) for one in ids} - set(member.view.partitions)

    return Served(
        view=member.view,
        reader=FreshReader(member.view, member.log, OwnWrites(), read_timeout=read_timeout, partitions=range(member.partitions)),
        log=member.log,
        log_id=lambda: member.log_id,
        generation=lambda: member.generation,
        lifetimes=member.lifetimes,
        answer=answered,
        missing=missing,
    )
