"""The evaluation deployment: one command, everything kept, stopped without a trace."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.deployment.serving import ROOT, Deployment, a_deployment, an_environment, gone

USERS = {
    "investigator", "pharmacist", "nurse", "outcome_assessor", "monitor", "study_manager", "preparer",
    "second_preparer", "statistician", "safety_officer", "emergency_desk", "auditor", "officer_1",
    "officer_2", "officer_3", "administrator", "investigator_2", "preparer_2", "second_preparer_2",
}  # fmt: skip
ARM_OPENING = {"CODE_BREAK_KEY_FILE", "LOG_KEY_FILE"}

A_WEB_PROCESS = [sys.executable, "-m", "gunicorn", "--config", "python:trialsite.deployment.web"]

# One deployment serves this file's tests, in order: they run in one worker.
pytestmark = pytest.mark.xdist_group("serve")


@pytest.fixture(scope="module")
def served():
    with a_deployment() as deployment:
        deployment.start("--capacity", "8")
        yield deployment


def test_the_ready_file_is_for_its_owner_and_says_what_a_client_needs(served: Deployment):
    ready = served.ready

    assert stat.S_IMODE(served.ready_file.stat().st_mode) == 0o600
    assert set(ready) == {
        "masked", "unmasked", "data", "offline_keys", "logs", "database", "broker", "users",
    }  # fmt: skip
    assert set(ready["database"]) == {"owner", "masked", "unmasked", "worker"}
    assert set(ready["users"]) == USERS
    for name, user in ready["users"].items():
        assert {"token", "password", "totp_secret", "role", "site"} <= set(user), name
    assert all(Path(log).exists() for log in ready["logs"])


def test_a_newcomer_is_told_what_to_type_in_a_second_terminal(served: Deployment):
    assert f"In a second terminal: READY={served.ready_file}\n" in served.output.read_text()


@pytest.mark.parametrize("face", ["masked", "unmasked"])
@pytest.mark.parametrize("path", ["/", "/api/v1/docs/"])
def test_the_bare_address_leads_to_its_description(served: Deployment, face, path):
    page = httpx.get(f"{served.ready[face]}{path}", follow_redirects=True)

    assert page.status_code == 200
    assert page.url.path == "/api/v1/docs"


def test_both_faces_answer_their_people(served: Deployment):
    assert served.ask("masked", "me", user="nurse").status_code == 200
    assert served.ask("unmasked", "me", user="preparer").status_code == 200


def test_offline_keys_lie_outside_the_data_and_every_secret_is_closed_to_others(served: Deployment):
    offline = served.data.with_name("data-offline")

    assert str(offline) == served.ready["offline_keys"]
    names = {path.stem for path in offline.glob("*.key")}
    assert names == {
        "auditor-1", "safety-desk-1", "release-1", "release-2", "release-3", "statistician-1",
        "emergency-1",
    }  # fmt: skip
    assert not names & {path.stem for path in served.data.rglob("*.key")}
    for path in (*offline.rglob("*"), *served.data.rglob("*.key"), served.data / "secrets.json"):
        assert not path.stat().st_mode & 0o077, path


def test_each_process_is_given_what_its_face_needs_and_nothing_of_the_others(served: Deployment):
    environments = {name: child.environment for name, child in served.children().items()}

    assert set(environments) == {"postgres", "masked", "unmasked", "signer", "worker"}
    logins = {name: _login(each.get("DATABASE_URL", "")) for name, each in environments.items()}
    assert logins == {
        "postgres": "",
        "masked": "irt_masked",
        "unmasked": "irt_unmasked",
        "signer": "irt_unmasked",
        "worker": "irt_worker",
    }
    assert not ARM_OPENING & set(environments["masked"])
    assert not ARM_OPENING & set(environments["worker"])
    assert "CODE_BREAK_KEY_FILE" not in environments["signer"]
    secrets = [each["SECRET_KEY"] for name, each in environments.items() if name != "postgres"]
    assert len(set(secrets)) == 4
    assert "TRIALSITE_FACE" not in environments["postgres"]


def test_moving_the_clock_runs_the_due_sweeps_before_it_answers(served: Deployment):
    before = served.ask("masked", "evaluation/clock", user="administrator").json()["now"]
    started = time.monotonic()

    answer = served.ask("masked", "evaluation/clock", user="administrator", json={"advance_seconds": 3600})

    assert answer.status_code == 200
    assert answer.json()["now"] > before
    assert time.monotonic() - started < 5


def test_the_readmes_first_day_runs_as_it_is_printed(served: Deployment, tmp_path):
    block = (ROOT / "README.md").read_text().partition("```bash\n")[2].partition("```")[0]
    # The block calls the program where a newcomer stands; what it writes goes elsewhere.
    first_day = block.replace(".venv/bin/python", sys.executable)
    first_day = first_day.replace("manage.py", str(ROOT / "manage.py"))

    day = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=first_day,
        cwd=tmp_path,
        env={**an_environment(), "READY": str(served.ready_file), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert day.returncode == 0, day.stdout + day.stderr
    assert '"status":"given"' in day.stdout
    assert '"kits_given":[{' in day.stdout
    assert day.stdout.rstrip().endswith("verdict: holds, signer not proven")


def test_a_second_service_on_the_same_data_is_refused(served: Deployment):
    second = subprocess.run(
        served.command(), cwd=ROOT, env=an_environment(), check=False, capture_output=True, text=True
    )

    assert second.returncode != 0
    assert "Another service runs" in second.stderr
    assert served.ready_file.exists()


@pytest.mark.parametrize("name", ["masked", "worker", "postgres"])
def test_a_process_that_is_killed_is_started_again(served: Deployment, name):
    killed = served.children()[name]
    orphans = killed.children()
    killed.kill()

    assert gone(orphans)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        again = served.children().get(name, killed)
        if again.pid != killed.pid and _answers(served):
            break
        time.sleep(0.2)

    assert again.pid != killed.pid
    assert _answers(served)
    assert f"{name} died" in served.output.read_text()


def test_a_production_process_refuses_an_evaluations_database(served: Deployment):
    masked = served.children()["masked"].environment
    production = {name: value for name, value in masked.items() if name != "TRIALSITE_EVALUATION"}

    started = subprocess.run(
        A_WEB_PROCESS,
        cwd=ROOT, env=production, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert started.returncode != 0
    assert "The database is an evaluation's" in started.stderr


@pytest.mark.parametrize("name", sorted(ARM_OPENING))
def test_a_masked_process_with_an_arm_opening_key_does_not_start(served: Deployment, name):
    masked = served.children()["masked"].environment
    key = served.data / "keys" / "unmasked" / ("log-1.key" if name.startswith("LOG") else "code-break-1.key")

    started = subprocess.run(
        A_WEB_PROCESS,
        cwd=ROOT, env={**masked, name: str(key)}, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert started.returncode != 0
    assert f"must not be given {name}" in started.stderr


def test_it_stops_cleanly_and_starts_again_with_everything_kept(served: Deployment):
    before = served.ready
    trial = served.ask("masked", "trial", user="monitor").json()
    keys = {path: path.read_bytes() for path in served.data.rglob("*.key")}
    processes = served.everything()

    status = served.stop()

    assert status == 0
    assert not served.ready_file.exists()
    assert gone(processes)
    served.start()
    assert served.ready["users"] == before["users"]
    assert served.ask("masked", "trial", user="monitor").json() == trial
    assert {path: path.read_bytes() for path in served.data.rglob("*.key")} == keys
    assert "Set-up" not in served.output.read_text().rpartition("Stopping.")[2]


def test_a_supervisor_that_is_killed_leaves_nothing_behind_and_its_data_serve_again(served: Deployment):
    before = served.ready
    processes = served.everything()

    served.stop(signal.SIGKILL)

    assert gone(processes)
    served.start()
    assert served.ready["users"] == before["users"]
    assert _answers(served)


def _login(database_url: str) -> str:
    return database_url.partition("//")[2].partition(":")[0]


def _answers(served: Deployment) -> bool:
    try:
        return served.ask("masked", "me", user="nurse").status_code == 200
    except httpx.TransportError:
        return False
