"""The import contracts of pyproject.toml hold, and each of them is seen to break."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
NAMES = [contract["name"] for contract in CONTRACTS]
CHAIN = "No chain of imports leads from masked code to what opens an arm"
ONLY_NAMED = "Only named modules open what is sealed"
ALONE_IN_ITS_FILE = "The list's verifier imports nothing of ours"

# A contract, the module that breaks it, and by which import. The chain is broken from each of its ends.
OFFENCES = [
    ("Roof, REST, supply, randomization, floor", "randomization.selectors", "import supply.models"),
    ("Roof, REST, supply, randomization, floor", "trialsite.sealing", "import trialsite.opening"),
    (
        "Roof, REST, supply, randomization, floor",
        "trialsite.audit.services",
        "import trialsite.accounts.models",
    ),
    ("Inside an app", "supply.selectors", "import supply.services.desk"),
    ("Inside an app", "supply.domain.expiry", "import supply.models"),
    ("The domain knows no framework", "randomization.domain.blocks", "import django.utils.timezone"),
    ("The domain knows no framework", "randomization.generator", "import trialsite.accounts.models"),
    (
        "The verifier needs the standard library and cryptography only",
        "trialsite.audit.notes",
        "import rfc8785",
    ),
    (ALONE_IN_ITS_FILE, "randomization.verifier", "import randomization.domain.drbg"),
    (ALONE_IN_ITS_FILE, "randomization.verifier", "from trialsite.audit import merkle"),
    (ALONE_IN_ITS_FILE, "randomization.verifier", "import rfc8785"),
    (ONLY_NAMED, "supply.services.desk", "import trialsite.opening"),
    (ONLY_NAMED, "trialsite.api.unmasked.lots", "from trialsite.opening import FileKeys"),
    (CHAIN, "randomization.services.assignment", "import randomization.services.unblinding"),
    (CHAIN, "supply.services.enrolment", "from supply.services import preparation"),
    (CHAIN, "supply.tasks", "from trialsite.audit.signing import sign_checkpoint"),
    (CHAIN, "trialsite.outbox.services", "import trialsite.audit.export"),
    (CHAIN, "randomization.admin", "from trialsite.audit import signing"),
    (CHAIN, "trialsite.admin.trail", "import trialsite.audit.export"),
    (CHAIN, "trialsite.celery", "import trialsite.audit.signing"),
    (CHAIN, "trialsite.urls.masked", "import trialsite.api.unmasked.audit_trail"),
]


@pytest.fixture(scope="module")
def a_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product's packages and contracts in a folder of their own."""
    folder = tmp_path_factory.mktemp("copy")
    for package in ("trialsite", "randomization", "supply"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@contextmanager
def offending(folder: Path, module: str, line: str) -> Iterator[None]:
    """Inside, the module's first line of code is that import."""
    path = folder / f"{module.replace('.', '/')}.py"
    before = path.read_text()
    path.write_text(before.replace("from __future__ import annotations\n", f"{line}\n", 1))
    try:
        assert path.read_text() != before
        yield
    finally:
        path.write_text(before)


def broken_contracts(folder: Path) -> list[str]:
    """Run import-linter in a folder and return the names of the contracts that it finds broken."""
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--cache-dir", folder / "cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    found = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", run.stdout, re.MULTILINE))
    assert list(found) == NAMES, run.stdout + run.stderr
    broken = [name for name, verdict in found.items() if verdict == "BROKEN"]
    assert run.returncode == bool(broken)
    return broken


@pytest.mark.requirement(50)
def test_every_import_contract_holds(a_copy):
    assert broken_contracts(a_copy) == []


@pytest.mark.requirement(50)
@pytest.mark.parametrize(("contract", "module", "line"), OFFENCES)
def test_an_import_that_a_contract_forbids_is_found(a_copy, contract, module, line):
    with offending(a_copy, module, line):
        broken = broken_contracts(a_copy)

    assert contract in broken


def test_every_contract_is_seen_to_break():
    assert {contract for contract, _, _ in OFFENCES} == set(NAMES)


def test_no_contract_is_weakened_by_an_exception():
    assert [contract["name"] for contract in CONTRACTS if "ignore_imports" in contract] == []


@pytest.mark.requirement(50, 47)
def test_every_task_admin_and_masked_view_is_a_beginning_of_the_chain():
    (chain,) = [contract for contract in CONTRACTS if contract["name"] == CHAIN]

    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("trialsite", "randomization", "supply")
        for path in (ROOT / package).rglob("*.py")
        if path.stem in ("tasks", "admin", "celery")
    }
    packages = {
        ".".join(path.relative_to(ROOT).parts)
        for path in (ROOT / "trialsite").rglob("*")
        if path.is_dir() and path.name in ("masked", "admin") and list(path.glob("*.py"))
    }
    # The URL file of the admin is read by that of the masked face.
    assert (modules | packages) - {"trialsite.urls.admin"} <= set(chain["source_modules"])


ALONE = """
import importlib.abc, sys

class Nothing(importlib.abc.MetaPathFinder):
    allowed = {"trialsite", "cryptography", "_cffi_backend", "cffi"}
    def find_spec(self, name, path, target=None):
        top = name.partition(".")[0]
        if top not in self.allowed and top not in sys.stdlib_module_names:
            raise ImportError(f"the verifier asked for {name}")

sys.meta_path.insert(0, Nothing())
import runpy
sys.argv = ["verify", "--help"]
try:
    runpy.run_module("trialsite.audit.verify", run_name="__main__")
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)))
"""


@pytest.mark.requirement(75)
def test_the_verifier_runs_with_the_standard_library_and_cryptography_alone():
    run = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert run.returncode == 0, run.stderr
    assert "the exported bundle" in run.stdout
    imported = set(run.stdout.splitlines()[-1].split())
    assert "trialsite" in imported
    assert not imported & {"django", "rest_framework", "psycopg", "rfc8785", "celery", "environ"}


def test_the_packages_that_the_verifier_stands_in_are_empty():
    for package in ("trialsite", "trialsite/audit"):
        assert (ROOT / package / "__init__.py").read_text() == ""
