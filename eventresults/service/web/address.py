"""Where the service listens: a TCP port, or a Unix socket that only its user may use."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path

from eventresults.errors import ConfigError
from eventresults.service.web.tokens import Tokens

BACKLOG = 512


def check_guarded(host: str, tokens: Tokens) -> None:
    """Raises `ConfigError` for an address that others can reach when there is no token to ask them for."""
    if tokens or is_loopback(host):
        return
    raise ConfigError(
        f"host={host} can be reached from other machines, and there is no token to ask them for: set EVENTRESULTS_TOKEN or --token-file "
        "(for example from `openssl rand -hex 32`), or serve this machine alone with --host 127.0.0.1 or --uds PATH.",
        setting="host",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes any. Raises `ConfigError` when the address cannot be had."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        # By its protocol asyncio knows that what it accepts must not wait to be sent (TCP_NODELAY): 40 ms a request otherwise.
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        hint = (
            "another process listens there; choose another --port" if error.errno == errno.EADDRINUSE else "choose another --host or --port"
        )
        raise ConfigError(f"Cannot listen at {host}:{port} ({error.strerror or error}): {hint}.", setting="host") from error
    listening.setblocking(False)
    return listening


def listen_unix(path: str) -> socket.socket:
    """A listening Unix socket, for this user alone; takes the place of one that nobody listens at. Raises `ConfigError`."""
    _make_way(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            listening.bind(path)
        finally:
            os.umask(before)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(f"Cannot listen at {path} ({error.strerror or error}): choose another --uds.", setting="uds") from error
    listening.setblocking(False)
    return listening


def remove_unix(path: str, inode: int) -> None:
    """Remove the socket's file, unless another process has put its own there."""
    try:
        if Path(path).stat().st_ino == inode:
            Path(path).unlink()
    except OSError:
        pass  # gone already


def _make_way(path: str) -> None:
    try:
        found = Path(path).stat()
    except OSError:
        return  # nothing there, or bind will say what is wrong
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"Cannot listen at {path}: it is a file and no socket; choose another --uds.", setting="uds")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
            return
        except OSError as error:
            raise ConfigError(f"Cannot listen at {path} ({error.strerror or error}): choose another --uds.", setting="uds") from error
    raise ConfigError(f"Cannot listen at {path}: another process does; choose another --uds.", setting="uds")
