"""What `eventresults serve --group` does: one member of a consumer group, and the service around it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from eventresults import bootstrap
from eventresults.config import Settings
from eventresults.errors import ConfigError
from eventresults.log.own import OwnWrites
from eventresults.projector import Observer
from eventresults.service.group import GroupView
from eventresults.service.member import Member
from eventresults.service.membership import served_by
from eventresults.service.places import FolderPlace
from eventresults.service.web.logs import structured_logs
from eventresults.service.web.run import Service, Source, Terms
from eventresults.service.web.sessions import Sessions


@dataclass(frozen=True, kw_only=True)
class Membering:
    """How to be a member: of which group, under which name, reached where, and with which snapshots to begin."""

    group: str
    instance_id: str
    advertise: str | None = None
    snapshots: Path | None = None


def run(terms: Terms, membering: Membering, settings: Settings, *, level: str) -> None:
    """Serve until a signal, and close everything. Raises what joining the group and opening the folder do, and `ConfigError`."""
    with structured_logs(level), ExitStack() as opened:
        service = Service(terms)
        opened.callback(service.close)
        log = bootstrap.make_log(settings)
        opened.callback(log.close)
        shared = bootstrap.group_log(settings, log)
        folder = _base(settings) / f"member-{membering.instance_id}"
        registered = bootstrap.projections(settings)
        member = Member(
            shared,
            FolderPlace(folder, bootstrap.make_stores(settings)),
            group=membering.group,
            address=_address(membering, service.address),
            instance_id=membering.instance_id,
            lifetimes=bootstrap.lifetimes(settings),
            projections=registered(),
            snapshots=membering.snapshots,
            timeout=settings.connect_timeout,
        )
        opened.callback(member.close)
        served = served_by(member, read_timeout=settings.read_timeout)
        sessions = Sessions(lambda: (member, served))
        opened.callback(sessions.close)
        member.on_left = sessions.moved
        # People may ask any member for any task.
        everybody = GroupView(
            shared,
            OwnWrites(),
            group=membering.group,
            token=bootstrap.token(settings),
            read_timeout=settings.read_timeout,
            connect_timeout=settings.connect_timeout,
            projections=registered,
        )
        opened.callback(everybody.close)

        def observe_with(observer: Observer) -> None:
            member.observer = observer

        service.run(
            Source(
                reader=everybody,
                log=log,
                holder=lambda: member,
                observe_with=observe_with,
                open_sessions=sessions.open,
                folder=folder,
            ),
            os.environ,
        )


def _base(settings: Settings) -> Path:
    if settings.view == "group":
        return bootstrap.view_folder(settings.model_copy(update={"view": None}))
    if bootstrap.is_elsewhere(settings):
        raise ConfigError(
            f"view={settings.view}: a member keeps its shards on this host: name a folder, or leave `view` unset.",
            setting="view",
            source=settings.sources["view"],
        )
    return bootstrap.view_folder(settings)


def _address(membering: Membering, listening: str) -> str:
    """Where others reach this member."""
    if membering.advertise is not None:
        return membering.advertise.rstrip("/")
    host = urlsplit(listening).hostname
    if host is None or host in {"0.0.0.0", "::"}:  # noqa: S104 - it is compared with, not bound to
        raise ConfigError(
            f"Others cannot reach this member at {listening}: name its address with --advertise http://HOST:PORT.", setting="advertise"
        )
    return listening
