# What a developer types. `make` alone lists the targets; each one brings its own tools along.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test unit integration vm vm-full vm-shell hostile lint bench clean

BIN := .venv/bin
# Workers of the tests; each has its own scratch stores and build folders.
JOBS ?= 2
# Of the lines, commands that tests start as programs of their own included.
COVERAGE_MIN ?= 90
SCRIPTS := $(wildcard tools/*.sh src/wsgi_sepkg/simulate/stand-ins/*) .ci/run

# $(call stage,NAME,COMMAND): run one stage of a target, stop where it fails, and say which it was.
stage = @printf '\n== $(1)\n'; $(2) || { status=$$?; \
	printf '\n== %s: stage "%s" failed with status %s\n' '$@' '$(1)' "$$status" >&2; exit $$status; }

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install system packages and .venv (quick when all is there)
	@tools/setup.sh

demo: setup ## build the example application into RPMs and look inside
	@tools/demo.sh

test: setup ## everything that has to pass: lint, unit, integration, coverage
	@rm -f $(measured)
	$(lint_stages)
	$(call stage,unit tests,$(BIN)/pytest tests/unit -n $(JOBS) $(cover))
	@tools/side-by-side.sh 'integration tests' '$(integration_tests)' 'machine tests' '$(machine_tests)'
	@$(BIN)/coverage combine --quiet --append .coverage-machine
	$(call stage,coverage,$(BIN)/coverage report --skip-covered --fail-under=$(COVERAGE_MIN))
	@printf '\n== all stages passed\n'

unit: setup ## the tests that need no tools
	@$(BIN)/pytest tests/unit -n $(JOBS)

integration: setup ## the tests with the real compiler, linker and rpmbuild
	@$(BIN)/pytest tests/integration $(side)

vm: setup ## the tests under an enforcing kernel, in a machine of qemu
	@$(BIN)/pytest tests/vm -rA

vm-full: setup ## all cells of the life-cycle matrix, and what else takes long, two side by side
	@WSGI_SEPKG_VM_FULL=1 $(BIN)/pytest tests/vm tests/integration/test_bundled.py $(side)

vm-shell: setup ## a root shell in that machine
	@$(BIN)/python -m wsgi_sepkg.machine

hostile: setup ## a million spoilt log records against an independent reader
	@$(BIN)/python tests/hostile/run.py --records 1000000 --jobs $(JOBS)

lint: setup ## ruff, mypy --strict, shellcheck
	$(lint_stages)

bench: setup ## measure, beside the peers
	@$(BIN)/python benchmarks/run.py

clean: ## remove what was built; .venv stays
	@rm -rf out build dist $(measured) .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# Side by side; tests that share a boot stay together.
side = -n $(JOBS) --dist loadgroup
measured = .coverage .coverage.* .coverage-machine*
cover = --cov=wsgi_sepkg --cov-report=
# The machine has one core busy, so they go side by side; each notes in a file of its own what it
# has run through.
integration_tests = $(BIN)/pytest tests/integration $(side) $(cover) --cov-append
machine_tests = COVERAGE_FILE=.coverage-machine $(BIN)/pytest tests/vm -rA $(cover)

define lint_stages
	$(call stage,ruff check,$(BIN)/ruff check .)
	$(call stage,ruff format,$(BIN)/ruff format --check .)
	$(call stage,mypy,$(BIN)/mypy)
	$(call stage,shellcheck,shellcheck $(SCRIPTS))
endef
