#!/bin/sh
# Compile the hash-locked requirement files from the ranges in pyproject.toml.
# test.txt holds base.txt exactly, and dev.txt holds test.txt, so that one virtual
# environment serves all three and pip never moves a version back and forth.
# usage: requirements/compile.sh [OUTPUT_DIRECTORY]
set -eu
cd "$(dirname "$0")/.."
out=${1:-requirements}
uv=${UV:-.venv/bin/uv}
compile() {
    "$uv" pip compile -q --universal --generate-hashes --python-version 3.11 --no-annotate \
        --no-emit-index-url --no-emit-find-links --no-header "$@"
}
compile pyproject.toml -o "$out/base.txt"
compile pyproject.toml --group test -c "$out/base.txt" -o "$out/test.txt"
compile pyproject.toml --group test --group dev -c "$out/test.txt" -o "$out/dev.txt"
