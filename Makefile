# `make help` lists the targets. The first of them makes the environment; the next run finds it made.
#
# One environment, .venv, made in two steps, because the second is five times the first. Measured on two cores with empty
# caches and a near index: what the demo needs (36 packages, 320 MB) 2.2 s, everything (140 packages, 1.6 GB) 7.2 s, and on a
# slow line the gap is that of the downloads. `make demo` stops after the first; both come from one resolution, so that
# the second only adds.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
UV := .uv/bin/uv
# The directory is part of a stamp's name: a copied or moved tree gets its own environment instead of the old one's paths.
HERE := $(shell pwd -P | cksum | cut -d ' ' -f 1)
DEMO_READY := $(VENV)/.ready-demo-$(HERE)
READY := $(VENV)/.ready-$(HERE)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

SOURCES := requirements/uv.txt pyproject.toml scripts/environment.sh

$(DEMO_READY): requirements/demo.txt $(SOURCES)
	@scripts/environment.sh demo
	@touch $@

$(READY): requirements/dev.txt $(SOURCES)
	@scripts/environment.sh dev
	@touch $(DEMO_READY) $@

.PHONY: env
env: $(READY) ## make or renew .venv (every other target does this by itself)

.PHONY: demo
demo: $(DEMO_READY) ## real detectors from training to live traffic: rollouts, an experiment, an alert; leaves registries to explore
	@$(PY) examples/demo.py
	@$(PY) examples/live.py

.PHONY: test
test: $(READY) ## run the tests; PYTEST_ARGS='-k word' narrows them
	@$(PY) -m pytest $(PYTEST_ARGS)

.PHONY: test-slow
test-slow: $(READY) ## run the tests marked slow
	@$(PY) -m pytest -m slow $(PYTEST_ARGS)

.PHONY: explore
explore: $(READY) ## the tests in another order and with other examples each time: what it finds becomes a test
	@CHOPMARK_TEST_EXPLORE=1 $(PY) -m pytest --randomly-seed=$$(date +%s) $(PYTEST_ARGS)

.PHONY: check
check: $(READY) ## static gates: ruff, mypy, import contracts, dependencies
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-logo
	@$(PY) -m deptry src

.PHONY: ci
ci: test test-slow check demo bench-check faults-short ## what CI runs, with what this machine has

.PHONY: report
report: $(READY) ## sizes, complexity and docstring coverage: to read, never a gate
	-@$(PY) scripts/report.py

.PHONY: bench
bench: $(READY) ## measure what the README claims; BENCH_ARGS='--only stores' narrows it
	@$(PY) -m benchmarks $(BENCH_ARGS)

.PHONY: bench-peers
bench-peers: $(READY) ## make the environments of DVC, MLflow, BentoML, Evidently, alibi-detect and MLServer, which `make bench` then measures too
	@$(PY) -m benchmarks.peers --make

.PHONY: bench-check
bench-check: $(READY) ## count instructions (callgrind), and compare with those committed
	@$(PY) -m benchmarks.instructions

# Processes killed: some three minutes for a thousand. `make faults-short` is what CI runs.
N := 10000
.PHONY: faults
faults: $(READY) ## break it on purpose: kills, failed calls, power cuts, crowds; N=10000 kills
	@$(PY) -m faults --kills $(N) $(FAULTS_ARGS)

.PHONY: faults-short
faults-short: $(READY)
	@$(PY) -m faults --short $(FAULTS_ARGS)

.PHONY: format
format: $(READY) ## let ruff fix and format
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

# uv.lock names the index it was made from, so it stays out of the repository; what is exported from it names none.
EXPORT = $(UV) export --quiet --frozen --format requirements.txt --no-emit-project --no-header --no-default-groups

.PHONY: lock
lock: $(READY) ## renew requirements/ to the newest versions that pyproject.toml allows
	@UV_SYSTEM_CERTS=1 $(UV) lock --quiet --upgrade
	@$(EXPORT) --group demo --group build --output-file requirements/demo.txt
	@$(EXPORT) --group dev --output-file requirements/dev.txt

.PHONY: clean
clean: ## remove the environments and everything that runs leave behind
	@rm -rf $(VENV) .uv .bench .clients chopmark-bench-* node_modules tests/azurite/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache build dist
	@find src tests examples benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
