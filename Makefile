# `make` alone lists the targets: each has one line after "##".

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DEMO_DIR ?= .demo
USERS ?= 50
SDK := presence/static/presence/js/vendor/centrifuge.js

# A Redis and a Node for machines that have none; where everything is tested, the oldest Redis, too.
FALLBACKS := $(if $(shell command -v redis-server 2>&1),$(if $(CI),--group redis),--group redis) \
	$(if $(shell command -v npm 2>&1),,--group node)
# Tests of live views are skipped where djust is not installed.
OPTIONAL := $(if $(CI),--group djust)

# Last, so that a Node of the system comes before the one a Python package may have brought.
export PATH := $(PATH):$(CURDIR)/$(BIN)

.DEFAULT_GOAL := help
.PHONY: help demo crowd test simulate test-faults lint bench screenshots centrifugo setup

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## run the site on http://127.0.0.1:8000 (PORT=8010, LOGS=1, ASYNC_BACKEND=huey)
	@$(BIN)/python -m project.demo

crowd: setup ## bring people to the whiteboard of a running demo (USERS=50)
	@test -f "$(DEMO_DIR)/environment" || { echo "No demo is running: start one in another terminal with: make demo" >&2; exit 1; }
	@. "$(DEMO_DIR)/environment" && exec $(BIN)/python manage.py presence_crowd --users $(USERS) --cursors

test: setup ## run every test
	@$(BIN)/python -m tools.versions
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --ignore tests/browser --ignore tests/faults
	$(BIN)/python -m pytest tests/browser
	node --test --test-reporter=spec tests/js/*.test.js

test-faults: setup ## kill, stop and cut each part of a site (LONG=1 for an hour, MINUTES=10, SEED=3)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/faults

simulate: setup ## run random histories with faults: SEEDS=10000 of them, or SEED=118 with its trace
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),300))

lint: setup ## check style, types, the direction of imports, and dependencies
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.audit

bench: setup ## compare ticks and cursors with bare requests (BENCH=quick, BENCH=long)
	@$(BIN)/python -m bench $(if $(filter quick,$(BENCH)),--quick,--write) $(if $(filter long,$(BENCH)),--long)

screenshots: setup ## take the pictures of the README again
	SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest -q tests/browser/test_screenshots.py \
		tests/browser/test_whiteboard.py

centrifugo: setup ## build the real Centrifugo into .centrifugo/, for demo, tests and bench (needs Go)
	@$(BIN)/python -m tools.centrifugo

setup: $(INSTALLED) $(SDK) ## make .venv; the other targets call it, and it changes nothing twice

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, try: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

$(INSTALLED): pyproject.toml requirements.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt --group test --group lint $(FALLBACKS) $(OPTIONAL)
	@touch $@

$(SDK): package.json package-lock.json tools/sdk.py | $(INSTALLED)
	$(BIN)/python tools/sdk.py
