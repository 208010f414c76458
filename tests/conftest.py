"""
Fixtures of every test that needs a database, a broker or another login.

``db`` (and ``@pytest.mark.django_db``) is a transaction in the worker's own database, undone
afterwards. Tests of threads, processes, commits and crashes take ``a_fresh_database`` instead: a
copy of the template of their own, dropped afterwards. ``django_db(transaction=True)`` is refused,
for it would empty the rows that migrations wrote.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import connection, connections, transaction
from pytest_django.plugin import DjangoDbBlocker

from tests import broker as brokers
from tests import cluster as clusters

RUN_FOLDER = pytest.StashKey[Path]()
RUN_OWNER = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    given = getattr(config, "workerinput", None)
    if given:
        config.stash[RUN_FOLDER] = Path(given["run_folder"])
        config.stash[RUN_OWNER] = given["run_owner"]
        return
    folder = Path(tempfile.mkdtemp(prefix="trialsite-tests-"))
    folder.chmod(0o711)  # PostgreSQL's own user passes through it
    config.stash[RUN_FOLDER] = folder
    config.stash[RUN_OWNER] = os.getpid()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    node.workerinput["run_folder"] = str(node.config.stash[RUN_FOLDER])
    node.workerinput["run_owner"] = node.config.stash[RUN_OWNER]


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and RUN_FOLDER in config.stash:
        clusters.stop(config.stash[RUN_FOLDER])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        mark = item.get_closest_marker("django_db")
        if mark and mark.kwargs.get("transaction"):
            raise pytest.UsageError(f"{item.nodeid}: take the fixture a_fresh_database instead.")


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> clusters.Cluster:
    """The run's PostgreSQL cluster; its template database is migrated and granted."""
    stash = request.config.stash
    return clusters.the_cluster(stash[RUN_FOLDER], owner=stash[RUN_OWNER])


@pytest.fixture(scope="session")
def django_db_setup(cluster: clusters.Cluster, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Give this worker a database of its own and point Django at it, as the cluster's superuser."""
    name = f"worker_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    cluster.create(name)
    with django_db_blocker.unblock(), _pointed_at(cluster.django_settings(name)):
        yield
    cluster.drop(name)


@contextlib.contextmanager
def _pointed_at(settings: dict[str, object]) -> Iterator[None]:
    """Point Django's connections, those of threads to come too, at another database or login."""
    default = connections.settings["default"]
    before = {name: default[name] for name in settings}
    connections["default"].close()
    default.update(settings)
    try:
        yield
    finally:
        connections["default"].close()
        default.update(before)


@dataclass(frozen=True)
class FreshDatabase:
    """A database of one test; Django's connections lead to it as the superuser."""

    cluster: clusters.Cluster
    name: str

    def url(self, login: str = clusters.SUPERUSER) -> str:
        return self.cluster.url(self.name, login)

    def logged_in_as(self, login: str) -> contextlib.AbstractContextManager[None]:
        """Inside, new connections of every thread log in as that role."""
        return _pointed_at(self.cluster.django_settings(self.name, login))


@pytest.fixture
def a_fresh_database(
    cluster: clusters.Cluster, django_db_blocker: DjangoDbBlocker
) -> Iterator[FreshDatabase]:
    """A copy of the template for tests that commit, in threads or processes; not together with ``db``."""
    fresh = FreshDatabase(cluster=cluster, name=f"fresh_{uuid.uuid4().hex[:12]}")
    cluster.create(fresh.name)
    with django_db_blocker.unblock(), _pointed_at(cluster.django_settings(fresh.name)):
        yield fresh
    cluster.drop(fresh.name)


@pytest.fixture
def as_role() -> Callable[[str], contextlib.AbstractContextManager[None]]:
    """Run code inside the test's transaction with the real privileges of a database role."""

    @contextlib.contextmanager
    def acting_as(role: str) -> Iterator[None]:
        # A refusal by PostgreSQL rolls back to here, and the role with it.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL SESSION AUTHORIZATION {connection.ops.quote_name(role)}")
            yield
            cursor.execute("SET LOCAL SESSION AUTHORIZATION DEFAULT")

    return acting_as


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of this worker's own Redis server, empty at first and kept nowhere."""
    with brokers.a_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def unmasked_face(settings: LazySettings) -> None:
    """The process is the unmasked face: its URLs and its name."""
    settings.FACE = "unmasked"
    settings.ROOT_URLCONF = "trialsite.urls.unmasked"
