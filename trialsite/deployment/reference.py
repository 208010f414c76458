"""
The reference pages of docs/reference, drawn from the code that they describe.

A page is text that follows from the code alone, so that CI can compare what is checked in. Only
what each environment variable is for is written here, and a variable without its sentence is an error.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from django.urls import URLPattern, URLResolver, include, path

from supply.domain import infusion_states, kit_states, preparation_states
from supply.domain.moves import Move
from trialsite.accounts.roles import (
    APART,
    MASKED_ROLES,
    NEVER_TOGETHER,
    ROLE_PERMISSIONS,
    SITE_ROLES,
    UNMASKED_ROLES,
    Permission,
    Role,
)
from trialsite.api import errors
from trialsite.api.masked import clock
from trialsite.audit.kinds import MASKED_VISIBLE, SEALED, WRITERS, Kind, Side
from trialsite.errors import Refused
from trialsite.urls import masked, unmasked

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("trialsite", "randomization", "supply")
MADE_BY = "<!-- Made by `python manage.py reference_docs`; change the code, not this page. -->"
# Importing these starts something, or is done by Django and by gunicorn alone.
_NOT_TO_IMPORT = ("trialsite.wsgi", "trialsite.settings", "trialsite.deployment.web")

VARIABLES = {
    "TRIALSITE_FACE": "Which process this is: masked, unmasked, signer, worker, migrator or supervisor.",
    "TRIALSITE_EVALUATION": "Whether this is an evaluation deployment; a trial's database refuses it.",
    "TRIALSITE_DEPLOYMENT": "Name of the deployment; with the study it is the origin of the audit trail.",
    "TRIALSITE_POSTGRES": "`machine` or `wheel`: whose PostgreSQL programs to use, where none is given.",
    "TRIAL_FILE": "The trial file.",
    "DATABASE_URL": "The database, under this process's own login.",
    "SECRET_KEY": "Django's secret of this face: sessions, CSRF and the fingerprints of requests.",
    "SECRET_KEY_FALLBACKS": "Earlier secrets that still verify, while one is being replaced.",
    "PUBLIC_KEYS_FILE": "The deployment's public keys (JSON).",
    "CODE_BREAK_KEY_FILE": "The key that opens one allocated slot; unmasked web only.",
    "LOG_KEY_FILE": "The key that signs checkpoints; signer and unmasked web.",
    "IDENTITY_KEY_FILE": "The key of the keyed hash of hospital identifiers; masked web only.",
    "FACTOR_KEY_FILE": "The key of this face's one-time-code secrets.",
    "MASKED_FACTOR_KEY_FILE": "The masked face's factor key, for commands that serve people of both sides.",
    "CHECKPOINT_FILE": "Where the last signed checkpoint is kept, outside the database.",
    "ALLOWED_HOSTS": "Host names that the web process answers to.",
    "SSL_REDIRECT": "Whether plain HTTP is redirected; off only behind a proxy that does it.",
    "MAIL_DIR": "Folder that e-mails are written to instead of being sent; evaluation.",
    "EMAIL_URL": "The mail server.",
    "MAIL_FROM": "Sender of e-mails.",
    "BROKER_URL": "Celery's broker; `memory://` only where worker and beat are one process.",
    "LOG_LEVEL": "What is logged to standard error.",
    "WEB_WORKERS": "Processes of the web server.",
    "WEB_THREADS": "Threads of each of them.",
    "FORWARDED_ALLOW_IPS": "Addresses of proxies whose X-Forwarded headers are believed.",
    "HEALTH_URL": "What the container's health check asks.",
    "HEARTBEAT_FILE": "File that worker and beat touch, for their health checks.",
}
# Python's and Django's own.
_NOT_OURS = {"DJANGO_SETTINGS_MODULE", "PATH", "HOME", "PYTHONPATH", "TMPDIR", "LANG", "TZ", "PGPASSWORD"}


def pages() -> dict[str, str]:
    """Return the text of each page by its file name."""
    made = {
        "refusals.md": refusals(),
        "settings.md": settings(),
        "permissions.md": permissions(),
        "states.md": states(),
        "audit-events.md": audit_events(),
    }
    return {name: f"{MADE_BY}\n\n{text.strip()}\n" for name, text in made.items()}


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    columns = list(header)
    lines = [columns, ["---"] * len(columns), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def first_words(of: type) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join((inspect.getdoc(of) or "").split("\n\n")[0].split()).replace("|", "\\|")


@cache
def refused_kinds() -> tuple[type[Refused], ...]:
    """Return every refusal of the product; every module is imported for it."""
    for name in module_names():
        importlib.import_module(name)
    found = {kind for kind in _subclasses(Refused) if kind.__module__.partition(".")[0] in PACKAGES}
    return tuple(sorted(found, key=lambda kind: (kind.code, kind.__module__)))


def _subclasses(kind: type[Refused]) -> Iterator[type[Refused]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


def module_names() -> list[str]:
    """Return the names of the product's modules, without migrations."""
    return [
        found.name
        for package in PACKAGES
        for found in pkgutil.walk_packages([str(ROOT / package)], f"{package}.")
        if ".migrations" not in found.name and found.name not in _NOT_TO_IMPORT
    ]


