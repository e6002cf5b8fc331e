"""`eventresults audit`: keys, the notary, verifying a log, and proofs of single events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from eventresults.audit import proof as proofs
from eventresults.audit.ledger import Ledger, OpenLedger
from eventresults.audit.notary import EVERY, INTERVAL, Notary
from eventresults.audit.report import Report, check_extends, earlier, signed_report
from eventresults.audit.signing import Signer, load_public, make_key
from eventresults.audit.verify import verify as verify_source
from eventresults.cli.connection import opened
from eventresults.cli.evidence import ledger_folder, position_of, published_in, read_file, signed_chains, source_of, write_json
from eventresults.cli.exits import ExitCode
from eventresults.cli.options import Output, Url, View
from eventresults.cli.output import Format, chosen, print_one, print_rows
from eventresults.cli.progress import Meter
from eventresults.cli.records import record_row
from eventresults.cli.stopping import stopped_by_signals
from eventresults.cli.terminal import complain, say, to_json, write
from eventresults.cli.times import duration
from eventresults.errors import AppendTimeout, LogUnavailable

ArchiveOf = Annotated[
    str | None,
    typer.Option("--archive", metavar="DIR", help="Go by the records of this archive instead of the log's.", show_default=False),
]

#: Seconds that a notary waits for records before it looks around.
POLL = 0.5

app = typer.Typer(no_args_is_help=True, help="Prove that the log was not altered: sign it, verify it, prove single events.")

LedgerFolder = Annotated[
    str | None,
    typer.Option(
        "--ledger", metavar="DIR", help="The ledger's folder: FILE.ledger beside a SQLite log, else ./TOPIC.ledger.", show_default=False
    ),
]
PrivateKey = Annotated[str, typer.Option("--key", metavar="FILE", help="The notary's private key, made by `audit keygen`.")]
PublicKeys = Annotated[
    list[str], typer.Option("--public", metavar="FILE", help="A public key that is trusted (a .pub file); may be repeated.")
]
PublishedAt = Annotated[
    str | None,
    typer.Option("--published", metavar="URL", help="The log that checkpoints are published in, beside the ledger.", show_default=False),
]


@app.command()
def keygen(
    path: Annotated[str, typer.Argument(metavar="FILE", help="Where the private key goes; the public one goes to FILE.pub.")],
    *,
    url: Url = None,  # noqa: ARG001 - every command takes them
    view: View = None,  # noqa: ARG001
    output: Output = None,
) -> None:
    """Make a key to sign with (Ed25519): FILE for the notary alone (0600), FILE.pub for whoever verifies. Replaces nothing."""
    public = make_key(path)
    print_one({"key": public.id, "private": path, "public": f"{path}.pub"}, output=output)


@app.command()
def notary(
    *,
    key: PrivateKey,
    ledger: LedgerFolder = None,
    publish: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Also publish each checkpoint in this log: a topic that others keep.", show_default=False),
    ] = None,
    public: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="The public key of an earlier notary, whose work this one goes on with.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, max=1_000_000, help="Sign a checkpoint after so many records of a partition.")] = EVERY,
    interval: Annotated[
        float, typer.Option(parser=duration, metavar="TIME", help="Sign at the latest after this time: 10s, 1m.", show_default="10s")
    ] = INTERVAL,
    once: Annotated[bool, typer.Option("--once", help="Sign what the log holds now, and end.")] = False,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Follow the log and sign checkpoints of it, until SIGTERM. Exit 1, with the position, if the log is not what was signed before."""
    signer = Signer.load(key)
    keys = {**load_public(public or ()), signer.public.id: signer.public}
    made = 0
    with (
        opened(url, view) as tracker,
        OpenLedger(ledger_folder(ledger, tracker.settings.log)) as kept,
        published_in(publish, keys) as elsewhere,
    ):
        timeout = tracker.settings.connect_timeout
        one = Notary(tracker.log, kept, signer, published=elsewhere, trusted=keys, every=every, interval=interval, timeout=timeout)
        with one:
            positions = one.open()
            say(f"Signing {tracker.url} with the key {signer.public.id} into {kept.folder}.")
            made = _catch_up(one, positions) if once else _follow(one)
            made += len(one.finish())
            rows = [{"partition": number, "from": positions[number], "to": end} for number, end in sorted(one.reached.items())]
    say(f"Signed {made:,} checkpoint(s).")
    print_rows(rows, output=output, columns=("partition", "from", "to"))


@app.command()
def status(*, ledger: LedgerFolder = None, url: Url = None, view: View = None, output: Output = None) -> None:
    """Show how far the log is signed: each partition's last checkpoint, and what came after it. Believes what the ledger says."""
    with source_of(url, view, None) as (source, log):
        signeds = Ledger(ledger_folder(ledger, log)).checkpoints()
    last = {signed.checkpoint.partition: signed for signed in signeds}
    rows = []
    for partition, end in sorted(source.ends.items()):
        signed = last.get(partition)
        one = None if signed is None else signed.checkpoint
        to = source.starts[partition] if one is None else one.next
        row = {"partition": partition, "signed": 0 if one is None else one.size, "to": to, "end": end, "behind": end - to}
        rows.append(row if one is None else {**row, "checkpoint": one.number, "time": one.time, "key": signed and signed.key})
    print_rows(rows, output=output, columns=("partition", "signed", "to", "end", "behind", "checkpoint", "time", "key"))


