r"""Policies as TOML files, for deployments that set no objects.

# redact.toml
keys = ["password", "*token*"]
paths = ["kwargs.customer.email"]
patterns = ['\b\d{16}\b']
hash_key_file = "hash.key"            # made by `eventresults privacy keygen`
[tasks."shop.bill"]
keys = ["iban"]

# encrypt.toml
keyring = "keyring"                   # a folder, relative to this file
key_file = "master.key"
subject = ["kwargs.customer_id", "args.0"]
fallback = "unknown"                  # or false: withhold what has no subject
fields = ["args", "kwargs", "result", "meta", "error", "body", "request"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from eventresults.errors import ConfigError
from eventresults.privacy.encryption import Encryption
from eventresults.privacy.keyring import Keyring
from eventresults.privacy.redaction import Redaction, Rules
from eventresults.privacy.sealing import MasterKey

_RULES: Final = ("keys", "paths", "patterns")


def redaction(given: Redaction | str | Path) -> Redaction:
    """The policy, or that in this file. Raises `ConfigError`."""
    if isinstance(given, Redaction):
        return given
    told = _Told(Path(given), "redact")
    keys, paths, patterns = (told.texts(name) for name in _RULES)
    key_file = told.text("hash_key_file")
    tasks = {name: _rules(told, name, one) for name, one in told.table("tasks").items()}
    told.finish()
    hash_key = None if key_file is None else MasterKey.load(told.beside(key_file)).raw
    return Redaction(keys=keys, paths=paths, patterns=patterns, tasks=tasks, hash_key=hash_key)


def encryption(given: Encryption | str | Path) -> Encryption:
    """The policy, or that in this file. Raises `ConfigError`."""
    if isinstance(given, Encryption):
        return given
    told = _Told(Path(given), "encrypt")
    folder, key_file, subject = told.text("keyring"), told.text("key_file"), told.texts("subject")
    fallback, fields = told.values.pop("fallback", "unknown"), told.texts("fields")
    told.finish()
    if folder is None or key_file is None or not subject:
        raise told.wrong("it must name keyring, key_file and subject")
    if fallback is not False and not isinstance(fallback, str):
        raise told.wrong("fallback is a text, or false")
    more: dict[str, Any] = {"fields": fields} if fields else {}
    keyring = Keyring(told.beside(folder), MasterKey.load(told.beside(key_file)))
    return Encryption(keyring=keyring, subject=subject, fallback=fallback or None, **more)


class _Told:
    """What a file says, taken from it one by one."""

    def __init__(self, path: Path, setting: str) -> None:
        self._path = path.expanduser()
        self._setting = setting
        try:
            self.values: dict[str, Any] = tomllib.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise self.wrong(f"it cannot be read as TOML ({error})") from error

    def text(self, name: str) -> str | None:
        value = self.values.pop(name, None)
        if value is not None and not isinstance(value, str):
            raise self.wrong(f"{name} is a text")
        return value

    def texts(self, name: str) -> list[str]:
        return self.list_of(name, self.values.pop(name, []))

    def table(self, name: str) -> Mapping[str, Any]:
        value = self.values.pop(name, {})
        if not isinstance(value, dict):
            raise self.wrong(f"{name} is a table")
        return value

    def list_of(self, name: str, value: Any) -> list[str]:
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.wrong(f"{name} is a list of texts")
        return value

    def beside(self, path: str) -> Path:
        """A path that the file names, relative to itself."""
        return self._path.absolute().parent / Path(path).expanduser()

    def finish(self) -> None:
        """Nothing may be left."""
        for name in self.values:
            raise self.wrong(f"{name!r} means nothing there: is it misspelt?")

    def wrong(self, why: str) -> ConfigError:
        return ConfigError(f"{self._setting}={self._path}: {why}", setting=self._setting, source=str(self._path))


def _rules(told: _Told, task: str, given: Any) -> Rules:
    if not isinstance(given, dict) or given.keys() - set(_RULES):
        raise told.wrong(f"the table of the task {task!r} may hold {', '.join(_RULES)}")
    return Rules(**{name: told.list_of(name, one) for name, one in given.items()})
