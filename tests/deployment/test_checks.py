"""What a process refuses to start with."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.deployment.serving import ROOT, an_environment
from trialsite.deployment import web
from trialsite.deployment.checks import refuse_a_wrong_start, start_is_allowed

A_KEY = "/run/secrets/key"


def _refusals(settings, **changed):
    for name in ("CODE_BREAK_KEY_FILE", "LOG_KEY_FILE", "IDENTITY_KEY_FILE", "FACTOR_KEY_FILE", "MAIL_DIR"):
        setattr(settings, name, "")
    settings.EVALUATION, settings.BROKER_URL = False, "redis://localhost/0"
    settings.CHECKPOINT_FILE = str(ROOT / "checkpoint.note")
    for name, value in changed.items():
        setattr(settings, name, value)
    return {message.id for message in start_is_allowed(None)}


@pytest.mark.parametrize("face", ["masked", "unmasked", "signer", "worker", "migrator", "supervisor"])
def test_a_face_with_its_own_settings_starts(settings, face):
    assert _refusals(settings, FACE=face) == set()


@pytest.mark.parametrize(
    ("face", "key"),
    [
        ("masked", "CODE_BREAK_KEY_FILE"),
        ("masked", "LOG_KEY_FILE"),
        ("worker", "CODE_BREAK_KEY_FILE"),
        ("worker", "LOG_KEY_FILE"),
        ("worker", "IDENTITY_KEY_FILE"),
        ("worker", "FACTOR_KEY_FILE"),
        ("signer", "CODE_BREAK_KEY_FILE"),
        ("signer", "FACTOR_KEY_FILE"),
        ("unmasked", "IDENTITY_KEY_FILE"),
    ],
)
def test_a_face_with_a_key_that_is_not_its_own_is_refused(settings, face, key):
    assert _refusals(settings, FACE=face, **{key: A_KEY}) == {"trialsite.E003"}


@pytest.mark.parametrize(
    ("face", "key"),
    [
        ("masked", "IDENTITY_KEY_FILE"),
        ("masked", "FACTOR_KEY_FILE"),
        ("unmasked", "CODE_BREAK_KEY_FILE"),
        ("unmasked", "LOG_KEY_FILE"),
        ("unmasked", "FACTOR_KEY_FILE"),
        ("signer", "LOG_KEY_FILE"),
    ],
)
def test_a_face_with_its_own_key_starts(settings, face, key):
    assert _refusals(settings, FACE=face, **{key: A_KEY}) == set()


@pytest.mark.parametrize("checkpoint", ["", str(ROOT / "nowhere" / "checkpoint.note")])
@pytest.mark.parametrize("face", ["unmasked", "signer"])
def test_who_signs_checkpoints_needs_a_place_for_the_last(settings, face, checkpoint):
    assert _refusals(settings, FACE=face, CHECKPOINT_FILE=checkpoint) == {"trialsite.E008"}
    assert _refusals(settings, FACE="masked", CHECKPOINT_FILE=checkpoint) == set()


def test_a_face_that_is_none_is_refused(settings):
    assert _refusals(settings, FACE="everything") == {"trialsite.E001"}


@pytest.mark.parametrize("secret", ["supervisor-signs-nothing", "s" * 31])
@pytest.mark.parametrize("face", ["masked", "unmasked", "signer", "worker"])
def test_a_serving_process_without_a_secret_of_its_own_is_refused(settings, face, secret):
    assert _refusals(settings, FACE=face, SECRET_KEY=secret) == {"trialsite.E002"}


def test_a_supervisor_needs_no_secret(settings):
    assert _refusals(settings, FACE="supervisor", SECRET_KEY="supervisor-signs-nothing") == set()


def test_a_secret_of_32_characters_is_one(settings):
    assert _refusals(settings, FACE="masked", SECRET_KEY="s" * 32) == set()


def test_what_is_for_evaluation_only_is_refused_in_a_trial(settings):
    assert _refusals(settings, FACE="worker", MAIL_DIR="/mail") == {"trialsite.E004"}
    assert _refusals(settings, FACE="worker", BROKER_URL="memory://") == {"trialsite.E007"}
    assert _refusals(settings, FACE="worker", BROKER_URL="") == {"trialsite.E006"}
    assert _refusals(settings, FACE="worker", MAIL_DIR="/mail", EVALUATION=True) == set()
    assert _refusals(settings, FACE="worker", BROKER_URL="memory://", EVALUATION=True) == set()


def test_the_reasons_are_said_together(settings):
    _refusals(settings, FACE="masked", CODE_BREAK_KEY_FILE=A_KEY, LOG_KEY_FILE=A_KEY)

    with pytest.raises(ImproperlyConfigured, match=r"CODE_BREAK_KEY_FILE.*LOG_KEY_FILE"):
        refuse_a_wrong_start()


@pytest.mark.django_db
def test_a_database_without_a_trail_is_nobodys_yet(settings):
    _refusals(settings, FACE="masked")

    refuse_a_wrong_start()


def _ended(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """What became of a module of Python run in exactly this environment."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**an_environment(), "SECRET_KEY": "of-this-test-and-long-enough-to-be-one", **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


CELERY = {
    "worker": ["celery", "--app=trialsite.celery", "worker"],
    "beat": ["celery", "--app=trialsite.celery", "beat", "--scheduler=celery.beat.Scheduler", "--pidfile="],
}


@pytest.mark.parametrize("program", CELERY)
def test_a_broker_in_memory_is_refused_where_worker_and_beat_are_apart(program):
    ended = _ended(CELERY[program], TRIALSITE_FACE="worker", TRIALSITE_EVALUATION="1", BROKER_URL="memory://")

    assert ended.returncode != 0
    assert "memory:// is no broker between two processes" in ended.stderr + ended.stdout


@pytest.mark.parametrize("program", CELERY)
def test_a_celery_process_that_cannot_tell_whose_database_it_has_does_not_start(program, redis_server):
    nowhere = "postgresql://irt_worker:none@127.0.0.1:1/none"

    ended = _ended(CELERY[program], TRIALSITE_FACE="worker", BROKER_URL=redis_server, DATABASE_URL=nowhere)

    assert ended.returncode != 0
    assert "OperationalError" in ended.stderr


WEB = ["gunicorn", "--config", "python:trialsite.deployment.web"]


def test_a_masked_web_process_with_the_code_break_key_does_not_start():
    ended = _ended(WEB, TRIALSITE_FACE="masked", CODE_BREAK_KEY_FILE=A_KEY)

    assert ended.returncode != 0
    assert "must not be given CODE_BREAK_KEY_FILE" in ended.stderr


def test_a_web_process_with_an_empty_secret_does_not_start():
    ended = _ended(WEB, TRIALSITE_FACE="masked", SECRET_KEY="")

    assert ended.returncode != 0
    assert "fewer than 32 characters" in ended.stderr


@pytest.mark.parametrize("face", ["signer", "worker", "migrator", "supervisor"])
def test_a_web_process_has_one_of_the_two_faces(settings, face):
    settings.FACE = face

    with pytest.raises(ImproperlyConfigured, match="masked or unmasked"):
        web.on_starting(None)
