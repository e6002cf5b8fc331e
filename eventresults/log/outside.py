"""What a log says when it is asked for what it does not hold."""

from __future__ import annotations

from eventresults.errors import TopicMisconfigured, ViewStale


def outside(url: str, partition: int, position: int, *, start: int, end: int) -> ViewStale:
    """The error for a reader whose position is not within start <= position <= end of that partition."""
    if position < start:
        why = f"{url} now begins at {partition}:{start}, after {partition}:{position}: retention removed what lay between"
    elif position <= end:
        why = f"{url} no longer holds what came before {partition}:{position}: it lost its tail, or is another log than before"
    else:
        why = f"{url} ends at {partition}:{end}, before {partition}:{position}: it lost its tail, or is another log than before"
    return ViewStale(
        f"{why}. A view that stands there cannot go on: rebuild it (`eventresults view rebuild`)",
        partition=partition,
        position=position,
        start=start,
        end=end,
        lag=max(0, end - position),
        eta=None,
        reason="before-start" if position < start else "replaced" if position <= end else "past-end",
    )


def no_such_partition(url: str, partition: int, partitions: int) -> TopicMisconfigured:
    """The error for a partition that the log does not have."""
    return TopicMisconfigured(
        f"{url} has {partitions} partitions, and no partition {partition}: ask `info` how many there are",
        topic=url,
        problems=[f"no partition {partition}"],
    )


def recreated(url: str, partition: int, position: int, *, was: str, now: str) -> ViewStale:
    """The error for a reader whose topic was deleted and created again."""
    return ViewStale(
        f"{url} was deleted and created again (its id was {was}, and is {now}): what the view holds came from the old one. Rebuild it "
        "(`eventresults view rebuild`)",
        partition=partition,
        position=position,
        start=None,
        end=None,
        lag=None,
        eta=None,
        reason="recreated",
    )
