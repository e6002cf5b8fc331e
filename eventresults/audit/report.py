"""What verifying found, and its signed form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from eventresults.audit.checkpoint import canonical, corrupt
from eventresults.audit.interval import Difference
from eventresults.audit.signing import PublicKey, Signer
from eventresults.audit.succession import Chain
from eventresults.errors import ChainBroken

WHAT: Final = "report"


@dataclass(frozen=True, kw_only=True)
class PartitionReport:
    """What was found of one partition.

    `signed` records are vouched for by `checkpoints`; of them `verified` were read, from offset `start` to before `end`, and `gone` were
    not: the log holds them no longer, an archive not yet, or there is not enough of their stretch. `unsigned` records came after the
    last checkpoint. `difference` is the first that differs.
    """

    partition: int
    checkpoints: int
    signed: int
    verified: int = 0
    gone: int = 0
    unsigned: int = 0
    start: int = 0
    end: int = 0
    head: str = ""
    difference: Difference | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return self.difference is None


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found of a log. `time` is ISO 8601, `keys` are the ids of those that signed its checkpoints."""

    log: str | None
    url: str
    time: str
    keys: Sequence[str]
    partitions: Sequence[PartitionReport]

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return all(one.ok for one in self.partitions)

    def as_json(self) -> dict[str, Any]:
        """It as plain data."""
        partitions = []
        for one in self.partitions:
            row = asdict(one)
            row["ok"] = one.ok
            row["difference"] = None if one.difference is None else {**one.difference._asdict(), "what": str(one.difference)}
            partitions.append(row)
        return {"log": self.log, "url": self.url, "time": self.time, "keys": list(self.keys), "ok": self.ok, "partitions": partitions}


def signed_report(report: Report, signer: Signer | None) -> dict[str, Any]:
    """The report as plain data, signed where there is a key to sign it with."""
    whole = report.as_json()
    if signer is None:
        return {"report": whole}
    return {"report": whole, "key": signer.public.id, "signature": signer.sign(WHAT, canonical(whole))}


def earlier(text: bytes, place: str, keys: Mapping[str, PublicKey]) -> dict[str, Any]:
    """A report that was signed earlier. Raises `LedgerCorrupt` unless one of these keys signed it."""
    try:
        whole = json.loads(text)
        report, key, signature = whole["report"], whole["key"], whole["signature"]
        told = canonical(report)
        held = key in keys and keys[key].signed(WHAT, told, signature)
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
        raise corrupt(place, "it is no signed report of `eventresults audit verify --key`") from None
    if not held:
        raise corrupt(place, f"the report is not signed by one of the trusted keys: {', '.join(sorted(keys)) or 'none'}")
    return dict(report)


def check_extends(report: Mapping[str, Any], chains: Mapping[int, Chain], place: str) -> None:
    """Raise `ChainBroken` unless these checkpoints go on from what an earlier report saw: nothing signed then was taken back since."""
    for then in report["partitions"]:
        if not then["signed"]:
            continue
        chain = chains.get(then["partition"], Chain([], []))
        heads = {one.checkpoint.size: one.checkpoint.head for one in chain.signed}
        if heads.get(then["signed"]) != then["head"]:
            raise ChainBroken(
                f"The report {place} saw {then['signed']:,} signed records in partition {then['partition']}, and the checkpoints here end "
                "before, or are others: log and ledger were rolled back together.",
                partition=then["partition"],
                offset=then["end"],
                reason="rolled-back",
            )
