# Everything a newcomer needs. Debian 12 with python3.11, its venv and pip, and make; any user.

PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
DATA ?= var/evaluation
# The ready file and the offline keys stand beside the folder, whether or not a slash ends its name.
override DATA := $(patsubst %/,%,$(DATA))
READY := $(DATA).ready.json
MASKED_PORT ?= 8000
UNMASKED_PORT ?= 8001
PYTEST_ARGS ?=
BENCHMARK_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test benchmarks lint format api secrets clean
# Two goals at once would install into one .venv at once.
.NOTPARALLEL:

help:
	@echo "make demo    play a whole trial through its REST interface, and verify it"
	@echo "make serve   serve an evaluation deployment until Ctrl-C (DATA=\"$(DATA)\""
	@echo "             MASKED_PORT=$(MASKED_PORT) UNMASKED_PORT=$(UNMASKED_PORT))"
	@echo "make test    run all tests, on real PostgreSQL and Redis (PYTEST_ARGS=...)"
	@echo "make benchmarks  measure what a randomization costs, as ratios (BENCHMARK_ARGS=...)"
	@echo "make lint    format, lint, types, imports, migrations, docs (what CI checks)"
	@echo "make format  format the code, and mend what can be mended by itself"
	@echo "make api     write the REST reference anew"
	@echo "make secrets make the secrets of the compose deployment in secrets/"
	@echo "make setup   install what demo and serve need into $(VENV)"
	@echo "make clean   delete $(VENV) and caches; data and secrets stay"

setup: $(VENV)/base.installed

demo: setup
	$(VENV)/bin/python manage.py demo

serve: setup
	@mkdir -p "$$(dirname "$(DATA)")"
	$(VENV)/bin/python manage.py serve --data "$(DATA)" --ready-file "$(READY)" \
	    --masked-port $(MASKED_PORT) --unmasked-port $(UNMASKED_PORT)

test: $(VENV)/test.installed
	$(VENV)/bin/python -m pytest -n 2 --dist loadgroup $(PYTEST_ARGS)

benchmarks: setup
	$(VENV)/bin/python -m benchmarks $(BENCHMARK_ARGS)

lint: $(VENV)/dev.installed
	.ci/run lint types imports migrations locks api docs compose

format: $(VENV)/dev.installed
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

api: setup
	$(VENV)/bin/python manage.py write_api_reference

secrets: setup
	$(VENV)/bin/python manage.py init_secrets --out secrets

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed.")'
	@echo "$(PYTHON) -m venv $(VENV)"; $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "Python's venv is needed: on Debian, apt install python3-venv." >&2; exit 1; }

# The larger lock files hold the smaller exactly, so one environment serves all, and a larger
# installation makes the smaller needless.
$(VENV)/base.installed: requirements/base.txt | $(VENV)/bin/python
	@$(call install,base)
	@touch $@

$(VENV)/test.installed: requirements/test.txt | $(VENV)/bin/python
	@$(call install,test)
	@touch $(VENV)/base.installed $@

$(VENV)/dev.installed: requirements/dev.txt | $(VENV)/bin/python
	@$(call install,dev)
	@touch $(VENV)/base.installed $(VENV)/test.installed $@

define install
echo "Installing requirements/$(1).txt into $(VENV) ..." && \
$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/$(1).txt
endef