@app.command()
def verify(
    *,
    public: PublicKeys,
    ledger: LedgerFolder = None,
    published: PublishedAt = None,
    archive: ArchiveOf = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="An earlier signed report: what was signed then must be there still.", show_default=False),
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="FILE", help="A private key to sign the report with, yours perhaps.", show_default=False)
    ] = None,
    report: Annotated[str | None, typer.Option(metavar="FILE", help="Also write the report to this file.", show_default=False)] = None,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Compare the log with the signed checkpoints of it. Exit 1 if it differs, with the first position that does."""
    keys = load_public(public)
    signer = None if key is None else Signer.load(key)
    with source_of(url, view, archive) as (source, log):
        kept = Ledger(ledger_folder(ledger, log))
        chains = signed_chains(source, kept, keys, published)
        if since is not None:
            check_extends(earlier(read_file(since), since, keys), chains, since)
        with Meter("Verifying") as meter:
            found = verify_source(source, chains, ledger=kept, time=datetime.now(UTC).isoformat(), progress=meter)
    whole = signed_report(found, signer)
    if report is not None:
        write_json(report, whole)
    if chosen(output) is Format.TABLE:
        columns = ("partition", "ok", "checkpoints", "signed", "verified", "gone", "unsigned")
        print_rows(whole["report"]["partitions"], output=output, columns=columns)
    else:
        write(to_json(whole, indent=2 if chosen(output) is Format.JSON else None))
    _tell(found)
    if not found.ok:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def prove(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="The event's id, or where it stands (partition:offset).")],
    *,
    public: PublicKeys,
    ledger: LedgerFolder = None,
    published: PublishedAt = None,
    archive: ArchiveOf = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Write the proof to this file instead of printing it.", show_default=False)
    ] = None,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Make a proof that an event stood in the log, for `audit check`. Exit 3 if there is no such event, 1 if it cannot be proven."""
    keys = load_public(public)
    with source_of(url, view, archive) as (source, log):
        kept = Ledger(ledger_folder(ledger, log))
        chains = signed_chains(source, kept, keys, published)
        position = position_of(event_id) or proofs.find(source, event_id)
        if position is None or not source.starts.get(position.partition, 0) <= position.offset < source.ends.get(position.partition, 0):
            complain(f"{source.url} holds no event {event_id}: `eventresults events cat` shows what it holds.")
            raise typer.Exit(ExitCode.NOT_FOUND)
        proof = proofs.prove(source, chains, position, ledger=kept)
    proof.check(keys)
    if out is None:
        write(to_json(proof.as_json(), indent=2 if chosen(output) is Format.JSON else None))
    else:
        write_json(out, proof.as_json())
        say(f"The proof of {position} is in {out}: check it with `eventresults audit check {out} --public FILE`.")


@app.command()
def check(
    path: Annotated[str, typer.Argument(metavar="FILE", help="A proof that `audit prove` made.")],
    *,
    public: PublicKeys,
    url: Url = None,  # noqa: ARG001 - every command takes them
    view: View = None,  # noqa: ARG001
    output: Output = None,
) -> None:
    """Check a proof, without any log: print the event that it proves. Exit 1 if it does not hold, 2 if it is no proof."""
    keys = load_public(public)
    try:
        whole = json.loads(read_file(path))
    except (ValueError, RecursionError):
        raise typer.BadParameter(f"{path} holds no JSON: give the file that `eventresults audit prove --out` wrote") from None
    proof = proofs.Proof.from_json(whole, path)
    proof.check(keys)
    checkpoint = proof.signed.checkpoint
    say(
        f"It holds: the key {proof.signed.key} signed at {checkpoint.time} that this stood at {proof.position} of the log {checkpoint.log}."
    )
    print_one(record_row(proof.partition, proof.record), output=output)


def _catch_up(notary: Notary, positions: Mapping[int, int]) -> int:
    """Sign what the log holds now; the number of checkpoints."""
    ends = notary.ends
    made, total = 0, sum(ends.values()) - sum(positions.values())
    with Meter("Signing") as meter:
        for _ in notary.catch_up(ends):
            made += 1
            meter(sum(notary.reached.values()) - sum(positions.values()), total)
    return made


def _follow(notary: Notary) -> int:
    """Sign until a signal; the number of checkpoints. A log that cannot be reached is told of and tried again."""
    made, told = 0, False
    with stopped_by_signals() as stopped:
        while not stopped.is_set():
            try:
                made += len(notary.step(POLL))
                told = False
            except (LogUnavailable, AppendTimeout) as error:
                if not told:
                    say(f"{error} Trying on.")
                told = True
                stopped.wait(POLL)
    return made


def _tell(report: Report) -> None:
    for one in report.partitions:
        if one.difference is not None:
            say(f"Partition {one.partition}: {one.difference} (checkpoint {one.difference.checkpoint}).")
        if one.gone:
            say(f"Partition {one.partition}: {one.gone:,} signed records are not there: removed by retention, or not archived yet.")
    if report.ok:
        verified, unsigned = (sum(getattr(one, name) for one in report.partitions) for name in ("verified", "unsigned"))
        say(f"Nothing differs in {verified:,} signed records" + (f"; {unsigned:,} not signed yet." if unsigned else "."))
