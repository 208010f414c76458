"""A row that is read or written by hand is the row that the ORM reads or writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import IntegrityError, transaction
from django.db.models import Model

from randomization.models import Allocation, Participant, Stratum
from supply.models import Infusion
from tests.randomization.breaking import a_randomized_participant
from tests.world import World, a_participant, a_world
from trialsite.accounts.models import Site
from trialsite.ids import new_id
from trialsite.rows import insert, one

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(db: None, tmp_path: Path, settings: LazySettings) -> World:
    return a_world(tmp_path, settings)


def facts(row: Model) -> dict[str, object]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


@pytest.mark.parametrize("model", [Participant, Stratum, Site, Allocation, Infusion])
def test_a_row_is_read_as_the_orm_reads_it(world: World, model: type[Model]) -> None:
    a_randomized_participant(world)

    for row in model._default_manager.all()[:4]:
        assert facts(one(model, row.pk)) == facts(row)
        assert facts(one(model, row.pk, held=True)) == facts(row)
        assert one(model, row.pk) == row


def test_what_is_not_there_is_not_found(world: World) -> None:
    with pytest.raises(Participant.DoesNotExist):
        one(Participant, new_id())


def test_rows_are_written_as_the_orm_writes_them(world: World) -> None:
    allocation = a_randomized_participant(world)
    other = a_participant(world)
    planned = list(Infusion.objects.filter(participant=allocation.participant))
    for infusion in planned:
        infusion.pk, infusion.participant = new_id(), other
        infusion.deviations = [{"code": "late", "detail": "ä", "recorded_at": None}]

    insert(planned)

    for infusion in planned:
        assert facts(Infusion.objects.get(pk=infusion.pk)) == facts(infusion)
        assert not infusion._state.adding


def test_what_the_database_fills_in_is_read_when_it_is_asked_for(world: World) -> None:
    allocation = a_randomized_participant(world)

    assert allocation.recorded_at == Allocation.objects.get(pk=allocation.pk).recorded_at


def test_what_the_database_forbids_is_refused_and_leaves_nothing(world: World) -> None:
    allocation = a_randomized_participant(world)
    planned = list(Infusion.objects.filter(participant=allocation.participant))
    for infusion in planned:
        infusion.pk = new_id()

    with pytest.raises(IntegrityError), transaction.atomic():
        insert(planned)

    assert Infusion.objects.count() == 4
