"""Is everything there that a request may need?"""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor

from trialsite.audit.services import GenesisMissing, genesis
from trialsite.errors import Refused
from trialsite.keyfiles import KeyFileError, read_key_file

_KEYS = ("CODE_BREAK_KEY_FILE", "LOG_KEY_FILE", "IDENTITY_KEY_FILE", "FACTOR_KEY_FILE")
# Without these a face can do half of its work only.
_NEEDED = {
    "masked": ("IDENTITY_KEY_FILE", "FACTOR_KEY_FILE"),
    "unmasked": ("CODE_BREAK_KEY_FILE", "LOG_KEY_FILE", "FACTOR_KEY_FILE"),
}


class NotReady(Refused):
    """Something that requests need is missing; the detail names it, and no path or address."""

    code = "not_ready"
    status = 503


def check() -> None:
    """
    :raises NotReady: naming the first thing that is missing.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        _check_migrations()
        genesis()
    except GenesisMissing:
        raise NotReady("The trail has no genesis event.") from None
    except Error:
        raise NotReady("The database does not answer.") from None
    for name in _KEYS:
        _check_key(name)


@cache
def _check_migrations() -> None:
    """Remembered once true: a later version's migrations come with a later process."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise NotReady("Migrations are waiting.")


def _check_key(name: str) -> None:
    path = getattr(settings, name)
    if not path:
        if name in _NEEDED.get(settings.FACE, ()):
            raise NotReady(f"{name} is not set.")
        return
    try:
        read_key_file(path)
    except KeyFileError:
        raise NotReady(f"The key of {name} cannot be read.") from None
