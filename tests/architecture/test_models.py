"""The tables: migrations say what the models say, and who stands beside when."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import models
from django.db.models import Q

OURS = ("trialsite", "randomization", "supply")
# A time and a person that belong together under names that do not say so.
ALSO_PAIRS = [("Preparation", "completed_at", "prepared_by")]


def our_models() -> list[type[models.Model]]:
    return [model for model in apps.get_models() if model.__module__.startswith(OURS) and model._meta.managed]


def pairs() -> Iterator[tuple[type[models.Model], str, str]]:
    """Yield each model with each time that has a person beside it: ``verified_at``, ``verified_by``."""
    for model in our_models():
        names = {field.name for field in model._meta.fields}
        stems = sorted(name.removesuffix("_at") for name in names if name.endswith("_at"))
        yield from ((model, f"{stem}_at", f"{stem}_by") for stem in stems if f"{stem}_by" in names)
        yield from ((model, at, by) for name, at, by in ALSO_PAIRS if name == model.__name__)


PAIRS = [pytest.param(model, at, by, id=f"{model.__name__}.{at}") for model, at, by in pairs()]


@pytest.mark.django_db
def test_the_migrations_say_what_the_models_say():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.requirement(74)
@pytest.mark.parametrize(("model", "at", "by"), PAIRS)
def test_who_and_when_are_both_set_or_neither(model, at, by):
    both_always = not model._meta.get_field(at).null and not model._meta.get_field(by).null

    assert both_always or (refuses(model, unset=at, of=(at, by)) and refuses(model, unset=by, of=(at, by)))


def test_there_are_pairs_to_look_at():
    found = {param.id for param in PAIRS}

    assert {"TrialVersion.activated_at", "Preparation.verified_at", "Allocation.randomized_at"} <= found


class Half(models.Model):
    """What the test must find: two fields that may be set without each other."""

    seen_at = models.DateTimeField(null=True)
    seen_by = models.TextField(null=True)  # noqa: DJ001 - as a person's key is

    class Meta:
        app_label = "halves"
        constraints = [
            models.CheckConstraint(condition=Q(seen_at=None) | Q(seen_by__isnull=False), name="one_way")
        ]

    def __str__(self) -> str:
        return "half"


def test_a_check_that_holds_one_way_only_is_no_pair():
    assert refuses(Half, unset="seen_by", of=("seen_at", "seen_by"))
    assert not refuses(Half, unset="seen_at", of=("seen_at", "seen_by"))


def refuses(model: type[models.Model], *, unset: str, of: tuple[str, str]) -> bool:
    """Say whether a check of the table refuses a row in which just that one of the two is null."""
    null = {name: name == unset for name in of}
    checks = [each for each in model._meta.constraints if isinstance(each, models.CheckConstraint)]
    return any(holds(check.condition, null) is False for check in checks)


def holds(condition: Q, null: dict[str, bool]) -> bool | None:
    """Evaluate a condition on what is null; None where it asks for anything else."""
    parts = [holds(part, null) if isinstance(part, Q) else _leaf(part, null) for part in condition.children]
    decisive = condition.connector == Q.OR
    if decisive in parts:
        found: bool | None = decisive
    else:
        found = None if None in parts else not decisive
    return found if found is None or not condition.negated else not found


def _leaf(leaf: tuple[str, object], null: dict[str, bool]) -> bool | None:
    name, value = leaf
    field, _, lookup = name.partition("__")
    if field not in null or (lookup != "isnull" and value is not None):
        return None
    return null[field] == (value if lookup == "isnull" else True)
