"""What was done and what came of it: of one round, and of all of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

#: Lines of one round's violations that are printed.
TOLD = 20


@dataclass
class Report:
    """One round. `name` (its stage and its seed) has it done again."""

    name: str
    actions: Counter[str] = field(default_factory=Counter)
    #: Who was ended by SIGKILL: "owner", "reader", "writer", "service", "member", "broker".
    kills: Counter[str] = field(default_factory=Counter)
    #: Seconds from each death of an owner until every other reader had an answer to a question asked after it.
    takeovers: list[float] = field(default_factory=list)
    #: The same of an owner that was stopped.
    supersessions: list[float] = field(default_factory=list)
    #: The same of a service or a member that is started again, and of a member whose place others take.
    restarts: list[float] = field(default_factory=list)
    #: How often the view was compared with a fold of its whole log.
    verified: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    records: int = 0
    fired: int = 0
    violations: list[str] = field(default_factory=list)


Print = Callable[[str], None]


def tell(report: Report, say: Print = print) -> None:
    """For people."""
    say(
        f"round {report.name}: {report.records:,} records, {report.fired:,} promises fired, verified {report.verified} times, "
        f"kills: {listed(report.kills)}; done: {listed(report.actions)}"
    )
    for line in timed(report.takeovers, report.supersessions, report.restarts):
        say(f"  {line}")
    if report.errors:
        say(f"  errors met: {listed(report.errors)}")
    for line in report.violations[:TOLD]:
        say(f"  VIOLATION {line}")


def summary(reports: Sequence[Report], say: Print = print) -> bool:
    """Say what came of all rounds; whether all is well."""
    stages = Counter(one.name.partition(":")[0] for one in reports)
    bad = [one.name for one in reports if one.violations]
    say("")
    say(f"{len(reports)} rounds ({listed(stages)}), {sum(one.records for one in reports):,} records appended and compared")
    say(f"{sum(one.fired for one in reports):,} promises fired")
    say(f"views compared with their logs: {sum(one.verified for one in reports)} times")
    say(f"actions: {listed(sum((one.actions for one in reports), Counter()))}")
    kills = sum((one.kills for one in reports), Counter[str]())
    say(f"kills by SIGKILL: {kills.total()} ({listed(kills)})")
    for line in timed(*([seconds for one in reports for seconds in getattr(one, of)] for of in ("takeovers", "supersessions", "restarts"))):
        say(line)
    say(f"errors met, all of ours: {listed(sum((one.errors for one in reports), Counter()))}")
    say(f"violations: {sum(len(one.violations) for one in reports)}" + (f", in the rounds {', '.join(bad)}" if bad else ""))
    return not bad


def timed(takeovers: Sequence[float], supersessions: Sequence[float], restarts: Sequence[float]) -> list[str]:
    said = (
        ("takeover of a dead owner", takeovers),
        ("of a stopped one", supersessions),
        ("service or member gone until all is answered again", restarts),
    )
    return [f"{what}: {len(values)} times, p50 {middle(values):.2f} s, max {max(values):.2f} s" for what, values in said if values]


def listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.most_common()) or "none"


def middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
