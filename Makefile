# Two commands do all the set-up: `make demo` and `make test`. Everything lands in .venv; nothing is installed for the user.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
CODE := edge_runtime firmware_bridge models bench tests tools
# Test processes side by side; the tests that kill brokers and daemons run alone.
JOBS ?= 2

.PHONY: demo test check test-long bench models deb schemas system clean help

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make demo PYTHON=python3.12" >&2; exit 5; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); sh tools/install-system-packages.sh venv $(PYTHON) && $(PYTHON) -m venv $(VENV); } \
		|| { rm -rf $(VENV); exit 5; }

$(VENV)/.gateway: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing the gateway's packages (once)" >&2
	@$(PIP) --editable '.[gateway]'
	@touch $@

$(VENV)/.all: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing everything (once)" >&2
	@$(PIP) --editable '.[gateway,compress,firmware,dev]'
	@touch $@ $(VENV)/.gateway

## make demo       a small factory with two models on an embedded broker; DEMO="--seed 7 --duration 30" passes options
demo: $(VENV)/.gateway
	@$(BIN)/edge-runtime demo $(DEMO)

## make test       everything is installed, the whole suite runs
test: $(VENV)/.all system
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m "not long and not broker" tests
	@$(BIN)/python -m pytest -q -m "broker and not long" tests
	@sh tools/install-system-packages.sh report

## make check      format, lint, types, import contracts, fast tests
check: $(VENV)/.all
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/mypy --strict edge_runtime firmware_bridge tests
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m "not slow and not long and not tensorflow and not broker and not compiler" \
		tests/unit tests/property tests/contract tests/golden

## make test-long  soak, kills, faults, fuzz and emulators at length; writes docs/endurance.md and docs/faults.md
test-long: $(VENV)/.all system
	@EDGE_RECORD=1 $(BIN)/python -m pytest -m "long" tests

## make bench      every measurement, as ratios against named peers, to bench/results/
bench: $(VENV)/.all
	@set -e; for file in bench/[a-z]*.py; do name=$$(basename $$file .py); \
		case $$name in harness) ;; *) echo "== $$name"; $(BIN)/python -m bench.$$name;; esac; done

## make models     train and quantize the released bundles again
models: $(VENV)/.all
	@$(BIN)/python models/build.py

## make deb        the Debian package for gateways without a network, to build/
deb: $(VENV)/.all
	@$(BIN)/python tools/build_deb.py

## make schemas    write docs/formats from the code that is their source
schemas: $(VENV)/.all
	@$(BIN)/python tools/generate_schemas.py

system:
	@sh tools/install-system-packages.sh test

clean:
	rm -rf $(VENV) build dist bench/results .mypy_cache .ruff_cache .hypothesis
