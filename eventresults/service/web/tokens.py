"""Who is let in: whoever knows a token, or anybody when there is none (then only this machine can reach us)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path

from eventresults.errors import ConfigError

SCHEME = "bearer"


class Tokens:
    """The tokens that open the service. Keeps digests, so that nothing shows them."""

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        self._digests = [_digest(token.encode()) for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def admits(self, authorization: bytes | None) -> bool:
        """Whether this `Authorization` header holds one of them. Takes as long whichever it is, and whether it is."""
        if not self._digests:
            return True
        scheme, _, token = (authorization or b"").partition(b" ")
        given = _digest(token.strip())
        found = [hmac.compare_digest(given, digest) for digest in self._digests]
        return any(found) and scheme.lower() == SCHEME.encode()


def load_tokens(token: str | None, file: str | None) -> Tokens:
    """The token given, and each line of the file. Raises `ConfigError` for a file that cannot be read, or holds none."""
    tokens = [token] if token else []
    if file is not None:
        try:
            lines = [line.strip() for line in Path(file).expanduser().read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"token_file={file} cannot be read: {error}", setting="token_file") from error
        if not any(lines):
            raise ConfigError(
                f"token_file={file} holds no token: write one a line, for example from `openssl rand -hex 32`", setting="token_file"
            )
        tokens += [line for line in lines if line]
    return Tokens(tokens)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
