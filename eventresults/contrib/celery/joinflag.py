"""One mark for both libraries: what forbids waiting inside a Celery task forbids it for results of ours, and the other way round.

Tasks of our own executor keep theirs for themselves: Celery's is one for all threads of a process.
"""

from __future__ import annotations

from celery import _state

from eventresults.client.joins import share_flag


class CeleryFlag:
    """Celery's own mark, one for all threads of a process."""

    def get(self) -> bool:
        """Whether waiting is forbidden."""
        return bool(_state.task_join_will_block())

    def set(self, value: bool, /) -> None:
        """Forbid or allow it."""
        _state._set_task_join_will_block(value)  # noqa: SLF001 - as celery.result does


share_flag(CeleryFlag())
