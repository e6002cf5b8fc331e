"""REST: the states of projections."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from eventresults.client.projected import ProjectionReader
from eventresults.service.web.answers import answer, encoded
from eventresults.service.web.limits import Limits
from eventresults.service.web.problems import Refused
from eventresults.service.web.query import check_names, key_in, newness, page_size, subject_of
from eventresults.service.web.questions import Questions
from eventresults.view.base import ViewReader

NEWNESS = ("freshness", "timeout")


class ProjectionReads:
    """The endpoints that ask a projection once."""

    def __init__(self, reader: ViewReader, questions: Questions, limits: Limits) -> None:
        self._reader = reader
        self._questions = questions
        self._limits = limits

    async def state(self, request: Request) -> Response:
        """The state of one key."""
        check_names(request, NEWNESS)
        name, key, how = subject_of(request), key_in(request), newness(request, self._limits)

        def read() -> bytes:
            found = ProjectionReader(self._reader, name).get_many([key], **how)
            if key not in found:
                raise Refused(404, "unknown-key", "No such key", f"The projection {name!r} has no state of {key!r}.", key=key)
            return encoded({"key": key, "state": found[key]})

        return answer(await self._questions.ask(read))

    async def page(self, request: Request) -> Response:
        """Keys in order, each with its state."""
        check_names(request, (*NEWNESS, "prefix", "after", "limit"))
        asked = request.query_params
        name, limit, how = subject_of(request), page_size(request, self._limits), newness(request, self._limits)

        def read() -> bytes:
            page = ProjectionReader(self._reader, name).page(prefix=asked.get("prefix", ""), after=asked.get("after"), limit=limit, **how)
            return encoded({"items": [{"key": key, "state": state} for key, state in page.items], "next_after": page.after})

        return answer(await self._questions.ask(read))
