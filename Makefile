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

SOURCES := $(wildcard functions localcloud tests bench)
PLAIN_TEMPLATES := $(wildcard spoke/template.yaml examples/*/*.yaml)
SHELL_SCRIPTS := .ci/run $(wildcard tools/*.sh)
# The local cloud needs every environment: itself, the SAM CLI, and the interpreter of the functions.
ENVIRONMENTS := .venv/.ready .tools/sam/.ready .tools/cloud/.ready .tools/runtime/.ready

##@ Run

demo: $(ENVIRONMENTS) ## deploy to the local cloud and watch environments get their endpoints (KEEP=1: leave it running)
	$(PYTHON) -m localcloud.demo $(if $(KEEP),--keep)

cloud-up: $(ENVIRONMENTS) ## start the local cloud in the background
	$(PYTHON) -m localcloud up

cloud-down: .venv/.ready ## stop it
	$(PYTHON) -m localcloud down

bench: $(ENVIRONMENTS) ## measure what the documentation claims (PART=endpoints: one part)
	$(PYTHON) -m bench $(PART)

##@ Check

test: $(ENVIRONMENTS) .tools/aws/.ready ## all tests, and every branch of the planner
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadgroup --cov --cov-report=
	$(PYTHON) -m coverage report --include='functions/endpoints/plan*.py' --fail-under=100

test-unit: .venv/.ready .tools/runtime/.ready ## the tests that need no cloud
	$(PYTHON) -m pytest tests/unit

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
	$(EXPORT_LAYER) | diff layers/dependencies/requirements.txt -

format: .venv/.ready ## format the code, and fix what can be fixed
	.venv/bin/ruff check --fix --quiet .
	.venv/bin/ruff format --quiet .

##@ Build

build: .tools/sam/.ready ## build the application as `sam deploy` takes it
	$(SAM) build

# Without the developer's own index settings: the lock is for everybody.
lock: $(UV) ## resolve pyproject.toml again: uv.lock and the layer's requirements.txt
	$(UV) lock --no-config --quiet
	$(EXPORT_LAYER) > layers/dependencies/requirements.txt

clean: ## remove all that make has made, environments included
	-test ! -x $(PYTHON) || $(PYTHON) -m localcloud down
	rm -rf .aws-sam .demo .tools .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -prune -exec rm -rf {} +

##@ Help

help: ## this list
	@awk -F ':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

.PHONY: bench build check check-format check-hub check-lint check-lock check-shell check-templates check-types \
	clean cloud-down cloud-up demo format help lock test test-unit

EXPORT_LAYER = $(UV) export --frozen --quiet --only-group layer --no-header --no-annotate

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

.tools/%/.ready: uv.lock | $(UV)
	$(call environment,$*)
