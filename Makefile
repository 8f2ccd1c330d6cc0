# Everything Groundcrew's developers do. Each target sets up what it needs, inside this folder only:
# uv in .tools/uv, then one environment per dependency group of pyproject.toml, exactly as uv.lock says.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

UV_VERSION := $(shell sed -n 's/^required-version = "==\([0-9.]*\)".*/\1/p' pyproject.toml)
UV := .tools/uv/$(UV_VERSION)/bin/uv
PYTHON := .venv/bin/python
SAM := .tools/sam/bin/sam
# Two processes: the local cloud and its function processes want a core as well.
WORKERS ?= 2

export UV_PYTHON := $(shell command -v python3)
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
# Where this is set, each of many runs of the SAM CLI would compile all of it anew (3 s).
unexport PYTHONDONTWRITEBYTECODE
export SAM_CLI_TELEMETRY := 0
# `sam validate` asks for a Region and for nothing else.
export AWS_DEFAULT_REGION ?= us-east-1

# functions/groundcrew_metadata is a link to what the DAGs import.
SOURCES := $(wildcard functions layers/airflow/dags/groundcrew/*.py layers/airflow/plugins/groundcrew_listener localcloud \
	analytics tests bench conftest.py)
PLAIN_TEMPLATES := $(wildcard spoke/template.yaml analytics/template.yaml examples/*/*.yaml)
SHELL_SCRIPTS := .ci/run $(wildcard tools/*.sh layers/airflow/startup/*.sh localcloud/*.sh)
# The local cloud needs every environment: itself, the SAM CLI, and the interpreter of the functions.
ENVIRONMENTS := .venv/.ready .tools/sam/.ready .tools/cloud/.ready .tools/runtime/.ready

# The versions that every test run and the demonstration need for real.
AIRFLOWS := .tools/airflow-2.10.3/.ready .tools/airflow-3.3.1/.ready
# Its `db clean` differs from that of the versions after it: the bench measures both.
OLDER := .tools/airflow-3.0.6/.ready
# All that there is a lock for.
MATRIX := $(patsubst localcloud/airflow/requirements-%.txt,%,$(wildcard localcloud/airflow/requirements-*.txt))

##@ Run

demo: $(ENVIRONMENTS) $(AIRFLOWS) wheel ## deploy to the local cloud and watch environments get their endpoints (KEEP=1: leave it running)
	$(PYTHON) -m localcloud.demo $(if $(KEEP),--keep)

cloud-up: $(ENVIRONMENTS) ## start the local cloud in the background
	$(PYTHON) -m localcloud up

cloud-down: .venv/.ready ## stop it
	$(PYTHON) -m localcloud down

bench: $(ENVIRONMENTS) $(AIRFLOWS) $(OLDER) ## measure what the documentation claims (PART=endpoints: one part)
	$(PYTHON) -m bench $(PART)

bench-short: $(ENVIRONMENTS) $(AIRFLOWS) ## show that every measurement works, in 3 minutes; writes no figures
	$(PYTHON) -m bench --short $(PART)

##@ Check

# Those that reach every branch of the planners: only they are watched, for that costs three quarters more time.
PLANNERS_TESTS := $(wildcard tests/unit/*/test_*plan*.py) \
	$(patsubst %,tests/unit/endpoints/test_%.py,by_hand foreign removal reporting taking_away)

PYTEST := $(PYTHON) -m pytest -n $(WORKERS) --dist loadgroup
# Everything that a test of the highest tiers needs.
EVERYTHING := $(ENVIRONMENTS) $(AIRFLOWS) .tools/aws/.ready wheel
# A session of cosmic-ray, and what is drawn for it.
MUTANTS := .mutants.sqlite
SEED ?= 1
COUNT ?= 20
TIER ?= test
AIRFLOW_TESTS := tests/airflow localcloud/tests/airflow

test: $(ENVIRONMENTS) $(AIRFLOWS) wheel ## the tests before a commit: all units, a sample of the rest, one path per part
	$(PYTEST) --tier quick

test-unit: .venv/.ready .tools/runtime/.ready ## only those in one process, without the local cloud's own
	$(PYTEST) --tier unit tests/unit tests/template

test-all: $(EVERYTHING) ## everything on two Airflow versions, and every branch of the planners; CI runs it
	$(PYTEST) --tier all
	$(PYTHON) -m pytest -n $(WORKERS) --quiet --cov --cov-report= $(PLANNERS_TESTS)
	$(PYTHON) -m coverage report --include='functions/*/*plan*.py' --fail-under=100

test-matrix: test-all $(MATRIX:%=test-airflow-%) ## test-all, long fuzzing, and every Airflow version that has a lock
	$(PYTEST) --tier matrix -m matrix

test-airflow-%: .venv/.ready .tools/airflow-%/.ready
	LIVE_AIRFLOWS=$* $(PYTHON) -m pytest --tier matrix $(AIRFLOW_TESTS)

