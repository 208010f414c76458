"""Write the pages of docs/reference that are drawn from the code, or check that they are up to date."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from trialsite.deployment.reference import ROOT, pages


class Command(BaseCommand):
    help = "Draw docs/reference from the code. With --check, fail where the files differ."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Change nothing; fail on a difference.")

    def handle(self, *, check: bool, **_options: Any) -> None:
        folder = ROOT / "docs" / "reference"
        stale = []
        for name, text in pages().items():
            path = folder / name
            if path.exists() and path.read_text() == text:
                continue
            stale.append(name)
            if not check:
                path.write_text(text)
        if check and stale:
            raise CommandError(f"Not up to date: {', '.join(stale)}. Run: python manage.py reference_docs")
        self.stdout.write(f"{len(stale)} of the reference pages changed." if stale else "Up to date.")
