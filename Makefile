# Everything a checkout needs, from nothing but Python 3.11, git and make. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV ?= .venv
PORT ?= 8000
# Workers for the tests: a number, or auto for one a core. Many tests wait, so there are more than cores.
JOBS ?= $(shell echo $$(( ($$(getconf _NPROCESSORS_ONLN) * 3 + 1) / 2 )))
# Fast tests hardly wait: a worker more than there are cores costs more than it brings, as each collects all tests.
CORES := $(if $(filter command line environment,$(origin JOBS)),$(JOBS),$(shell getconf _NPROCESSORS_ONLN))
# The folders of tests of whole engines and programs, most of them slow: test-fast does not even collect them.
SLOW := tests/browser tests/conformance tests/faults tests/unit/testing/conformance
# More arguments for the program that a target runs: make test ARGS='-k names'
ARGS ?=
# How many bugs `make mutants` draws, and of which package.
N ?= 100
P ?=

# A test run starts a hundred programs: none compiles telex again.
export PYTHONDONTWRITEBYTECODE :=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest $(if $(SEED),--hypothesis-seed=$(SEED))
# What is installed is known by stamps: pip runs again only when pyproject.toml has changed.
RUN := $(VENV)/.installed-run
TEST := $(VENV)/.installed-test
CHECK := $(VENV)/.installed-check
BENCH := $(VENV)/.installed-bench
DOCS := $(VENV)/.installed-docs
WHEEL := build/wheel

.PHONY: help
help: ## list the targets
	@echo 'usage: make TARGET [PYTHON=python3.11] [PORT=8000] [JOBS=3] [ARGS=...]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: $(RUN) ## install telex and open the chat room on http://127.0.0.1:8000 (PORT=8001, URL=postgresql://... for others)
	@$(if $(filter postgres%,$(URL)),$(BIN)/python -c 'import psycopg' 2>/dev/null || $(PIP) --editable '.[postgres]')
	@exec $(BIN)/telex chat --port $(PORT) $(if $(URL),--url '$(URL)') $(ARGS)

.PHONY: postgres
postgres: $(VENV)/.made ## install and start a PostgreSQL server on a free port, print its URL, and stop it at Ctrl-C
	@exec $(BIN)/python scripts/postgres.py --install --serve .postgres

.PHONY: test
test: $(TEST) ## run every test, Chromium included (ARGS='-k names', SEED=1 to repeat a run, JOBS=0 for one process)
	@$(BIN)/python scripts/chromium.py --install >/dev/null
	@$(BIN)/python scripts/postgres.py --install >/dev/null
	@$(BIN)/python scripts/postgres.py --install --pgbouncer >/dev/null
	@$(PYTEST) -n $(JOBS) --dist worksteal $(ARGS)

.PHONY: test-fast
test-fast: $(TEST) ## run the tests of units and pages that take under a quarter of a second each
	@$(PYTEST) -n $(CORES) --dist worksteal -m 'not slow and not browser' $(SLOW:%=--ignore=%) $(ARGS)

.PHONY: test-versions
test-versions: $(VENV)/.made ## run every test on each installed Python from 3.11 on, and name the missing versions
	@MAKE='$(MAKE)' scripts/test-versions $(BIN)/python

.PHONY: test-postgres
test-postgres: $(TEST) ## run the tests of PostgreSQL on the newest version that is installed; `make test` runs them on one
	@TELEX_POSTGRES=$$($(BIN)/python scripts/postgres.py --newest) $(PYTEST) -n $(JOBS) --dist worksteal \
	    tests/conformance/test_postgres.py tests/unit/engines/postgres $(ARGS)

.PHONY: test-wheel
test-wheel: $(TEST) $(WHEEL)/.installed ## build the wheel, install it by itself, and test from an empty folder what it could lack
	@scripts/test-wheel $(WHEEL) $(BIN)/python -n $(CORES) --dist worksteal -m 'not slow and not browser' $(ARGS)

.PHONY: check
check: $(CHECK) ## lint, formatting, types (mypy and pyright), the structure and the language
	@$(MAKE) --no-print-directory --jobs 2 check-mypy check-pyright check-lint

.PHONY: check-lint check-mypy check-pyright
check-mypy: $(CHECK)
	$(BIN)/mypy

check-pyright: $(CHECK)
	$(BIN)/python scripts/verify_types.py

check-lint: $(CHECK)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python scripts/structure.py
	$(BIN)/python scripts/language.py

.PHONY: format
format: $(CHECK) ## format the code, and apply the automatic fixes of ruff
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: mutants-by-hand
mutants-by-hand: $(TEST) ## put the bugs of tests/mutants/kernel.py and hand.py into copies of the source: the tests find each
	@$(BIN)/python -m tests.mutants
	@$(BIN)/python -m tests.mutants --hand --jobs $(CORES)

.PHONY: mutants
mutants: $(TEST) ## put N=100 generated bugs into copies of the source, and report those that the tests find (SEED=1, P=gateway)
	@JOBS=$(subst auto,,$(JOBS)) $(BIN)/python -m tests.mutants --sample $(N) $(if $(SEED),--seed $(SEED)) $(if $(P),--package $(P)) $(ARGS)

.PHONY: bench
bench: $(BENCH) ## run the benchmarks; writes bench/results.json and bench/results.svg
	@$(BIN)/python -m bench $(ARGS)

.PHONY: docs
docs: $(DOCS) ## build the documentation into site/
	@rm -rf site
	@$(BIN)/zensical build --clean --strict $(ARGS)
	@$(BIN)/python scripts/reference.py
	@# The pages link to the picture where it is in the repository; the site has a copy of its own.
	@mkdir -p site/bench
	@cp bench/results.svg site/bench/
	@sed -i.orig 's|\.\./\.\./bench/results.svg|../bench/results.svg|' site/benchmarks/index.html
	@rm site/benchmarks/index.html.orig

.PHONY: clean
clean: ## remove everything that make has created
	rm -rf $(VENV) .venv-3.* build dist site .hypothesis .mypy_cache .pytest_cache .ruff_cache .cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made: scripts/venv
	@scripts/venv $(VENV) $(PYTHON)
	@touch $@

define install
	@echo 'installing $(1) into $(VENV)'
	@$(PIP) --editable '.[$(2)]'
	@touch $@
endef

$(RUN): $(VENV)/.made pyproject.toml
	$(call install,telex,chat)

$(TEST): $(VENV)/.made pyproject.toml
	$(call install,telex and what its tests need,chat$(comma)test)
	@touch $(RUN)

$(CHECK): $(VENV)/.made pyproject.toml
	$(call install,telex and what its tests and checks need,chat$(comma)test$(comma)check)
	@touch $(RUN) $(TEST)

$(BENCH): $(VENV)/.made pyproject.toml
	$(call install,telex and what it is measured against,chat$(comma)bench)
	@touch $(RUN)

$(DOCS): $(VENV)/.made pyproject.toml
	$(call install,telex and what the documentation needs,chat$(comma)docs)
	@touch $(RUN)

$(WHEEL)/.installed: scripts/venv pyproject.toml
	@rm -rf $(WHEEL)
	@scripts/venv $(WHEEL) $(BIN)/python
	@echo 'installing what the tests of the wheel need into $(WHEEL)'
	@$(BIN)/python scripts/requirements.py chat test | $(WHEEL)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --requirement /dev/stdin
	@touch $@

comma := ,
