"""How an app is set up whose real worker and client are other processes: all of it is said by the environment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

TRANSPORT_ALIASES["files"] = "tests.support.celerybroker:Transport"


def folder() -> Path:
    """Where its broker made of files is, and whatever its tasks leave."""
    return Path(os.environ.get("EVENTRESULTS_TEST_FOLDER", "."))


def made(name: str, **conf: Any) -> Celery:
    """An app of this environment. `EVENTRESULTS_TEST_CONF` (JSON) wins over `conf`."""
    app = Celery(name, broker="files://", backend=os.environ.get("EVENTRESULTS_TEST_BACKEND"))
    app.conf.update(
        broker_transport_options={
            "data_folder_in": str(folder() / "queue"),
            "data_folder_out": str(folder() / "queue"),
            "control_folder": str(folder() / "control"),
            "polling_interval": 0.05,  # seconds; 1 by default
        },
        result_backend_transport_options=json.loads(os.environ.get("EVENTRESULTS_TEST_OPTIONS", "{}")),
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        **{**conf, **json.loads(os.environ.get("EVENTRESULTS_TEST_CONF", "{}"))},
    )
    return app
