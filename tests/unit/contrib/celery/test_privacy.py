"""What Celery stores is redacted and encrypted as any fact is."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery import chord, states
from celery.app.trace import build_tracer

import eventresults
from eventresults.errors import ValueErased
from eventresults.privacy.encryption import Encryption
from eventresults.privacy.keyring import Keyring
from eventresults.privacy.redaction import MARK, Redaction, Rules
from eventresults.privacy.sealing import MasterKey, make_master_key
from tests.support.celery_apps import WORKER, celery_app, history
from tests.support.celerybench import bench

SECRET = "a very private value"


def run(task, *args, **kwargs) -> str:
    """Trace one message of a task as a process of the pool does; the id."""
    task_id = f"id-{task.name}"
    request = {"id": task_id, "hostname": WORKER, "delivery_info": {}, "is_eager": False, "args": args, "kwargs": kwargs}
    build_tracer(task.name, task, app=task.app, hostname=WORKER)(task_id, args, kwargs, request)
    return task_id


def log_of(app) -> str:
    [poll] = app.backend.tracker.log.reader({0: 0}).poll(0).values()
    return "\n".join(record.value.decode() for record in poll.records)


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    make_master_key(tmp_path / "key")
    return Keyring(tmp_path / "keyring", MasterKey.load(tmp_path / "key"))


def test_results_arguments_and_errors_are_redacted():
    redaction = Redaction(keys=["password"], tasks={"login": Rules(paths=["result.card"])})
    with celery_app(redact=redaction) as app:
        app.conf.result_extended = True

        @app.task(name="login", shared=False)
        def login(password, fails=False):
            if fails:
                raise ValueError(f"no login with {password}")
            return {"password": password, "card": 4111, "said": f"hello {password}"}

        # when
        task_id = run(login, password=SECRET)
        # then
        assert app.AsyncResult(task_id).get(timeout=5) == {"password": MARK, "card": MARK, "said": f"hello {MARK}"}
        assert history(app, task_id)[-1].request["kwargs"]["body"] == {"password": MARK}
        # when
        login.name = "login-fails"
        task_id = run(login, password=SECRET, fails=True)
        # then
        assert app.AsyncResult(task_id).state == states.FAILURE
        assert SECRET not in log_of(app)
        assert f"no login with {MARK}" in app.AsyncResult(task_id).traceback


@pytest.mark.parametrize(
    "conf", [{"result_serializer": "pickle", "result_accept_content": ["json", "pickle"]}, {"result_compression": "zlib"}]
)
def test_what_cannot_be_looked_into_is_not_let_through(conf):
    with bench(result_backend_transport_options={"redact": Redaction(keys=["password"])}, **conf) as desk:
        result = desk.echo.delay({"password": SECRET})
        [request] = desk.sent()
        desk.succeed(request, {"password": SECRET})
        assert result.get(timeout=5) == MARK


def test_results_are_encrypted_read_by_both_doors_and_erased(keyring):
    with celery_app(encrypt=Encryption(keyring=keyring, subject="args.0")) as app:
        app.conf.result_extended = True

        @app.task(name="bill", shared=False)
        def bill(customer):
            return {"customer": customer, "note": SECRET}

        @app.task(name="refuse", shared=False)
        def refuse(customer):
            raise ValueError(SECRET)

        billed, refused = run(bill, 7), run(refuse, 7)
        # then nobody sees it in the log
        assert SECRET not in log_of(app)
        # and both doors read it
        assert app.AsyncResult(billed).get(timeout=5) == {"customer": 7, "note": SECRET}
        assert app.AsyncResult(billed).args == [7]
        assert eventresults.AsyncResult(billed, app=app).get(timeout=5)["note"] == SECRET
        for door in (app.AsyncResult(refused), eventresults.AsyncResult(refused, app=app)):
            with pytest.raises(ValueError, match=SECRET):
                door.get(timeout=5)
        # when
        keyring.erase("7")
        # then the states are there, and the values are not
        result = app.AsyncResult(billed)
        assert result.state == states.SUCCESS
        assert isinstance(result.result, ValueErased)
        with pytest.raises(ValueErased):
            app.AsyncResult(refused).get(timeout=5)
        with pytest.raises(ValueErased):
            eventresults.AsyncResult(billed, app=app).get(timeout=5)


def test_a_chord_is_joined_of_encrypted_parts(keyring):
    encryption = Encryption(keyring=keyring, subject="args.0")
    with bench(result_backend_transport_options={"encrypt": encryption}) as desk:
        result = chord([desk.add.s(1, 2), desk.add.s(3, 4)], app=desk.app)(desk.total.s())
        for request in desk.sent():
            desk.succeed(request)
        [body] = desk.sent()
        assert body.args == [[3, 7]]
        desk.succeed(body, 10)
        assert result.get(timeout=5) == 10
