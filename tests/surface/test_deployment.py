"""The examples of docker/ agree with the code: commands, options, settings, ports and paths; and the programs among them run.

That each is well-formed is what `make check` asks tools for; here is what those cannot know. Nothing here needs a container engine.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from ruamel.yaml import YAML

from eventresults import bootstrap
from eventresults.cli import reference
from eventresults.cli.serve import DEFAULT_PORT
from eventresults.config import Settings
from eventresults.config.load import resolve
from eventresults.service.web.door import HEALTH
from tests.support.views import until

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMMANDS = {tuple(word for word in path.split() if word.islower()): command for path, command in reference.commands()}
DEADLINE = 30.0

if not DOCKER.exists():
    pytest.skip("there are no examples here", allow_module_level=True)


def documents(path: Path) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(path.read_text()))


(COMPOSE,) = documents(DOCKER / "compose.yaml")
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
MANIFESTS = [one for path in sorted((DOCKER / "kubernetes").glob("*.yaml")) for one in documents(path)]
UNIT = (DOCKER / "systemd" / "eventresults.service").read_text()
DOCKERFILE = (DOCKER / "Dockerfile").read_text()


def manifest(kind: str, name: str = "eventresults") -> dict[str, Any]:
    (found,) = [one for one in MANIFESTS if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


(MEMBER,) = manifest("StatefulSet")["spec"]["template"]["spec"]["containers"]


@dataclass(frozen=True)
class Line:
    """A command line of ours, and the environment it is run in."""

    where: str
    words: list[str]
    environ: dict[str, str] = field(default_factory=dict)


def lines() -> Iterator[Line]:
    entry, default, health = (_json(instruction) for instruction in ("ENTRYPOINT", "CMD", r"HEALTHCHECK .*?CMD"))
    image = dict(re.findall(r"(\w+)=(\S+)", re.search(r"^ENV (.*?[^\\])$", DOCKERFILE, re.DOTALL | re.MULTILINE)[1]))
    yield Line("Dockerfile", [*entry, *default], image)
    yield Line("Dockerfile HEALTHCHECK", health, image)
    for name, service in OURS.items():
        environ = {**image, **service["environment"]}
        test = service["healthcheck"].get("test")
        if test:
            assert test[0] == "CMD"
            yield Line(f"compose {name} healthcheck", test[1:], environ)
        if "entrypoint" not in service:
            yield Line(f"compose {name}", [*entry, *service["command"]], environ)
    environ = manifest("ConfigMap")["data"] | {one["name"]: one.get("value", "eventresults-0") for one in MEMBER["env"]}
    arguments = [re.sub(r"\$\((\w+)\)", lambda found: environ[found[1]], one) for one in MEMBER["args"]]
    yield Line("Kubernetes", [*entry, *arguments], {**image, **environ})
    start = shlex.split(re.search(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)[1])
    yield Line("systemd", [Path(start[0]).name, *start[1:]], dict(re.findall(r"^Environment=(\w+)=(.*)$", UNIT, re.MULTILINE)))
    for path in sorted(DOCKER.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            for number, shown in enumerate(re.findall(r"^# +(eventresults .*)$", path.read_text(), re.MULTILINE), 1):
                yield Line(f"comment {number} in {path.name}", shlex.split(shown))


def _json(instruction: str) -> list[str]:
    return json.loads(re.search(rf"^{instruction} (\[.*\])$", DOCKERFILE, re.MULTILINE)[1])


LINES = list(lines())


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """No settings but those of the example."""
    for name in list(os.environ):
        if name.startswith("EVENTRESULTS_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def parse(words: list[str]) -> None:
    assert words[0] == "eventresults"
    if words[1:] == ["--help"]:
        return
    size = 1 if tuple(words[1:2]) in COMMANDS else 2
    command = COMMANDS[tuple(words[1 : 1 + size])]
    command.make_context(" ".join(words[: 1 + size]), words[1 + size :])


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.where)
def test_every_command_of_the_examples_exists_with_its_options(line, bare):
    for name, value in line.environ.items():
        if name.startswith("EVENTRESULTS_"):
            bare.setenv(name, value)
    parse(line.words)


def test_a_wrong_option_would_be_found(bare):
    with pytest.raises(typer.TyperException):
        parse(["eventresults", "serve", "--hosts", "0.0.0.0"])
    with pytest.raises(typer.TyperException):
        parse(["eventresults", "serve", "--port", "http"])


@pytest.mark.parametrize("line", [line for line in LINES if line.environ], ids=lambda line: line.where)
def test_every_variable_of_the_examples_is_a_setting_and_takes_its_value(line, bare):
    # given
    options = {parameter.envvar for name in ("serve", "healthcheck") for parameter in COMMANDS[name,].params if parameter.envvar}
    ours = {name: value for name, value in line.environ.items() if name.startswith("EVENTRESULTS_")}

    # when / then
    assert ours
    assert ours.keys() - options <= {f"EVENTRESULTS_{name.upper()}" for name in Settings.model_fields}
    settings = resolve(None, {}, ours)
    assert settings.sources["view"] == "EVENTRESULTS_VIEW"


@pytest.mark.parametrize("name", ["worker", "client"])
def test_the_settings_of_the_programs_are_settings(name, bare):
    environ = OURS[name]["environment"]
    settings = resolve(None, {}, environ)
    assert {f"EVENTRESULTS_{one.upper()}" for one, source in settings.sources.items() if source != "default"} == environ.keys()


def test_names_within_the_composition_are_of_it():
    services = COMPOSE["services"]
    for name, service in services.items():
        assert service.get("depends_on", {}).keys() <= services.keys(), name
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert (DOCKER / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"], f"{name}: {mount}"
    assert OURS["client"]["environment"]["EVENTRESULTS_VIEW"] == f"http://projector:{DEFAULT_PORT}"
    assert OURS["worker"]["environment"]["EVENTRESULTS_OUTBOX"].startswith("/var/lib/eventresults/")
    (listener,) = re.findall(r"INSIDE://(kafka:\d+)", services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"])
    assert OURS["projector"]["environment"]["EVENTRESULTS_URL"].startswith(f"kafka://{listener}/")


@pytest.mark.parametrize("name", OURS)
def test_each_container_of_ours_may_do_as_little_as_it_can(name):
    service = OURS[name]
    assert service["read_only"]
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service
    assert re.search(r"^USER (\d+):\1$", DOCKERFILE, re.MULTILINE)[1] != "0"


def test_what_the_image_is_built_of_is_here_and_sent_to_the_builder():
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    sources = [source for found in re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE) for source in found.split()]
    assert "eventresults" in sources
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in sent


def test_every_port_is_the_services_own():
    assert OURS["projector"]["ports"] == [f"127.0.0.1:{DEFAULT_PORT}:{DEFAULT_PORT}"]
    assert MEMBER["ports"] == [{"name": "http", "containerPort": DEFAULT_PORT}]
    services = [one for one in MANIFESTS if one["kind"] == "Service"]
    assert [one["spec"]["ports"] for one in services] == [[{"name": "http", "port": DEFAULT_PORT, "targetPort": "http"}]] * 2
    numbers = {int(port) for path in DOCKER.rglob("*") if path.is_file() for port in re.findall(r":(8\d{3})\b", path.read_text("latin-1"))}
    assert numbers == {DEFAULT_PORT}


def test_the_members_of_the_set_are_found_by_their_names():
    stateful = manifest("StatefulSet")["spec"]
    labels = stateful["template"]["metadata"]["labels"]
    assert stateful["selector"]["matchLabels"] == labels == manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    assert all(one["spec"]["selector"] == labels for one in MANIFESTS if one["kind"] == "Service")
    headless = manifest("Service")["spec"]
    assert headless["clusterIP"] == "None"
    assert stateful["serviceName"] == "eventresults"
    assert f"--advertise=http://$(POD_NAME).{stateful['serviceName']}:{DEFAULT_PORT}" in MEMBER["args"]
    settings = resolve(manifest("ConfigMap")["data"]["EVENTRESULTS_URL"], {}, {})
    assert f"--group={bootstrap.group_name(settings)}" in MEMBER["args"]  # what a reader asks for, told nothing


def test_what_a_member_mounts_is_declared_and_where_it_looks():
    spec = manifest("StatefulSet")["spec"]
    volumes = {one["name"] for one in [*spec["template"]["spec"]["volumes"], *(t["metadata"] for t in spec["volumeClaimTemplates"])]}
    mounts = {one["mountPath"]: one["name"] for one in MEMBER["volumeMounts"]}
    environ = {one["name"]: one.get("value") for one in MEMBER["env"]}
    assert set(mounts.values()) == volumes
    assert mounts[str(Path(environ["EVENTRESULTS_VIEW"]).parent)] == "view"
    file = Path(environ["EVENTRESULTS_TOKEN_FILE"])
    assert mounts[str(file.parent)] == "token"
    assert file.name in manifest("Secret")["stringData"]
    assert "/tmp" in mounts
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert MEMBER["image"].endswith(f":{version}")


def test_a_catching_up_member_is_not_ended_for_it():
    paths = {name: MEMBER[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert set(paths.values()) == HEALTH  # asked for no token


def test_the_token_that_must_be_edited_is_refused_as_it_is(environment, tmp_path):
    (tmp_path / "token").write_text(manifest("Secret")["stringData"]["token"])
    environment["EVENTRESULTS_TOKEN_FILE"] = str(tmp_path / "token")
    done = subprocess.run(
        [*EVENTRESULTS, "serve", "--host", "0.0.0.0", "--port", "0"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.returncode == 78
    assert "holds no token" in done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_the_unit_and_thinks_well_of_it(tmp_path):
    # given: a command that is here
    unit = tmp_path / "eventresults.service"
    unit.write_text(UNIT.replace("/opt/eventresults/bin/eventresults", sys.executable))
    assert unit.read_text() != UNIT

    # when
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=DEADLINE, check=False
    )

    # then
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )  # of 100, the worst
    assert rated.returncode == 0, rated.stdout


EVENTRESULTS = [sys.executable, "-c", "from eventresults.cli import main; main()"]


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("EVENTRESULTS_", "NOTIFY_", "WATCHDOG_"))}
    return {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "HOME": str(tmp_path),
        "EVENTRESULTS_URL": f"sqlite:///{tmp_path}/events.db",
        "EVENTRESULTS_TOKEN": "for-this-test",
    }


@pytest.fixture
def start(tmp_path, environment) -> Iterator:
    running: list[subprocess.Popen[str]] = []

    def begin(name: str, *command: str, **more: str) -> subprocess.Popen[str]:
        with (tmp_path / f"{name}.log").open("w") as stderr:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=tmp_path, env={**environment, **more})
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate(timeout=DEADLINE)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_the_client_sees_through_the_projector_what_the_worker_does(start, tmp_path, environment):
    # given
    projector = start("projector", *EVENTRESULTS, "serve", "--host", "0.0.0.0", "--port", "0", EVENTRESULTS_VIEW=f"{tmp_path}/view")
    log = tmp_path / "projector.log"
    until(lambda: '"serving ' in log.read_text() or projector.poll() is not None, timeout=DEADLINE)
    port = re.search(r'"serving \S+ at http://0\.0\.0\.0:(\d+)"', log.read_text())[1]
    service = f"http://127.0.0.1:{port}"
    until(lambda: all(answers(service + path) for path in HEALTH), timeout=DEADLINE)
    checked = subprocess.run(
        [*EVENTRESULTS, "healthcheck"],
        env={**environment, "EVENTRESULTS_SERVE_URL": service}, capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr

    # when
    worker = start("worker", sys.executable, str(DOCKER / "worker.py"), EVENTRESULTS_OUTBOX=f"{tmp_path}/outbox")
    client = start("client", sys.executable, str(DOCKER / "client.py"), "12", EVENTRESULTS_VIEW=service)
    seen, _ = client.communicate(timeout=DEADLINE * 2)

    # then
    assert client.returncode == 0, (tmp_path / "client.log").read_text()
    assert len(set(seen.splitlines())) == 12
    line = re.compile(r".* (SUCCESS {'width': \d+|FAILURE .*is cut off).* \(task-sent task-started task-(succeeded|failed)\)")
    assert [one for one in seen.splitlines() if not line.fullmatch(one)] == []
    assert " FAILURE " in seen
    for process, name in ((worker, "worker"), (projector, "projector")):
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0, (tmp_path / f"{name}.log").read_text()
    assert (tmp_path / "worker.log").read_text() == (tmp_path / "client.log").read_text() == ""
    waiting = subprocess.run(
        [*EVENTRESULTS, "outbox", "status", "-o", "json"],
        env={**environment, "EVENTRESULTS_OUTBOX": f"{tmp_path}/outbox"}, capture_output=True, text=True, timeout=DEADLINE, check=True,
    )  # fmt: skip
    assert json.loads(waiting.stdout or "[]") == []


def test_a_client_that_sees_too_little_says_so_and_fails(start, environment, tmp_path):
    client = start("client", sys.executable, str(DOCKER / "client.py"), "3", "--timeout", "0.3", EVENTRESULTS_VIEW=f"{tmp_path}/view")
    assert client.wait(DEADLINE) == 1
    assert "0 of 3 results came" in (tmp_path / "client.log").read_text()
