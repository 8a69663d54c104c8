# make demo   the site on http://127.0.0.1:8000 (PORT=8010 moves it, LOGS=1 shows all its logs,
#             ASYNC_BACKEND=huey has Huey run the ticks)
# make crowd  people for the whiteboard of a running demo (USERS=50 of them)
# make test   every test
# make lint   style, types, import directions
# make bench  ticks and cursors against bare requests, as ratios (BENCH=quick only shows that it
#             works, BENCH=long moves cursors for a whole hour's worth)
# make screenshots  the pictures of the README, anew
# make setup  what the others call first; does nothing when nothing changed

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DEMO_DIR ?= .demo
USERS ?= 50
SDK := presence/static/presence/js/vendor/centrifuge.js

# A Redis and a Node for machines that have none; where everything is tested, the oldest Redis, too.
FALLBACKS := $(if $(shell command -v redis-server 2>&1),$(if $(CI),--group redis),--group redis) \
	$(if $(shell command -v npm 2>&1),,--group node)

# Last, so that a Node of the system comes before the one a Python package may have brought.
export PATH := $(PATH):$(CURDIR)/$(BIN)

.PHONY: setup demo crowd test lint bench screenshots

setup: $(INSTALLED) $(SDK)

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, try: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

$(INSTALLED): pyproject.toml requirements.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt --group test --group lint $(FALLBACKS)
	@touch $@

$(SDK): package.json package-lock.json tools/sdk.py | $(INSTALLED)
	$(BIN)/python tools/sdk.py

demo: setup
	@$(BIN)/python -m project.demo

crowd: setup
	@test -f "$(DEMO_DIR)/environment" || { echo "No demo is running: start one in another terminal with: make demo" >&2; exit 1; }
	@. "$(DEMO_DIR)/environment" && exec $(BIN)/python manage.py presence_crowd --users $(USERS) --cursors

test: setup
	@$(BIN)/python -m tools.versions
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --ignore tests/browser
	$(BIN)/python -m pytest tests/browser
	node --test --test-reporter=spec tests/js/*.test.js

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	@$(BIN)/python -m bench $(if $(filter quick,$(BENCH)),--quick,--write) $(if $(filter long,$(BENCH)),--long)

screenshots: setup
	SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest -q tests/browser/test_screenshots.py \
		tests/browser/test_whiteboard.py
