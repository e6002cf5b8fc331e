"""AES-256-GCM, and the master key in a file. The one door to `cryptography`'s ciphers; nothing of it is imported before it is used."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Any, Final, Protocol

from eventresults.errors import ConfigError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TOO_OPEN: Final = 0o027


class Unsealable(Exception):
    """It was encrypted by another key, or altered."""


def seal(key: bytes, plain: bytes, context: bytes) -> bytes:
    """A fresh nonce, and the text encrypted; whoever decrypts it must know the same `context`."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + _cipher(key).encrypt(nonce, plain, context)  # type: ignore[no-any-return]


def unseal(key: bytes, raw: bytes, context: bytes) -> bytes:
    """The text that was encrypted. Raises `Unsealable`."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - only what is used is loaded

    try:
        return _cipher(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context)  # type: ignore[no-any-return]
    except (InvalidTag, ValueError):
        raise Unsealable from None


class KeyWrapper(Protocol):
    """Encrypts data keys: with a master key, or by asking a key management service. Any thread.

    Asked once for each subject and process, by whoever records or reads a value of it, which waits meanwhile. What it raises withholds
    the value that was to be recorded.
    """

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """The key encrypted, for `unwrap` with the same context."""

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The key. Raises `Unsealable` when it was wrapped by another master key."""


class MasterKey:
    """Wraps data keys by the 32 bytes in a file (as base64), which only its user may read."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a master key has {KEY_BYTES} bytes")
        self._key = key

    @classmethod
    def load(cls, path: str | Path) -> MasterKey:
        """The key in this file. Raises `ConfigError`, also for a file that others may read."""
        path = Path(path).expanduser()
        try:
            text = path.read_bytes()
            open_to_others = path.stat().st_mode & TOO_OPEN
        except OSError as error:
            why = f"it cannot be read ({error.strerror}): `eventresults privacy keygen {path}` makes one"
            raise _refused(path, why) from error
        if open_to_others:
            raise _refused(path, f"others may read it: run `chmod 600 {path}`")
        try:
            return cls(base64.b64decode(text.strip(), validate=True))
        except (binascii.Error, ValueError):
            raise _refused(path, "it holds no master key: `eventresults privacy keygen` makes one") from None

    @property
    def raw(self) -> bytes:
        """Its bytes."""
        return self._key

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """See `KeyWrapper.wrap`."""
        return seal(self._key, key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See `KeyWrapper.unwrap`."""
        return unseal(self._key, wrapped, context)


def make_master_key(path: str | Path) -> None:
    """Make a master key in a new file, for its user alone. Raises `ConfigError` when the file exists, or cannot be made."""
    path = Path(path).expanduser()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise _refused(path, "it exists: a key is never replaced, choose another name") from None
    except OSError as error:
        raise _refused(path, f"it cannot be made ({error.strerror})") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def cipher_class() -> Any:
    """The cipher. Raises `ConfigError` when the extra is missing."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError("Encryption needs the extra: run `pip install 'eventresults[audit]'`.", setting="encrypt") from error
    return AESGCM


def _cipher(key: bytes) -> Any:
    return cipher_class()(key)


def _refused(path: Path, why: str) -> ConfigError:
    return ConfigError(f"The key file {path} cannot be used: {why}.", setting="key_file", source=str(path))
