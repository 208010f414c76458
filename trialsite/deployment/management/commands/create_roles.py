"""Make the database, its roles and their logins in a cluster that is run by someone else."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from django.core.management.base import BaseCommand, CommandError
from environ import FileAwareEnv

from trialsite.deployment import roles


class Command(BaseCommand):
    help = "Make roles and database, as the superuser of SUPERUSER_DATABASE_URL. Changes nothing twice."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "logins",
            nargs="+",
            type=Path,
            help="Files, each with the DATABASE_URL of one login, password included.",
        )

    def handle(self, *, logins: list[Path], **_options: Any) -> None:
        superuser = FileAwareEnv().str("SUPERUSER_DATABASE_URL").strip()
        urls = [urlsplit(file.read_text().strip()) for file in logins]
        passwords = {url.username or "": unquote(url.password or "") for url in urls}
        names = {url.path.lstrip("/") for url in urls}
        if set(passwords) != set(roles.LOGINS) or len(names) != 1 or not all(passwords.values()):
            raise CommandError(
                f"One address is needed for each of {', '.join(roles.LOGINS)}, of one database."
            )
        (name,) = names
        with psycopg.connect(superuser, autocommit=True) as connection:
            roles.create_roles(connection, passwords=passwords)
            roles.create_database(connection, name=name)
        with psycopg.connect(superuser, dbname=name, autocommit=True) as connection:
            roles.close_schema(connection)
        self.stdout.write(f"The roles of {name} are as they should be.")
