"""
Acts at the command line carry the name and signature of a person.

    parser: command_line.add_arguments(parser)
    handle: by = command_line.signer(options)

The password and the one-time code are asked for, or read from ``--signature-file`` (two lines; ``-``
is standard input). They are never arguments: those show in the list of processes.
"""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from trialsite.accounts.models import Site, User
from trialsite.accounts.roles import Role
from trialsite.accounts.services.factors import Purpose
from trialsite.accounts.services.signatures import verify_signature
from trialsite.clock.services import real_now
from trialsite.errors import Refused

OPERATOR = "system:operator"


class PersonalCommand(BaseCommand):
    """A command by which a person acts: a refusal is told in its own words, without a traceback."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except Refused as refusal:
            raise CommandError(f"{refusal} ({refusal.code})") from refusal


def add_arguments(parser: ArgumentParser) -> None:
    """Add ``--by`` and ``--signature-file``."""
    parser.add_argument("--by", metavar="USER", help="The person who does this and signs for it.")
    parser.add_argument(
        "--signature-file", metavar="FILE", help="Two lines, password and one-time code; - is standard input."
    )


def signer(options: Mapping[str, Any]) -> User:
    """
    Return the person of ``--by`` after checking their signature.

    :raises CommandError: if no active person of that name is given.
    :raises SignatureRejected: if the signature is not theirs.
    """
    user = person_named(options["by"])
    password, otp = _components(options["signature_file"])
    verify_signature(user=user, password=password, otp=otp, purpose=Purpose.COMMAND, at_real=real_now())
    return user


def manager(options: Mapping[str, Any]) -> User | str:
    """
    Return who changes an account: the signer, or the operator while there is no administrator yet.

    :raises CommandError: if no active person of that name is given.
    :raises SignatureRejected: if the signature is not theirs.
    """
    administrators = User.objects.filter(
        role_grants__role=Role.ADMINISTRATOR, role_grants__ended_at=None, is_active=True
    )
    if administrators.filter(secondfactor__isnull=False).exists():
        return signer(options)
    return OPERATOR


def person_named(username: str | None) -> User:
    """
    :raises CommandError: if there is no active person of that name.
    """
    user = User.objects.filter(username=username or "", is_active=True).first()
    if user is None:
        raise CommandError("Name an active person.")
    return user


def site_named(code: str | None) -> Site | None:
    """
    :raises CommandError: if there is no site of that code; None stands for none.
    """
    if code is None:
        return None
    site = Site.objects.filter(code=code).first()
    if site is None:
        raise CommandError("There is no such site in the trial file.")
    return site


def _components(file: str | None) -> tuple[str, str]:
    """
    :raises CommandError: if the file does not hold exactly two lines.
    """
    if file is None:
        return getpass.getpass("Password: "), getpass.getpass("One-time code: ")
    lines = (sys.stdin.read() if file == "-" else Path(file).read_text()).splitlines()
    if len(lines) != 2:
        raise CommandError("A signature is two lines: password, one-time code.")
    return lines[0], lines[1]
