"""Ed25519 keys in files. The one door to `cryptography`'s signatures; nothing of it is imported before a key is read or made."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from eventresults.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

#: Others may neither read nor write a private key, its group may at most read it.
TOO_OPEN: Final = 0o027


class Signer:
    """Signs with a private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def load(cls, path: str | Path) -> Signer:
        """The private key in this file (PEM, unencrypted PKCS #8). Raises `ConfigError`, also for a file that others may read."""
        keys, serialization = _cryptography()
        path = Path(path).expanduser()
        raw = _read(path)
        if path.stat().st_mode & TOO_OPEN:
            raise _refused(path, f"others may read it: run `chmod 600 {path}`, and make a new key if anybody may have")
        try:
            key = serialization.load_pem_private_key(raw, None)
        except (ValueError, TypeError) as error:
            raise _refused(path, "it holds no private key that can be read without a password") from error
        if not isinstance(key, keys.Ed25519PrivateKey):
            raise _refused(path, "its private key is not of the kind Ed25519")
        return cls(key)

    def sign(self, what: str, text: bytes) -> str:
        """The signature of this text, as base64; a signature of one kind of text (`what`) is none of another."""
        return base64.b64encode(self._key.sign(_message(what, text))).decode()


class PublicKey:
    """Tells whether a signature is of its private key. `id` is 16 hex digits of its SHA-256."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self.id = sha256(key.public_bytes_raw()).hexdigest()[:16]

    def signed(self, what: str, text: bytes, signature: str) -> bool:
        """Whether this is its signature of that text."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - only what is used is loaded

        try:
            self._key.verify(base64.b64decode(signature, validate=True), _message(what, text))
        except (InvalidSignature, ValueError):
            return False
        return True


def load_public(paths: Iterable[str | Path]) -> Mapping[str, PublicKey]:
    """The public keys in these files (PEM), by id. Raises `ConfigError`."""
    keys, serialization = _cryptography()
    found = {}
    for path in map(Path, paths):
        raw = _read(path.expanduser())
        try:
            key = serialization.load_pem_public_key(raw)
        except ValueError as error:
            raise _refused(path, "it holds no public key: give the .pub file that `eventresults audit keygen` made") from error
        if not isinstance(key, keys.Ed25519PublicKey):
            raise _refused(path, "its key is not of the kind Ed25519")
        public = PublicKey(key)
        found[public.id] = public
    return found


def make_key(path: str | Path) -> PublicKey:
    """Make a key: the private one in the new file `path`, for its user alone, the public one beside it in `path`.pub.

    Raises `ConfigError` when either file exists, or cannot be made.
    """
    keys, serialization = _cryptography()
    path = Path(path).expanduser()
    key = keys.Ed25519PrivateKey.generate()
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    beside = path.with_name(path.name + ".pub")
    if beside.exists():
        raise _refused(beside, "it exists: a key is never replaced, choose another name")
    _create(path, private, 0o600)
    _create(beside, public, 0o644)
    return PublicKey(key.public_key())


def _message(what: str, text: bytes) -> bytes:
    return f"eventresults {what} 1\n".encode() + text


def _create(path: Path, text: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise _refused(path, "it exists: a key is never replaced, choose another name") from None
    except OSError as error:
        raise _refused(path, f"it cannot be made ({error})") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _refused(path, f"it cannot be read ({error.strerror}): `eventresults audit keygen {path}` makes one") from error


def _refused(path: Path, why: str) -> ConfigError:
    return ConfigError(f"The key file {path} cannot be used: {why}.", setting="key", source=str(path))


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError("Signing needs the extra: run `pip install 'eventresults[audit]'`.", setting="key") from error
    return ed25519, serialization
