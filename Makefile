# Tocsin at a desk. Only Python 3.11+ and make are needed; everything else is installed into $(VENV).

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.DEFAULT_GOAL := help
.PHONY: help setup demo up test check peers bench chaos fuzz audit format lock clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## make the virtual environment and install what is locked

demo: setup ## play an alarm through each provider on the embedded stack, then stop
	$(BIN)/tocsin demo

up: setup ## run the whole stack until Ctrl-C
	$(BIN)/tocsin up

test: setup ## run every test, on a real Postgres and a real Redis
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile

check: setup ## lint, format, types and the laws of import
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

PEERS := $(VENV)/peers/.installed

peers: setup $(PEERS) ## install what the bench compares with, apart from everything else

bench: peers ## measure: webhooks beside peers and limits, a storm, the dwell, history, machines, memory
	$(BIN)/python -m bench.webhooks
	$(BIN)/python -m bench.storm
	$(BIN)/python -m bench.dwell
	$(BIN)/python -m bench.history
	$(BIN)/python -m bench.machines
	$(BIN)/python -m bench.memory
	$(BIN)/python -m bench.reconciling 10000

chaos: setup ## break everything at random, then audit what became of each alarm (HOURS=1 SEED=7)
	$(BIN)/python -m tests.chaos $(if $(HOURS),--hours $(HOURS)) $(if $(SEED),--seed $(SEED))

FUZZ := $(VENV)/fuzz/.installed
AUDIT := $(VENV)/audit/.installed

fuzz: setup $(FUZZ) ## look for bytes that break a verifier, decoder or mapper (SECONDS=60 for each; TARGETS="...")
	PYTHONPATH=$(VENV)/fuzz $(BIN)/python -m tests.fuzz $(or $(SECONDS),60) $(TARGETS)

audit: setup $(AUDIT) ## hold the locked packages against the known advisories, where their service is reached
	$(BIN)/python -m tests.security.audit $(VENV)/audit/bin/pip-audit

format: setup ## put the code into its one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The machine's own pip settings are left out, so that the hashes are those of the public registry's files.
COMPILE = env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null $(VENV)/lock/bin/pip-compile \
	--quiet --no-header --no-annotate --generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

lock: setup ## choose the versions anew within pyproject.toml (UPGRADE=--upgrade for the newest)
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet pip-tools
	$(COMPILE) $(UPGRADE) pyproject.toml --extra dev --extra embedded --output-file requirements-dev.lock
	$(COMPILE) pyproject.toml --extra embedded --constraint requirements-dev.lock --output-file requirements.lock
	echo atheris | $(COMPILE) $(UPGRADE) - --output-file requirements-fuzz.lock
	echo pip-audit | $(COMPILE) $(UPGRADE) - --output-file requirements-audit.lock

clean: ## remove the environment, the embedded stack's data and the caches
	@[ ! -f .tocsin/embedded.json ] || rm -rf "$$(sed -n 's/.*"postgres_home": "\([^"]*\)".*/\1/p' .tocsin/embedded.json)"
	rm -rf $(VENV) bench/peers/node/node_modules .tocsin .pytest_cache .mypy_cache .ruff_cache .fuzz .import_linter_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(FUZZ): requirements-fuzz.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
		--upgrade --target $(VENV)/fuzz --requirement requirements-fuzz.lock
	@touch $(FUZZ)

$(AUDIT): requirements-audit.lock
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-audit.lock
	@touch $(AUDIT)

$(STAMP): requirements-dev.lock
	@[ -n "$(PYTHON)" ] || { echo "Tocsin needs Python 3.11 or newer on the PATH, and found none." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

$(PEERS): bench/peers/requirements.lock bench/peers/node/package-lock.json
	$(PYTHON) -m venv $(VENV)/peers
	$(VENV)/peers/bin/pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement bench/peers/requirements.lock
	@if command -v npm >/dev/null; then cd bench/peers/node && npm ci --silent --ignore-scripts; \
		else echo "no npm on the PATH: the bench leaves Node out" >&2; fi
	@touch $(PEERS)
