"""Write ``docs/reference/api.yaml``: both faces in one OpenAPI 3.1 description."""

from __future__ import annotations

from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import include, path
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.validation import validate_schema

from trialsite.api.masked import clock

DEFAULT = settings.BASE_DIR / "docs/reference/api.yaml"
SERVERS = {
    "masked": {"url": "http://127.0.0.1:8000", "description": "The masked face"},
    "unmasked": {"url": "http://127.0.0.1:8001", "description": "The unmasked face"},
}


class Command(BaseCommand):
    help = "Write the OpenAPI description of both faces; with --check only compare. Fails on any warning."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--file", type=Path, default=DEFAULT)
        parser.add_argument(
            "--check", action="store_true", help="Fail if the file is not what the code says."
        )

    def handle(self, *, file: Path, check: bool, **_options: Any) -> None:
        document = merged({face: described(face) for face in SERVERS})
        validate_schema(document)  # type: ignore[no-untyped-call]
        if GENERATOR_STATS:
            raise CommandError("The description was made with warnings; see above.")
        text: bytes = OpenApiYamlRenderer().render(document, renderer_context={})  # type: ignore[no-untyped-call]
        if check:
            if not file.exists() or file.read_bytes() != text:
                raise CommandError(f"{file.name} is out of date: run manage.py write_api_reference.")
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
        self.stdout.write(f"{file} written.")


def described(face: str) -> dict[str, Any]:
    """Return the description of one face, with the routes of an evaluation whether this is one or not."""
    # Named, not imported: the URL files stand above this package.
    patterns = list(import_module(f"trialsite.urls.{face}").urlpatterns)
    if face == "masked" and not clock.urlpatterns:
        patterns.append(path("api/v1/", include(clock.evaluation_urlpatterns)))
    generator = SchemaGenerator(patterns=patterns)  # type: ignore[no-untyped-call]
    description: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return description


def merged(faces: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """
    Return one description; a path of one face names its server.

    :raises CommandError: if the faces describe one path or component differently.
    """
    document = {**faces["masked"], "servers": list(SERVERS.values()), "paths": {}, "components": {}}
    for face, description in faces.items():
        for name, item in description["paths"].items():
            shared = all(name in other["paths"] for other in faces.values())
            _add(document["paths"], name, item if shared else {"servers": [SERVERS[face]], **item})
        for kind, components in description["components"].items():
            for name, component in components.items():
                _add(document["components"].setdefault(kind, {}), name, component)
    document["paths"] = dict(sorted(document["paths"].items()))
    document["components"] = {
        kind: dict(sorted(all_.items())) for kind, all_ in document["components"].items()
    }
    return document


def _add(members: dict[str, Any], name: str, member: Any) -> None:
    if members.setdefault(name, member) != member:
        raise CommandError(f"The faces describe {name} differently.")
