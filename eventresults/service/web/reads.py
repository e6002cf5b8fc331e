"""REST: one task, its history, a page of tasks, many tasks at once, one group."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from eventresults.codec.ids import key_of
from eventresults.codec.readable import brief_row, fact_row, group_row, task_row
from eventresults.service.web.answers import answer, encoded
from eventresults.service.web.limits import Limits
from eventresults.service.web.problems import Refused, unknown, wrong
from eventresults.service.web.query import check_names, moment, newness, page_size, subject_of
from eventresults.service.web.questions import Questions
from eventresults.view.base import ViewReader

NEWNESS = ("freshness", "timeout")


class Reads:
    """The endpoints that ask the view once."""

    def __init__(self, reader: ViewReader, questions: Questions, limits: Limits) -> None:
        self._reader = reader
        self._questions = questions
        self._limits = limits

    async def task(self, request: Request) -> Response:
        """What is known of one task."""
        check_names(request, NEWNESS)
        task_id, how = subject_of(request), newness(request, self._limits)

        def read() -> bytes:
            meta = self._reader.get(task_id, **how)
            if meta is None:
                raise unknown("task", task_id)
            return encoded(task_row(meta))

        return answer(await self._questions.ask(read))

    async def history(self, request: Request) -> Response:
        """Every fact of one task or group that the view holds, oldest first."""
        check_names(request, NEWNESS)
        subject, how = subject_of(request), newness(request, self._limits)

        def read() -> bytes:
            facts = self._reader.history(subject, **how)
            if not facts:
                raise unknown("task", subject)
            return encoded({"items": [fact_row(fact) for fact in facts]})

        return answer(await self._questions.ask(read))

    async def group(self, request: Request) -> Response:
        """What is known of one group."""
        check_names(request, NEWNESS)
        group_id, how = subject_of(request), newness(request, self._limits)

        def read() -> bytes:
            meta = self._reader.group(group_id, **how)
            if meta is None:
                raise unknown("group", group_id)
            return encoded(group_row(meta))

        return answer(await self._questions.ask(read))

    async def tasks(self, request: Request) -> Response:
        """A page of tasks, newest first, in brief."""
        check_names(request, (*NEWNESS, "state", "name", "since", "until", "limit", "cursor"))
        asked = request.query_params
        since, until = moment(request, "since"), moment(request, "until")
        limit, how = page_size(request, self._limits), newness(request, self._limits)

        def read() -> bytes:
            page = self._reader.recent(
                state=asked.get("state"),
                name=asked.get("name"),
                since=since,
                until=until,
                limit=limit,
                cursor=asked.get("cursor"),
                **how,
            )
            return encoded({"items": [brief_row(meta) for meta in page.items], "next_cursor": page.cursor})

        return answer(await self._questions.ask(read))

    async def batch(self, request: Request) -> Response:
        """What is known of many tasks: by id, null for those of which nothing is."""
        check_names(request, NEWNESS)
        how = newness(request, self._limits)
        ids = self._ids(await body_of(request, self._limits))

        def read() -> bytes:
            metas = self._reader.get_many(ids, **how)
            return encoded({"tasks": {one: None if meta is None else task_row(meta) for one, meta in metas.items()}})

        return answer(await self._questions.ask(read))

    def _ids(self, body: bytes) -> list[str]:
        try:
            ids: Any = json.loads(body)["ids"]
        except (ValueError, KeyError, TypeError, RecursionError):
            ids = None
        if not (isinstance(ids, list) and 1 <= len(ids) <= self._limits.batch and all(isinstance(one, str) for one in ids)):
            raise wrong("body", f'write {{"ids": […]}} with 1 to {self._limits.batch:,} ids')
        for one in ids:
            key_of(one)
        return ids


async def body_of(request: Request, limits: Limits) -> bytes:
    """The body, read no further than the limit, and no longer."""
    body = bytearray()
    try:
        async with asyncio.timeout(limits.request_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.body:
                    detail = f"A request may take {limits.body:,} bytes: ask in parts."
                    raise Refused(413, "body-too-large", "The body is too large", detail, limit=limits.body)
    except TimeoutError:
        detail = f"The body did not come within {limits.request_seconds:g} s."
        raise Refused(408, "too-slow", "The request took too long", detail, headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise wrong("body", "the client left before it was sent") from None
    return bytes(body)
