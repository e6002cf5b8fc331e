"""What is answered: JSON that anything can read."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response


def encoded(value: Any) -> bytes:
    """A value as JSON, in ASCII, so that no recorded text can break what carries it."""
    return json.dumps(value, separators=(",", ":"), default=str).encode()


def answer(body: bytes, *, status: int = 200) -> Response:
    """JSON that was encoded already, where encoding it held nobody up. Never cached: the view moves."""
    return Response(body, status_code=status, headers={"Cache-Control": "no-store"}, media_type="application/json")
