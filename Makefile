# `make help` lists the targets. The first of them makes the environment; the next run finds it made.
#
# One environment for the demo and the tests. Measured on two cores with cold caches: the full lock takes SETUP_FULL, the
# demo's own part of it SETUP_DEMO; a second lock and a second venv would save less than they cost to keep true.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
UV := .uv/bin/uv
# The directory is part of the stamp's name: a copied or moved tree gets its own environment instead of the old one's paths.
READY := $(VENV)/.ready-$(shell pwd -P | cksum | cut -d ' ' -f 1)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

$(READY): requirements/dev.txt requirements/uv.txt pyproject.toml scripts/environment.sh
	@scripts/environment.sh
	@touch $@

.PHONY: env
env: $(READY) ## make or renew .venv (every other target does this by itself)

.PHONY: demo
demo: $(READY) ## train, register, promote and load real detectors; leaves a registry to explore
	@$(PY) examples/demo.py

.PHONY: test
test: $(READY) ## run the tests; PYTEST_ARGS='-k word' narrows them
	@$(PY) -m pytest $(PYTEST_ARGS)

.PHONY: test-slow
test-slow: $(READY) ## run the tests marked slow
	@$(PY) -m pytest -m slow $(PYTEST_ARGS)

.PHONY: check
check: $(READY) ## static gates: ruff, mypy, import contracts, dependencies
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) scripts/import_contracts.py
	@$(PY) -m deptry src

.PHONY: ci
ci: test test-slow check demo ## what CI runs, with what this machine has

.PHONY: report
report: $(READY) ## sizes, complexity and docstring coverage: to read, never a gate
	@$(PY) scripts/report.py

.PHONY: bench
bench: $(READY) ## measure what the README claims
	@$(PY) -m benchmarks

.PHONY: format
format: $(READY) ## let ruff fix and format
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

.PHONY: lock
lock: $(READY) ## renew requirements/dev.txt to the newest versions pyproject.toml allows
	@UV_SYSTEM_CERTS=1 $(UV) lock --quiet --upgrade
	@UV_SYSTEM_CERTS=1 $(UV) export --quiet --format requirements.txt --no-emit-project --no-header --group dev \
		--output-file requirements/dev.txt

.PHONY: clean
clean: ## remove the environments and everything that runs leave behind
	@rm -rf $(VENV) .uv node_modules tests/azurite/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache build dist
	@find src tests examples benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
