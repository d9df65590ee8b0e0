# The commands of this project; `make` prints them. Everything sets up what it needs on first use.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TRITON_READY := .venv-triton/.ready

.PHONY: help setup demo up check test system bench-ingest chaos fuzz train clean

help: ## print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml
	@echo "setting up $(VENV) (first use, about a minute) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Isocenter needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip 2>&1 | { grep -v '^WARNING: Location' || true; }
	@set -o pipefail; $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' 2>&1 | { grep -v '^WARNING: Location' || true; }
	@touch $@

$(TRITON_READY): deploy/triton/requirements.txt deploy/triton/setup_environment.py | $(READY)
	@$(PYTHON) deploy/triton/setup_environment.py --into .venv-triton
	@touch $@

setup: $(READY) $(TRITON_READY) ## set up the product's environment and Triton's

demo: setup ## show the whole system at work; DATA=dir pushes your own files, ONCE=1 ends by itself, OUT=dir keeps what came out
	@$(BIN)/isocenter demo $(if $(DATA),--data "$(DATA)") $(if $(ONCE),--once) $(if $(OUT),--out "$(OUT)") $(if $(JSON),--json)

up: setup ## run the system against a real PACS and RIS; CONFIG=isocenter.toml
	@$(BIN)/isocenter up $(if $(CONFIG),--config "$(CONFIG)")

check: $(READY) ## format, lint, types, import contracts
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && $(BIN)/mypy && $(BIN)/lint-imports

test: setup ## all tests that this machine can run; those that it can't say why; ARGS="-k name" runs some
ifdef ARGS
	@$(BIN)/python -m pytest -n 4 --dist loadfile -rs $(ARGS)
else
	@$(BIN)/python -m pytest -n 4 --dist worksteal -rs -m 'not system and not viewer'
	@echo "and now the whole system"
	@$(BIN)/python -m pytest -rs -m system
	@echo "and in a real hospital, looked at through a real viewer: nothing beside it"
	@$(BIN)/python -m pytest -rs -m viewer
endif

system: setup ## only the tests that start the whole system
	@$(BIN)/python -m pytest -rs -m 'system or viewer' $(ARGS)

bench-ingest: $(READY) ## how fast we store beside our peers, 25 min; DATA=ct ASSOCIATIONS=4 RUNS=3 RECEIVERS=… JSON=file; QUICK=1, SHORT=1
	@$(BIN)/python -m benchmarks.ingest $(if $(DATA),--data "$(DATA)") $(if $(ASSOCIATIONS),--associations "$(ASSOCIATIONS)") \
	  $(if $(RUNS),--runs "$(RUNS)") $(if $(RECEIVERS),--receivers "$(RECEIVERS)") $(if $(JSON),--json "$(JSON)") \
	  $(if $(FOLDER),--folder "$(FOLDER)") $(if $(QUICK),--quick) $(if $(SHORT),--short-associations)

chaos: setup ## break everything while studies go through, then count; SEED=n STUDIES=n STORE=embedded|servers|both MINUTES=n
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(STUDIES),--studies $(STUDIES)) $(if $(STORE),--store $(STORE)) \
	  $(if $(MINUTES),--minutes $(MINUTES)) $(if $(KEEP),--keep)

fuzz: setup ## attack every reader and every port for MINUTES=5, from SEED=n; what is found is kept for a replay
	@seed=$(or $(SEED),$$RANDOM); echo "SEED=$$seed"; ISOCENTER_FUZZ_SEED=$$seed ISOCENTER_FUZZ_MINUTES=$(or $(MINUTES),5) \
		ISOCENTER_FUZZ_FINDINGS=$${TMPDIR:-/tmp}/isocenter-fuzz $(BIN)/python -m pytest tests/fuzz -s --timeout 36000

train: setup ## train a package again: make train PACKAGE=chest_opacity [DATA=dir]
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[train]'
	@$(BIN)/python model_repository/$(PACKAGE)/recipe.py $(if $(DATA),--data "$(DATA)") --out model_repository/$(PACKAGE)

clean: ## remove both environments and caches
	@rm -rf $(VENV) .venv-triton .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
