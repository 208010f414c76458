"""The admin's tests run as the masked face runs: its database login, its one key."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from django.conf import LazySettings

from tests.admin.scene import NOON, Scene, a_scene, enrol_everybody, events_of_the_day
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record
from trialsite.keyfiles import write_key_file

AsRole = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def scene(db: None, as_role: AsRole, settings: LazySettings, tmp_path) -> Iterator[Scene]:
    """The trial of ``tests.admin.scene``, seen with the privileges of ``irt_masked``."""
    masked, unmasked = tmp_path / "factor-masked", tmp_path / "factor-unmasked"
    write_key_file(masked, "aes-256-gcm", "factor-masked-1", os.urandom(32), NOON)
    write_key_file(unmasked, "aes-256-gcm", "factor-unmasked-1", os.urandom(32), NOON)
    settings.FACTOR_KEY_FILE, settings.MASKED_FACTOR_KEY_FILE = str(unmasked), str(masked)
    made = a_scene()
    with as_role("irt_migrator"):
        record(kind=Kind.GENESIS, by="system:tests", at=NOON, about={}, data={"study": "NCT04293692"})
        enrol_everybody(made)
    with as_role("irt_unmasked"):
        kit = {"kit": "7KD4RX2M", "participant": str(made.records["randomization.Participant"].pk)}
        record(kind=Kind.KIT_RELEASED, by=made.person("preparer"), role="preparer", at=NOON, about=kit)
    settings.FACTOR_KEY_FILE, settings.MASKED_FACTOR_KEY_FILE = str(masked), ""
    with as_role("irt_masked"):
        events_of_the_day(made)
        yield made
