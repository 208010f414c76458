"""Apply the table of grants to the database."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection

from trialsite.deployment.grants import apply_grants


class Command(BaseCommand):
    help = "Take every privilege from every login, then grant what trialsite.deployment.grants says."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        apply_grants(connection)
        self.stdout.write("Grants applied.")
