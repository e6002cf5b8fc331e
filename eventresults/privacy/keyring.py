"""The keyring: a folder with one data key for each subject, encrypted by a master key, until the subject is erased.

    salt            makes the names of subjects unguessable from those of files
    <key id>        {"v": 1, "wrapped": base64}   the subject's data key
                    {"v": 1, "erased": time}      it is destroyed, for good

A key id is an HMAC of the subject's name, and all that the log tells of it. Processes that share the folder share the keys: each is
made once, and looked for before every use, so that none is used after it was destroyed.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import uuid
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

from eventresults.errors import ConfigError, UnknownSubject, ValueErased, ValueSealed
from eventresults.privacy.sealing import KEY_BYTES, KeyWrapper, Unsealable

CACHED: Final = 4096


class DataKey(NamedTuple):
    """A subject's key, in the clear; None once it is destroyed."""

    id: str
    key: bytes | None


class Keyring:
    """Makes, finds and destroys data keys. Any thread, any number of processes; a folder on a disk that all of them see."""

    def __init__(self, folder: str | Path, wrapper: KeyWrapper) -> None:
        """Makes the folder at the first key. `wrapper` encrypts data keys: `MasterKey`, or a key management service."""
        self.folder = Path(folder).expanduser()
        self._wrapper = wrapper
        self._salt_read: bytes | None = None
        #: Key id -> the file that held it, and the key. Without a lock, which a fork could leave locked: each step on it is atomic.
        self._cached: OrderedDict[str, tuple[tuple[int, int], bytes]] = OrderedDict()

    def id_of(self, subject: str) -> str:
        """The id of this subject's key: the same everywhere that has this keyring."""
        return hmac.new(self._salt(), subject.encode("utf-8", "surrogatepass"), sha256).hexdigest()[:32]

    def key_for(self, subject: str) -> DataKey:
        """The key to encrypt this subject's values with, made at the first use. Raises `ConfigError`, and what the wrapper does."""
        key_id = self.id_of(subject)
        try:
            return DataKey(key_id, self.key(key_id))
        except ValueErased:
            return DataKey(key_id, None)
        except ValueSealed:
            if self._path(key_id).exists():
                raise
        wrapped = self._wrapper.wrap(os.urandom(KEY_BYTES), _context(key_id))
        self._create(key_id, {"v": 1, "wrapped": base64.b64encode(wrapped).decode()})
        return DataKey(key_id, self.key(key_id))  # another process may have been faster

    def key(self, key_id: str) -> bytes:
        """The key of this id. Raises `ValueErased` when it is destroyed, `ValueSealed` when it is not here or cannot be decrypted."""
        path = self._path(key_id)
        try:
            found = path.stat()
        except OSError:
            raise sealed(key_id, f"its key is not in the keyring {self.folder}") from None
        mark = (found.st_ino, found.st_mtime_ns)
        held = self._cached.get(key_id)
        if held is not None and held[0] == mark:
            return held[1]
        self._cached.pop(key_id, None)
        key = self._unwrapped(key_id, path)
        self._cached[key_id] = (mark, key)
        if len(self._cached) > CACHED:
            with suppress(KeyError):
                self._cached.popitem(last=False)
        return key

    def erase(self, subject: str) -> str:
        """Destroy this subject's key, and return its id: whatever it encrypted is unreadable from now on, and so is what comes later.

        Doing it again changes nothing. Raises `UnknownSubject` when there is no key, `ConfigError` when the keyring cannot be written.
        """
        key_id = self.id_of(subject)
        path = self._path(key_id)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise UnknownSubject(
                f"The keyring {self.folder} has no key for {subject[:64]!r}: nothing of it was ever encrypted. Is it spelled as the "
                "rule of your encryption gives it?",
                subject=subject[:64],
            ) from None
        except OSError as error:
            raise self._unusable(error) from error
        try:
            size = os.fstat(descriptor).st_size
            if b'"erased"' in os.pread(descriptor, size, 0):
                return key_id
            self._replace(key_id, {"v": 1, "erased": datetime.now(UTC).isoformat()})
            # The file has no name any more: overwrite what lies on the disk, as far as that reaches.
            os.pwrite(descriptor, os.urandom(size), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._cached.pop(key_id, None)
        return key_id

    def _unwrapped(self, key_id: str, path: Path) -> bytes:
        try:
            told: Any = json.loads(path.read_bytes())
            if "erased" in told:
                raise ValueErased(
                    f"The value is erased: the key {key_id} that encrypted it was destroyed at {told['erased']}. Nothing brings it back.",
                    key_id=key_id,
                    erased=told["erased"],
                )
            wrapped = base64.b64decode(told["wrapped"], validate=True)
        except (OSError, ValueError, KeyError, TypeError):
            raise sealed(key_id, f"the file of its key in the keyring {self.folder} cannot be read") from None
        try:
            return self._wrapper.unwrap(wrapped, _context(key_id))
        except Unsealable:
            raise sealed(key_id, "its key was encrypted by another master key than the one given here") from None

    def _path(self, key_id: str) -> Path:
        if not (key_id.isascii() and key_id.isalnum()):  # it comes from the log, and is to be no way out of the folder
            raise sealed(key_id[:64], "its key id is none")
        return self.folder / key_id

    def _salt(self) -> bytes:
        if self._salt_read is None:
            path = self.folder / "salt"
            try:
                if not path.exists():
                    self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                    self._link("salt", os.urandom(32))
                self._salt_read = path.read_bytes()
            except OSError as error:
                raise self._unusable(error) from error
        return self._salt_read

    def _create(self, key_id: str, told: dict[str, Any]) -> None:
        try:
            self._link(key_id, json.dumps(told).encode())
        except OSError as error:
            raise self._unusable(error) from error

    def _replace(self, key_id: str, told: dict[str, Any]) -> None:
        try:
            self._written(json.dumps(told).encode()).replace(self._path(key_id))
            self._sync()
        except OSError as error:
            raise self._unusable(error) from error

    def _link(self, name: str, text: bytes) -> None:
        """Make a whole file of this name, unless there is one. Raises OSError."""
        part = self._written(text)
        try:
            (self.folder / name).hardlink_to(part)
            self._sync()
        except FileExistsError:
            pass
        finally:
            part.unlink()

    def _sync(self) -> None:
        """Keep the names of files through a power cut: what a lost key has encrypted would be lost, too."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _written(self, text: bytes) -> Path:
        part = self.folder / f".{uuid.uuid4().hex}.part"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        return part

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError(f"The keyring {self.folder} cannot be used: {error}", setting="encrypt", source=str(self.folder))


def sealed(key_id: str | None, why: str) -> ValueSealed:
    """The error for a value that cannot be decrypted here."""
    return ValueSealed(f"The value is encrypted, and cannot be read here: {why}.", key_id=key_id, reason=why)


def _context(key_id: str) -> bytes:
    return f"eventresults data key 1\n{key_id}".encode()
