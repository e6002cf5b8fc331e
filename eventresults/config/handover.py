"""Settings for another process of this host: it must come to the same log and the same view, wherever and however it is started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from eventresults.config.settings import Settings

#: Paths in which a `~` is a home, and paths that are taken as they are.
_EXPANDED: Final = frozenset({"outbox", "token_file"})
#: What only who records or reads values needs, and who keeps the view does not.
_RECORDING: Final = frozenset({"redact", "encrypt"})
_PLAIN: Final = frozenset({"ssl_cafile", "ssl_certfile", "ssl_keyfile"})


def hand_over(settings: Settings, *, view: Path) -> dict[str, Any]:
    """These settings as plain data for JSON, with the view in this folder and every path absolute.

    The secrets are in it: it goes by a pipe, and is never shown.
    """
    values = {name: _plain(name, getattr(settings, name)) for name in settings.model_fields_set - _RECORDING}
    if settings.log.scheme == "sqlite":
        values["url"] = replace(settings.log, path=os.path.abspath(settings.log.path)).masked  # noqa: PTH100 - a text, as it was
    values["view"] = str(view.absolute())
    if settings.own != "auto":
        values["own"] = "auto"  # that is what it is there for
    return {"values": values, "sources": dict(settings.sources)}


def take_over(handed: Mapping[str, Any]) -> Settings:
    """What `hand_over` was given. Neither the environment nor a configuration file is looked at."""
    return Settings.sourced(handed["values"], handed["sources"])


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if value is not None and name in _EXPANDED | _PLAIN:
        return str((Path(value).expanduser() if name in _EXPANDED else Path(value)).absolute())
    return value