mutants: $(EVERYTHING) .tools/mutants/.ready ## which changed lines of the product do the tests not notice? (SEED=1 COUNT=20 TIER=test; in a clone of its own)
	.tools/mutants/bin/cosmic-ray init tests/mutants/mutants.toml $(MUTANTS)
	.tools/mutants/bin/cr-filter-operators $(MUTANTS) tests/mutants/mutants.toml
	.tools/mutants/bin/python tests/mutants/draw.py $(MUTANTS) --seed $(SEED) --count $(COUNT)
	TIER=$(TIER) .tools/mutants/bin/cosmic-ray exec tests/mutants/mutants.toml $(MUTANTS)
	.tools/mutants/bin/cr-report --show-diff --surviving-only $(MUTANTS)

test-cloud: $(EVERYTHING) ## only the tests of the product on the local cloud
	$(PYTEST) tests/cloud tests/docs

test-airflow: $(EVERYTHING) ## only those on real Airflow
	$(PYTEST) $(AIRFLOW_TESTS)

test-localcloud: $(EVERYTHING) ## only those of the local cloud itself
	$(PYTEST) localcloud/tests

check: .venv/.ready .tools/sam/.ready ## format, lint, types, templates, shell scripts, lock
	@$(MAKE) --no-print-directory --jobs 2 --keep-going --output-sync=target \
		check-format check-lint check-types check-hub check-templates check-shell check-lock

check-format:
	.venv/bin/ruff format --check .

check-lint:
	.venv/bin/ruff check --quiet --output-format concise .

check-types:
	.venv/bin/mypy $(SOURCES)

check-hub:
	$(SAM) validate --lint

check-templates:
	.tools/sam/bin/cfn-lint $(PLAIN_TEMPLATES)

check-shell:
	$(firstword $(wildcard .venv/bin/shellcheck) shellcheck) $(SHELL_SCRIPTS)

check-lock:
	$(UV) lock --check --offline --quiet
	$(EXPORT_LAYER) layer | diff layers/dependencies/requirements.txt -
	$(EXPORT_LAYER) duckdb | diff layers/duckdb/requirements.txt -

format: .venv/.ready ## format the code, and fix what can be fixed
	.venv/bin/ruff check --fix --quiet .
	.venv/bin/ruff format --quiet .

##@ Build

build: .tools/sam/.ready ## build the application as `sam deploy` takes it
	$(SAM) build

# uv builds it itself, with nothing from elsewhere: always the same bytes.
wheel: $(UV) ## build the listener for an environment's Airflow, into layers/airflow/plugins/dist
	$(UV) build --offline --quiet --wheel layers/airflow/plugins

# Without the developer's own index settings: the lock is for everybody.
lock: $(UV) ## resolve pyproject.toml again: uv.lock and the layers' requirements.txt
	$(UV) lock --no-config --quiet
	$(EXPORT_LAYER) layer > layers/dependencies/requirements.txt
	$(EXPORT_LAYER) duckdb > layers/duckdb/requirements.txt

clean: ## remove all that make has made, environments included
	-test ! -x $(PYTHON) || $(PYTHON) -m localcloud down
	rm -rf layers/airflow/plugins/dist
	rm -rf .aws-sam .demo .tools .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* $(MUTANTS)
	find . -name __pycache__ -prune -exec rm -rf {} +

##@ Help

help: ## this list
	@awk -F ':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

.PHONY: bench bench-short build check check-format check-hub check-lint check-lock check-shell check-templates check-types \
	clean cloud-down cloud-up demo format help lock mutants test test-airflow test-all test-cloud test-localcloud test-matrix \
	test-unit wheel

EXPORT_LAYER = $(UV) export --frozen --quiet --no-header --no-annotate --only-group

# pip installs uv into a folder of ours (`--target` is allowed on externally managed Pythons too).
$(UV):
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "Groundcrew needs python3 3.11 or newer on PATH, found: $$(python3 --version 2>&1)" >&2; exit 1; }
	python3 -m pip install --quiet --disable-pip-version-check --no-input --root-user-action=ignore \
		--target .tools/uv/$(UV_VERSION) uv==$(UV_VERSION)

define environment
	UV_PROJECT_ENVIRONMENT=$(@D) $(UV) sync --frozen --quiet --only-group $(1)
	@touch $@
endef

.venv/.ready: uv.lock | $(UV)
	$(call environment,dev)

$(foreach group,aws cloud mutants postgres runtime sam,.tools/$(group)/.ready): .tools/%/.ready: uv.lock | $(UV)
	$(call environment,$*)

# Real Airflow, each version with its own lock, and the database it migrated. Airflow 2 ends with Python 3.12: where
# there is neither 3.11 nor 3.12, it is not installed, and its tests are skipped.
.tools/airflow-%/.ready: localcloud/airflow/requirements-%.txt localcloud/airflow/prepare.py .tools/postgres/.ready | $(UV)
	@python=$$(env -u UV_PYTHON $(UV) python find --system '>=3.11,<3.13' 2>/dev/null || echo $(UV_PYTHON)); \
	if [[ $* == 2.* ]] && ! "$$python" -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then \
		echo "Airflow $* needs Python 3.11 or 3.12, and none was found: not installed" >&2; exit; \
	fi; \
	set -x; \
	$(UV) venv --quiet --clear --no-project --python "$$python" $(@D); \
	$(UV) pip sync --quiet --python $(@D)/bin/python $<; \
	$(UV_PYTHON) -m localcloud.airflow prepare $*; \
	touch $@
