"""What the evaluation's service refuses before it starts anything, and how it is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.deployment.serving import ROOT, an_environment
from trialsite.deployment import serve, supervisor
from trialsite.deployment.evaluation import Evaluation
from trialsite.deployment.processes import PortUnusable, a_free_port, refuse_ports_in_use
from trialsite.deployment.serve import Stopped
from trialsite.deployment.supervisor import Child, DiesRepeatedly, Supervisor


@pytest.fixture
def never_starts(monkeypatch):
    """Fail if the service comes as far as PostgreSQL."""

    def started(*_args, **_options):
        pytest.fail("PostgreSQL was looked for.")

    monkeypatch.setattr(serve, "Postgres", started)


def serve_on(data: Path, **options):
    call_command("serve", data=data, ready_file=data.with_name("ready.json"), **options)


def an_evaluation(data: Path) -> Evaluation:
    return Evaluation(data=data, trial_file=Path("trial.toml"))


@pytest.mark.parametrize("face", ["masked", "unmasked"])
def test_a_port_in_use_is_named_before_anything_starts(tmp_path, never_starts, face):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(CommandError) as refused:
            serve_on(tmp_path / "data", **{f"{face}_port": port})

    assert str(refused.value) == (
        f"Port {port} is in use: stop what uses it, or give another (--{face}-port)."
    )


def test_one_port_is_not_enough_for_two_faces():
    port = a_free_port()

    with pytest.raises(PortUnusable, match="--unmasked-port"):
        refuse_ports_in_use({"masked": port, "unmasked": port})


def test_ports_that_are_free_or_left_to_choice_are_taken():
    refuse_ports_in_use({"masked": a_free_port(), "unmasked": None})


def test_a_number_that_is_no_port_is_refused():
    with pytest.raises(PortUnusable, match="no port 70000"):
        refuse_ports_in_use({"masked": 70000})


def test_a_folder_of_something_else_is_left_alone(tmp_path, never_starts):
    (tmp_path / "thesis.tex").write_text("mine")

    with pytest.raises(CommandError, match="not empty and no deployment's"):
        serve_on(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("sign", [None, "serve.lock", "set-up.json"])
def test_an_empty_folder_or_one_of_a_deployment_is_taken(tmp_path, sign):
    if sign:
        (tmp_path / sign).touch()
        (tmp_path / "keys").mkdir()

    an_evaluation(tmp_path).make_data_folder()


def test_a_data_folder_that_is_a_file_is_refused_in_words(tmp_path, never_starts):
    (tmp_path / "data").write_text("a file")

    with pytest.raises(CommandError, match=r"data cannot be used: Not a directory"):
        serve_on(tmp_path / "data")


def test_a_ready_file_that_cannot_be_written_is_refused_at_once(tmp_path, never_starts):
    with pytest.raises(CommandError, match=r"nowhere cannot be used: No such file or directory"):
        call_command("serve", data=tmp_path / "data", ready_file=tmp_path / "nowhere" / "ready.json")


def test_the_lock_is_there_before_the_secrets_so_that_a_start_cut_short_is_known_again(tmp_path, monkeypatch):
    def cut_short(_self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Evaluation, "make_folders", cut_short)

    with pytest.raises(KeyboardInterrupt), serve._only_one(an_evaluation(tmp_path / "data")):
        pass

    assert [path.name for path in (tmp_path / "data").iterdir()] == ["serve.lock"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_each_signal_stops_once_and_the_next_changes_nothing(number):
    # As in a terminal: a run under nohup or in the background comes with signals ignored, and the
    # service respects that.
    inherited = {each: signal.signal(each, signal.SIG_DFL) for each in serve.SIGNALS}
    before = {each: signal.getsignal(each) for each in serve.SIGNALS}
    stopped = []

    with serve._signals():
        try:
            signal.raise_signal(number)
        except Stopped as stop:
            stopped.append(str(stop))
            for again in serve.SIGNALS:
                signal.raise_signal(again)

    after = {each: signal.getsignal(each) for each in serve.SIGNALS}
    for each, handler in inherited.items():
        signal.signal(each, handler)
    assert stopped == [number.name]
    assert after == before


def test_a_service_that_was_started_to_outlive_its_terminal_does():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with serve._signals():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_face_whose_process_is_dead_is_not_ready_whoever_answers_on_its_port(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "_answers", lambda _url: True)
    evaluation = an_evaluation(tmp_path)
    evaluation.ports["masked"] = 8000
    watched = Supervisor(postgres=None)
    child = Child("masked", ["-c", "import time; time.sleep(60)"], dict(os.environ), tmp_path / "log")
    watched.start(child)
    alive = serve._is_ready(evaluation, watched, "masked")

    child.process.kill()
    child.process.wait()

    assert alive
    assert not serve._is_ready(evaluation, watched, "masked")


def test_who_dies_again_and_again_is_named_with_its_log(caplog):
    deaths: deque[float] = deque(maxlen=supervisor.DEATHS)

    def dies() -> None:
        supervisor._count(deaths, "masked", "exit status 3", Path("logs/masked.log"))

    for _ in range(supervisor.DEATHS - 1):
        dies()

    with pytest.raises(DiesRepeatedly, match=r"masked died .* see logs/masked\.log"):
        dies()

    assert "masked died (exit status 3) and is started again; see logs/masked.log." in caplog.text


def test_who_acts_before_anything_is_served_is_told_what_to_do(tmp_path):
    with pytest.raises(CommandError, match="run `make serve` first"):
        call_command("evaluation_user", "nurse", ready_file=tmp_path / "ready.json")


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        (["createsuperuser", "--noinput", "--username", "eve"], "create_user"),
        (["changepassword", "nurse"], "set_password"),
    ],
)
def test_djangos_own_account_commands_are_refused(command, instead):
    ended = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT, env=an_environment(), check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert ended.returncode != 0
    assert f"manage.py {instead}" in ended.stderr


def test_make_takes_a_folder_with_a_space_and_a_slash():
    said = subprocess.run(
        ["make", "--dry-run", "serve", "DATA=/tmp/a b/", "MASKED_PORT=8100"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip

    assert '--data "/tmp/a b" --ready-file "/tmp/a b.ready.json"' in said
    assert "--masked-port 8100 --unmasked-port 8001" in said
