"""``changepassword``, refused: it would change an account without an event in the audit trail."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.core.management.base import CommandError


class Command(changepassword.Command):
    help = "Refused; accounts are changed by set_password, which records it."
    requires_migrations_checks = False
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        raise CommandError("Accounts are changed by `manage.py set_password`, which records it.")