def refusals() -> str:
    """Draw the page of refusals."""
    ours = [(f"`{kind.code}`", str(kind.status), first_words(kind)) for kind in refused_kinds()]
    general = [
        (f"`{code}`", str(status), errors._DETAIL.get(status, "")) for status, code in errors._CODE.items()
    ]
    return (
        "# Refusals\n\nEvery refusal is a problem document (RFC 9457) with a `code`, which never changes. "
        "The words of `detail` are for people and say nothing of an arm.\n\n"
        f"{table(('Code', 'Status', 'Why'), dict.fromkeys(ours))}\n"
        "Of any path, before the trial is asked:\n\n"
        f"{table(('Code', 'Status', 'Words'), general)}"
    )


def variable_names() -> dict[str, str]:
    """Return each environment variable that the code reads, with its type where it has one."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            found |= dict(_read_variables(ast.parse(file.read_text())))
    return {name: kind for name, kind in sorted(found.items()) if name not in _NOT_OURS}


def _read_variables(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield what ``env.str("A")``, ``os.environ.get("A")``, ``os.getenv("A")``, ``os.environ["A"]`` read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            whose, method, first = ast.unparse(node.func.value), node.func.attr, node.args[0]
            kind = method if whose == "env" else "str"
            reads = whose == "env" or (whose.endswith("environ") and method == "get") or method == "getenv"
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            reads, kind, first = ast.unparse(node.value).endswith("environ"), "str", node.slice
        else:
            continue
        if reads and isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value, kind


def settings() -> str:
    """
    Draw the page of settings.

    :raises KeyError: if a variable is read that has no sentence above.
    """
    rows = [(f"`{name}`", kind, VARIABLES[name]) for name, kind in variable_names().items()]
    return (
        "# Settings\n\nAll from the environment of the process. For a secret set `NAME_FILE` to the path of "
        "a file that holds it; names that end in `_FILE` here are paths themselves.\n\n"
        f"{table(('Name', 'Type', 'For'), rows)}"
    )


def permissions() -> str:
    """Draw the page of roles, permissions and routes."""
    marks = [
        (permission.value, *("x" if permission in ROLE_PERMISSIONS[role] else "" for role in Role))
        for permission in Permission
    ]
    sides = {"masked": MASKED_ROLES, "unmasked": UNMASKED_ROLES, "apart": APART}
    people = [
        (role.value, next(side for side, roles in sides.items() if role in roles), _where(role), _never(role))
        for role in Role
    ]
    # With the evaluation's routes, whether this is one or not.
    of_evaluation = [] if clock.urlpatterns else [path("api/v1/", include(clock.evaluation_urlpatterns))]
    faces = {"masked": [*masked.urlpatterns, *of_evaluation], "unmasked": unmasked.urlpatterns}
    routes = [
        (face, method, f"`{route}`", what)
        for face, patterns in faces.items()
        for route, method, what in _routes(patterns)
    ]
    return (
        "# Roles and permissions\n\nFrom `trialsite/accounts/roles.py`.\n\n## Roles\n\n"
        f"{table(('Role', 'Side', 'Held', 'Never together with'), people)}\n## Permissions\n\n"
        f"{table(('', *(role.value for role in Role)), marks)}\n## Routes\n\n"
        "What a method takes; beyond it the service looks at the site.\n\n"
        f"{table(('Face', 'Method', 'Path', 'Permission'), routes)}"
    )


def _where(role: Role) -> str:
    return "at a site" if role in SITE_ROLES else "in the whole trial"


def _never(role: Role) -> str:
    others = {other for pair in NEVER_TOGETHER if role in pair for other in pair - {role}}
    return "all others" if len(others) == len(Role) - 1 else ", ".join(sorted(others))


def _routes(
    patterns: Iterable[URLPattern | URLResolver], before: str = "/"
) -> Iterator[tuple[str, str, str]]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if route == "/admin/":
            continue
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, route)
            continue
        view: Any = getattr(pattern.callback, "view_class", None)
        declared: Mapping[str, Permission | None] = getattr(view, "permissions", {"GET": None})
        public = view is None or getattr(view, "authentication_classes", None) == ()
        for method, wanted in declared.items():
            yield (
                route,
                method,
                wanted.value
                if wanted
                else "open to all"
                if public
                else "any signed-in person, as far as the service allows",
            )


def states() -> str:
    """Draw the page of state machines."""
    machines: tuple[tuple[str, str, Mapping[str, Move]], ...] = (
        ("Infusion", infusion_states.__doc__ or "", infusion_states.MOVES),
        ("Kit", kit_states.__doc__ or "", kit_states.MOVES),
        ("Preparation", preparation_states.__doc__ or "", preparation_states.MOVES),
    )
    parts = [f"## {name}\n\n{_last_words(about)}\n\n{_machine(moves)}" for name, about, moves in machines]
    intro = "From the tables in `supply/domain`. Any other move is refused as `illegal_move`.\n\n"
    return f"# States\n\n{intro}" + "\n".join(parts)


def _last_words(about: str) -> str:
    return " ".join(about.strip().split("\n\n")[-1].split())


def _machine(moves: Mapping[str, Move]) -> str:
    rows = [
        (f"`{act}`", ", ".join(_in_order(move.sources)), move.target.value) for act, move in moves.items()
    ]
    arrows = [
        f"    {source} --> {move.target.value}: {act}"
        for act, move in moves.items()
        for source in _in_order(move.sources)
    ]
    picture = "\n".join(("```mermaid", "stateDiagram-v2", *arrows, "```"))
    return f"{table(('Act', 'From', 'To'), rows)}\n{picture}\n"


def _in_order(statuses: Iterable[StrEnum]) -> list[str]:
    """Return the statuses in the order of their enumeration: a set has none that lasts."""
    wanted = list(statuses)
    return [status.value for status in type(wanted[0]) if status in wanted]


def audit_events() -> str:
    """Draw the page of audit events."""
    rows = [
        (
            f"`{kind.value}`",
            ", ".join(side.value for side in Side if side in WRITERS[kind]),
            "sealed" if kind in SEALED else "in clear",
            "yes" if kind in MASKED_VISIBLE else "no",
        )
        for kind in Kind
    ]
    return (
        "# Audit events\n\nFrom `trialsite/audit/kinds.py`. The database's append function checks the login "
        "against this list. Of what masked roles may see, they see all but the `data`. A sealed event is "
        "read with the auditor's or the safety desk's key.\n\n"
        f"{table(('Kind', 'Written by', 'Body', 'Seen by masked roles'), rows)}"
    )
