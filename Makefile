# Two commands: `make demo` runs the main job on an emulated AWS, `make test` runs every test.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Debian's Python where it is new enough: without its optimizations everything is a quarter slower.
PYTHON ?= $(shell /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && echo /usr/bin/python3 || echo python3)
BIN := .venv/bin
# Caches of the tools and compiled Python stay inside the checkout.
export XDG_CACHE_HOME := $(CURDIR)/.state/cache
export PYTHONPYCACHEPREFIX := $(CURDIR)/.state/cache/python
unexport PYTHONDONTWRITEBYTECODE
export MOLECULE_EPHEMERAL_DIRECTORY := $(CURDIR)/.state/molecule
# Also for tools that don't read ansible.cfg.
export ANSIBLE_HOME := $(CURDIR)/.state/ansible
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Scripts of the environment start with its path, which a space ends.
ifneq ($(words $(CURDIR)),1)
$(error Failed to use this checkout: its path "$(CURDIR)" has a space. Move it to a path without one)
endif

.PHONY: help demo up bench status report down test env env-dev lint unit sanity emulated molecule dashboards constraints

help:  ## List the targets
	@grep -E '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo:  ## Environment, lab, site, and a short benchmark: direct against pooled
	@tools/early & early=$$!
	$(MAKE) env
	# The role repeats what failed, and says why.
	wait $$early || true
	$(BIN)/python runner.py up --target lab
	$(BIN)/python runner.py bench --target lab

up bench status report: env  ## The same of the lab, one by one
	@$(BIN)/python runner.py $@ --target lab

down: env  ## Remove the lab without a trace (KEEP_IMAGE=1 keeps the hosts' image)
	@$(BIN)/python runner.py down --target lab

env: .venv/.ready  ## Python environment for running

env-dev: .venv/.ready-dev  ## Python environment for testing

.venv/.ready: pyproject.toml constraints.txt
	@tools/environment "$(PYTHON)" "bundle,lab"
	touch $@

.venv/.ready-dev: .venv/.ready
	@tools/environment "$(PYTHON)" "bundle,lab,dev"
	touch $@

test: env-dev  ## Every test
	@$(BIN)/python tools/run_tests.py

lint: env-dev  ## Static checks
	@tools/lint

unit: env-dev  ## Pure functions, modules and the runner
	@$(BIN)/pytest

sanity: env-dev  ## ansible-test sanity on a real copy of the collection
	@tools/sanity

emulated: env-dev  ## The infrastructure against an emulated EC2 API, asserted resource by resource
	@$(BIN)/pytest tests/emulated --numprocesses 2 --dist loadfile

molecule: env-dev  ## The whole lab: check, converge, idempotence, verify
	@$(BIN)/molecule test --scenario-name default

# Each has a directory for Molecule's state, so that they may run beside the whole lab.
scenario-%: env-dev  ## A single role on bare hosts (postgres, pgbouncer, exporters, monitoring): check, converge, idempotence, verify
	@MOLECULE_EPHEMERAL_DIRECTORY=$(CURDIR)/.state/molecule-$* $(BIN)/molecule test --scenario-name $*

dashboards: env-dev  ## JSON of Grafana's dashboards, from dashboards/*.py
	@$(BIN)/python -W 'ignore:Prefer using dashboardv2' -m dashboards.build

constraints: env-dev  ## Newest versions that fit together
	@$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --all-extras \
	  --no-annotate --custom-compile-command 'make constraints' --no-emit-index-url pyproject.toml \
	  --output-file constraints.txt
