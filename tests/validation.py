"""
Which tests show which requirement: ``python -m tests.validation [--check]`` makes docs/validation.md.

The numbers come from the markers of the tests, read without running them, and the sentences from
requirements.toml. What no test shows yet is listed as such.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "validation.md"
MADE_BY = "<!-- Made by `python -m tests.validation`; change the tests or tests/requirements.toml. -->"


def requirements() -> dict[int, str]:
    """Return the sentence of each requirement."""
    return {int(n): text for n, text in tomllib.loads((TESTS / "requirements.toml").read_text()).items()}


def shown() -> dict[int, list[str]]:
    """Return the tests that show each requirement, as ``file::test``."""
    found: dict[int, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for name, number in _marked(ast.parse(path.read_text())):
            tests = found.setdefault(number, [])
            if (test := f"{path.relative_to(TESTS.parent)}::{name}") not in tests:
                tests.append(test)
    return found


def _marked(module: ast.Module) -> Iterator[tuple[str, int]]:
    everywhere = [number for node in module.body if _is_pytestmark(node) for number in _numbers(node)]
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            own = [number for decorator in node.decorator_list for number in _numbers(decorator)]
            yield from ((node.name, number) for number in sorted({*own, *everywhere}))


def _is_pytestmark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(ast.unparse(t) == "pytestmark" for t in node.targets)


def _numbers(node: ast.AST) -> Iterator[int]:
    """Yield the numbers of ``pytest.mark.requirement(…)`` anywhere in an expression."""
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and ast.unparse(each.func).endswith("mark.requirement"):
            yield from (int(ast.literal_eval(argument)) for argument in each.args)


def page() -> str:
    """
    Return the text of docs/validation.md.

    :raises KeyError: if a test names a number that has no sentence.
    """
    texts, tests = requirements(), shown()
    unknown = sorted(set(tests) - set(texts))
    if unknown:
        raise KeyError(f"requirements.toml has no {unknown}")
    rows = [
        f"| {number} | {texts[number]} | {'<br>'.join(f'`{test}`' for test in tests[number])} |"
        for number in sorted(tests)
    ]
    missing = [f"- {number}. {texts[number]}" for number in sorted(set(texts) - set(tests))]
    return "\n".join(
        [
            MADE_BY,
            "",
            "# Validation",
            "",
            f"{len(tests)} of {len(texts)} requirements are shown by a test so far.",
            "",
            "| No. | Requirement | Shown by |",
            "| --- | --- | --- |",
            *rows,
            "",
            "## Not yet shown by a test",
            "",
            *missing,
            "",
        ]
    )


def main() -> int:
    """Write the page, or with ``--check`` say whether it is up to date; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.validation")
    parser.add_argument("--check", action="store_true", help="change nothing; fail on a difference")
    text = page()
    if not parser.parse_args().check:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        sys.stderr.write("docs/validation.md is out of date. Run: python -m tests.validation\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
