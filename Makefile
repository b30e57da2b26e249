# `make demo` runs the site on an emulated AWS, `make test` runs every test.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Prefer Debian's Python if it is new enough: it is built with optimizations. A plain build is a quarter slower.
PYTHON ?= $(shell /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && echo /usr/bin/python3 || echo python3)
BIN := .venv/bin
# Caches stay inside the checkout. Compiled Python is cached, even if the user's shell disables it: it saves seconds a run.
export XDG_CACHE_HOME := $(CURDIR)/.state/cache
export PYTHONPYCACHEPREFIX := $(CURDIR)/.state/cache/python
unexport PYTHONDONTWRITEBYTECODE
export MOLECULE_EPHEMERAL_DIRECTORY := $(CURDIR)/.state/molecule
# For tools that do not read ansible.cfg.
export ANSIBLE_HOME := $(CURDIR)/.state/ansible
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Scripts of the environment start with its path, which a space ends.
ifneq ($(words $(CURDIR)),1)
$(error Failed to use this checkout: its path "$(CURDIR)" has a space. Move it to a path without one)
endif

.PHONY: help demo up bench status report down test env env-dev lint unit sanity emulated molecule dashboards constraints

help:  ## List the targets
	@grep -E '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo:  ## Create the environment, the lab and the site, and run a short benchmark
	@tools/early & early=$$!
	$(MAKE) env
	# The role repeats what failed, and says why.
	wait $$early || true
	$(BIN)/python runner.py up --target lab
	$(BIN)/python runner.py bench --target lab

up bench status report: env  ## A single step of the demo
	@$(BIN)/python runner.py $@ --target lab

down: env  ## Remove the lab (KEEP_IMAGE=1 keeps the host image)
	@$(BIN)/python runner.py down --target lab

env: .venv/.ready  ## Create the Python environment for runs

env-dev: .venv/.ready-dev  ## Create the Python environment for tests

.venv/.ready: pyproject.toml constraints.txt
	@tools/environment "$(PYTHON)" "bundle,lab"
	touch $@

.venv/.ready-dev: .venv/.ready
	@tools/environment "$(PYTHON)" "bundle,lab,dev"
	touch $@

test: env-dev  ## Run every test
	@$(BIN)/python tools/run_tests.py

lint: env-dev  ## Run the static checks
	@tools/lint

unit: env-dev  ## Test pure functions, modules and the runner
	@$(BIN)/pytest --numprocesses 2 --dist loadfile

sanity: env-dev  ## Run ansible-test sanity on a copy of the collection
	@tools/sanity

emulated: env-dev  ## Test the infrastructure against an emulated EC2 API
	@$(BIN)/pytest tests/emulated --numprocesses 2 --dist loadfile

molecule: env-dev  ## Test the whole site in the lab: check, converge, idempotence, verify
	@$(BIN)/molecule test --scenario-name default

# Molecule keeps its state in a directory per scenario, so that scenarios may run beside the lab.
scenario-%: env-dev  ## Test one role on bare hosts (postgres, pgbouncer, exporters, monitoring)
	@MOLECULE_EPHEMERAL_DIRECTORY=$(CURDIR)/.state/molecule-$* $(BIN)/molecule test --scenario-name $*

dashboards: env-dev  ## Generate Grafana's dashboards from dashboards/*.py
	@$(BIN)/python -W 'ignore:Prefer using dashboardv2' -m dashboards.build

constraints: env-dev  ## Update constraints.txt to the newest compatible versions
	@$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --all-extras \
	  --no-annotate --custom-compile-command 'make constraints' --no-emit-index-url pyproject.toml \
	  --output-file constraints.txt
