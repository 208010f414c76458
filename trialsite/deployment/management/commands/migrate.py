"""
``migrate``, which ends by applying the tables in code: grants, and who may write which audit event.

So no new table is ever left as it was made.
"""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

from trialsite.deployment.grants import apply_grants


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **options)
        if not (options["plan"] or options["check_unapplied"]):
            apply_grants(connections[options["database"]])
