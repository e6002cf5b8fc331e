"""`eventresults privacy`: keys, erasing what is known of a subject, and trying a policy out."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Any

import typer

from eventresults.cli.connection import opened, settings_of, settled
from eventresults.cli.exits import ExitCode
from eventresults.cli.options import Output, Url, View
from eventresults.cli.output import print_one
from eventresults.cli.terminal import complain, say, to_json, write
from eventresults.domain.events import DataErased
from eventresults.errors import ConfigError
from eventresults.privacy import policy
from eventresults.privacy.guard import Guard
from eventresults.privacy.sealing import make_master_key

app = typer.Typer(no_args_is_help=True, help="Keep private data private: keys, erasing a subject, trying policies out.")

Encrypt = Annotated[
    str | None,
    typer.Option("--encrypt", metavar="FILE", help="The encryption policy; the `encrypt` setting unless given.", show_default=False),
]


@app.command()
def keygen(
    path: Annotated[str, typer.Argument(metavar="FILE", help="Where the key goes.")],
    *,
    url: Url = None,  # noqa: ARG001 - every command takes them
    view: View = None,  # noqa: ARG001
    output: Output = None,
) -> None:
    """Make a master key (or a hash key) of 256 bits in a new file that only you may read."""
    make_master_key(path)
    print_one({"key": path}, output=output)
    say("Keep a copy where the data is not: without this key nothing that it encrypts can be read.")


@app.command()
def erase(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Whose values: as the encryption policy names the subject.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you mean it.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; it is recorded.", show_default=False)] = None,
    encrypt: Encrypt = None,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Destroy a subject's key, for good, and record that: whatever it encrypted is unreadable everywhere. Exit 3 if there is no key.

    Nothing in the log changes, so that signed checkpoints still hold. Values that are recorded of the subject later are erased at once.
    """
    with opened(url, view, encrypt=encrypt) as tracker:
        if tracker.settings.encrypt is None:
            raise ConfigError("Which keys? Give --encrypt FILE, or set `encrypt`.", setting="encrypt")
        if not yes:
            _ask(subject)
        key_id = policy.encryption(tracker.settings.encrypt).keyring.erase(subject)
        recorder = tracker.recorder()
        erased = DataErased(
            # Done again, after a kill say, it counts once.
            event_id=blake2b(f"data-erased {key_id}".encode(), digest_size=16).hexdigest(),
            task_id=f"data-erased-{key_id}",
            time=datetime.now(UTC),
            key_id=key_id,
            reason=reason,
            by=recorder.source,
        )
        at = settled(recorder.append(erased), "the erasure")
    print_one({"key": key_id, "position": str(at)}, output=output)
    say("Copies of the keyring, in backups say, can still bring the values back: delete this key there, too.")


@app.command()
def preview(
    *,
    redact: Annotated[
        str | None,
        typer.Option("--redact", metavar="FILE", help="The redaction policy; the `redact` setting unless given.", show_default=False),
    ] = None,
    encrypt: Encrypt = None,
    url: Url = None,
    view: View = None,
    output: Output = None,  # noqa: ARG001 - every command takes it
) -> None:
    """Show what of events would be recorded: JSON lines (of `events cat`, say) on standard input, the same made private on standard output.

    Nothing is recorded. With an encryption policy, keys of subjects that are new are made.
    """
    settings = settings_of(url, view, redact=redact, encrypt=encrypt)
    guard = Guard(
        redaction=None if settings.redact is None else policy.redaction(settings.redact),
        encryption=None if settings.encrypt is None else policy.encryption(settings.encrypt),
    )
    for number, line in enumerate(sys.stdin.buffer, 1):
        event = _event(number, line)
        subject = str(event.get("task_id") or event.get("group_id") or "")
        write(to_json(guard.fields(str(event.get("kind")), subject, event)))


def _event(number: int, line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        told = None
    event = told.get("event", told) if isinstance(told, dict) else None
    if not isinstance(event, dict):
        raise typer.BadParameter(f"line {number} is no JSON object: give events, one a line")
    return event


def _ask(subject: str) -> None:
    if not sys.stdin.isatty():
        complain("Erasing cannot be undone: say --yes, for there is nobody here to be asked.")
        raise typer.Exit(ExitCode.USAGE)
    typer.confirm(f"Destroy the key of {subject!r}? Nothing brings its values back.", abort=True, err=True)
