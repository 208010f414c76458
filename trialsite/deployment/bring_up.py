"""
From an empty database to an active trial: the steps of an evaluation's first start.

Each step is done once; which are done stands in the data folder, so a start that was interrupted
goes on where it stopped.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg

from trialsite.deployment import roles
from trialsite.deployment.evaluation import DATABASE, ROOT, Evaluation, one_time_code, write_private
from trialsite.deployment.postgres import Postgres
from trialsite.deployment.uncapped import write_without_caps
from trialsite.protocol import ProtocolError

PERSON = "Evaluation"
SIGNER = "statistician"

logger = logging.getLogger(__name__)


class BringUpFailed(RuntimeError):
    """A step of the set-up failed; what it said is in its log."""


def prepare_database(evaluation: Evaluation, postgres: Postgres) -> None:
    """Make roles and database, migrate, and apply the grants: at every start, changing nothing twice."""
    with psycopg.connect(postgres.url(database="postgres"), autocommit=True) as connection:
        roles.create_roles(connection, passwords=evaluation.secrets["passwords"])
        roles.create_database(connection, name=DATABASE)
    with psycopg.connect(postgres.url(database=DATABASE), autocommit=True) as connection:
        roles.close_schema(connection)
    _manage(evaluation, "migrate", "--verbosity", "0")


def set_up_trial(evaluation: Evaluation, *, capacity: int) -> None:
    """
    Make the keys, the sealed list, the trail's first event, the accounts and the active trial.

    The caps of the trial file are lifted: ``capacity`` says how many an evaluation enrols.

    :param capacity: how many participants any one stratum has slots for.
    :raises BringUpFailed: naming the step's log, or what is wrong with the trial file.
    """
    steps: dict[str, Callable[[], None]] = {
        "keys": lambda: _make_keys(evaluation),
        "genesis": lambda: _manage(evaluation, "record_genesis", "--by", PERSON),
        "trial": lambda: _manage(evaluation, "load_trial", str(evaluation.trial_file)),
        "list": lambda: _generate_list(evaluation, capacity=capacity),
        "install": lambda: _manage(evaluation, "install_list", str(evaluation.sealed_list)),
        "users": lambda: _create_users(evaluation),
        "activation": lambda: _activate(evaluation),
        "lots": lambda: _manage(evaluation, "receive_evaluation_lots", face="unmasked"),
    }
    done_file = evaluation.data / "set-up.json"
    done: list[str] = json.loads(done_file.read_text()) if done_file.exists() else []
    _lift_caps(evaluation, anew="trial" not in done)
    for name, step in steps.items():
        if name not in done:
            logger.info("Set-up: %s.", name)
            step()
            done.append(name)
            write_private(done_file, done)


def _lift_caps(evaluation: Evaluation, *, anew: bool) -> None:
    """From here on the evaluation's trial file is its own copy, which has no caps."""
    copy = evaluation.offline / "trial.toml"
    if anew:
        logger.info("Set-up: the trial file's caps are lifted for the evaluation.")
        try:
            write_without_caps(evaluation.trial_file, copy)
        except (ProtocolError, OSError) as error:
            message = f"{evaluation.trial_file}: {error}"
            raise BringUpFailed(message) from None
    evaluation.trial_file = copy


def _make_keys(evaluation: Evaluation) -> None:
    shutil.rmtree(evaluation.keys, ignore_errors=True)  # of a start that was interrupted here: unused
    for old in evaluation.offline.glob("*.key"):
        old.unlink()
    _manage(evaluation, "init_keys", "--keys", str(evaluation.keys), "--offline", str(evaluation.offline))


def _generate_list(evaluation: Evaluation, *, capacity: int) -> None:
    """Run the generator as the statistician does: offline, with no database and no secret of a process."""
    shutil.rmtree(evaluation.sealed_list, ignore_errors=True)
    seed = evaluation.offline / "list-seed.json"
    seed.unlink(missing_ok=True)
    arguments = {
        "--trial": evaluation.trial_file,
        "--length": capacity,
        "--public-keys": evaluation.public_keys,
        "--statistician-key": evaluation.offline / "statistician-1.key",
        "--out": evaluation.sealed_list,
        "--seed-out": seed,
    }
    flat = [str(part) for pair in arguments.items() for part in pair]
    whole = evaluation.environment("migrator")
    environment = {name: value for name, value in whole.items() if name in {"PATH", "HOME", "LANG"}}
    _run(evaluation, ["-m", "randomization.generator", *flat], environment)


def _create_users(evaluation: Evaluation) -> None:
    """Make the accounts; the face that will check a person's one-time codes seals their secret."""
    factor_keys = [
        f"--{face}-factor-key={evaluation.keys / face / f'factor-{face}-1.key'}"
        for face in ("masked", "unmasked")
    ]
    evaluation.users.unlink(missing_ok=True)
    _manage(evaluation, "create_evaluation_users", "--out", str(evaluation.users), *factor_keys)
    evaluation.users.chmod(0o600)


def _activate(evaluation: Evaluation) -> None:
    """Sign as a person of the evaluation, whose one-time codes the unmasked face's key checks."""
    factor_key = str(evaluation.keys / "unmasked" / "factor-unmasked-1.key")
    environment = {**evaluation.environment("migrator"), "FACTOR_KEY_FILE": factor_key}
    person = json.loads(evaluation.users.read_bytes())[SIGNER]
    signature = f"{person['password']}\n{one_time_code(person['totp_secret'])}\n"
    command = ["manage.py", "activate_trial", "--by", SIGNER, "--signature-file", "-"]
    _run(evaluation, command, environment, given=signature)


def _manage(evaluation: Evaluation, *arguments: str, face: str = "migrator") -> None:
    _run(evaluation, ["manage.py", *arguments], evaluation.environment(face))


def _run(
    evaluation: Evaluation, arguments: list[str], environment: Mapping[str, str], *, given: str = ""
) -> None:
    log: Path = evaluation.log("set-up")
    with log.open("ab") as output:
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=dict(environment),
            input=given.encode(),
            stdout=output,
            stderr=output,
            check=False,
        )
    if ended.returncode != 0:
        message = f"{' '.join(arguments[:2])} failed; see {log}."
        raise BringUpFailed(message)
