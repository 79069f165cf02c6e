# `make search` and `make test` set everything up by themselves. `make` alone lists what there is.
#
# Options, all empty or as below unless given (give them again when pyproject.toml or constraints.txt
# has changed, since that installs again):
#   ARGS=           what `nas search` or pytest gets, e.g. make search ARGS="preset=smoke seed=1"
#   PYTHON=         the Python to use; else the first one >= 3.11 that is found
#   CONSTRAINTS=    install without the tried versions of constraints.txt (other torch builds, macOS)
#   UV_ARGS=        more arguments for `uv pip install`, PIP_ARGS= the same for `pip install`, e.g.
#                   make setup CONSTRAINTS= UV_ARGS="--torch-backend cpu"
#                   make setup CONSTRAINTS= PIP_ARGS="--index-url ADDRESS --extra-index-url ADDRESS"
#   UV=             an empty one takes pip although uv is there
#   JOBS=2          processes that run tests

SHELL := /bin/sh
ARGS ?=
PYTHON ?=
CONSTRAINTS ?= constraints.txt
UV ?= uv
UV_ARGS ?=
PIP_ARGS ?=
JOBS ?= 2

BIN := .venv/bin
STAMP := .venv/.stamp
PYTHONS := $(or $(PYTHON),python3 python3.11 python3.12 python3.13 python3.14 python)
INSTALL = -e '.[dev,export]' $(if $(strip $(CONSTRAINTS)),-c '$(CONSTRAINTS)')

# Where nothing can be written into HOME, caches live here.
ifneq ($(shell test -n "$$HOME" && test -d "$$HOME" && test -w "$$HOME" && echo yes),yes)
export XDG_CACHE_HOME ?= $(CURDIR)/.cache
export XDG_CONFIG_HOME ?= $(CURDIR)/.cache/config
export XDG_DATA_HOME ?= $(CURDIR)/.cache/data
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
export PIP_CACHE_DIR ?= $(CURDIR)/.cache/pip
export MPLCONFIGDIR ?= $(CURDIR)/.cache/matplotlib
export TORCH_HOME ?= $(CURDIR)/.cache/torch
export TORCHINDUCTOR_CACHE_DIR ?= $(CURDIR)/.cache/inductor
export TRITON_CACHE_DIR ?= $(CURDIR)/.cache/triton
endif

# The stamp is written last and names this folder: without it .venv was left half-made, or came along
# when the checkout was moved or copied, and is made anew.
ifneq ($(shell test -x $(BIN)/python && cat $(STAMP) 2>/dev/null),$(CURDIR))
$(shell rm -f $(STAMP))
endif

.PHONY: help setup search test test-slow lint format types clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s%s\n", $$1, $$2}'
	@echo "Options (ARGS, PYTHON, CONSTRAINTS, UV_ARGS, PIP_ARGS ...) stand at the top of Makefile."

setup: $(STAMP) ## make .venv with everything in it (about 6 GB to download, 8 GB on disk)

$(STAMP): pyproject.toml $(wildcard $(CONSTRAINTS))
	@set -e; \
	if test -f $@; then echo "set-up  pyproject.toml or the pins have changed: bringing .venv up to date"; \
	else echo "set-up  making .venv (about 6 GB to download once, 8 GB on disk)"; rm -rf .venv; fi; \
	rm -f $@; \
	if test -n "$(UV)" && "$(UV)" --version >/dev/null 2>&1; then \
	  test -d .venv || "$(UV)" venv --quiet --no-project --python '$(or $(PYTHON),>=3.11)' .venv; \
	  "$(UV)" pip install --python $(BIN)/python $(UV_ARGS) $(INSTALL); \
	else \
	  $(BIN)/python -m pip --version >/dev/null 2>&1 || rm -rf .venv; \
	  test -d .venv || { $(FIND_PYTHON); "$$python" -m venv .venv; }; \
	  $(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) $(INSTALL); \
	fi; \
	printf '%s' "$(CURDIR)" > $@

# Sets $$python to the first that is new enough and can make environments; a name on PATH may be a
# shim that does not run, so each is run.
define FIND_PYTHON
python=; bare=; \
for name in $(PYTHONS); do \
  "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
  if "$$name" -c 'import ensurepip, venv' >/dev/null 2>&1; then python=$$name; break; fi; \
  bare=$${bare:-$$name}; \
done; \
if test -z "$$python" && test -n "$$bare"; then \
  version=$$("$$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
  echo "set-up  $$bare (Python $$version) cannot make environments: venv or ensurepip is missing." \
    "Install it (Debian, Ubuntu: apt install python3-venv, or python$$version-venv), then call make again." >&2; \
  exit 1; \
elif test -z "$$python"; then \
  echo "set-up  no Python >= 3.11 among: $(PYTHONS). Install one (Debian, Ubuntu:" \
    "apt install python3 python3-venv) or uv, or name it: make PYTHON=/path/to/python3 ..." >&2; \
  exit 1; \
fi
endef

search: $(STAMP) ## search an architecture on the embedded digits: nas search $(ARGS)
	@$(BIN)/nas search $(ARGS)

# Reads what pytest wrote; argument 1 is how many other checks failed, argument 2 pytest's exit status.
define SUMMARY
import sys
from xml.etree import ElementTree
checks, status = map(int, sys.argv[1:])
try:
    suite = ElementTree.parse('.cache/tests.xml').getroot()[0]
    tests, wrong, skipped = (
        sum(int(suite.get(name)) for name in names)
        for names in (['tests'], ['failures', 'errors'], ['skipped'])
    )
except (OSError, ElementTree.ParseError, IndexError):
    tests, wrong, skipped = 0, 0, 0
passed = max(0, tests - wrong - skipped)
failed = checks + (wrong or int(status != 0))
print(f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''))
sys.exit(failed > 0)
endef

# All checks run even when one fails; a failed check counts as one failed test in the last line.
test: export OMP_NUM_THREADS := 1
test: export MKL_NUM_THREADS := 1
test: export SUMMARY := $(SUMMARY)
test: $(STAMP) ## format, lint, types and the tests; ends in "N passed, N failed"
	@mkdir -p .cache; rm -f .cache/tests.xml; failed=0; names=; \
	check() { echo "$$*"; "$$@" || { failed=$$((failed + 1)); names="$$names; $$*"; }; }; \
	check $(BIN)/ruff format --check .; \
	check $(BIN)/ruff check .; \
	check $(BIN)/mypy; \
	status=0; \
	$(BIN)/python -m pytest -n $(JOBS) --durations=20 --junitxml=.cache/tests.xml $(ARGS) || status=$$?; \
	test $$failed -eq 0 || echo "failed before the tests (see above)$$names"; \
	$(BIN)/python -c "$$SUMMARY" $$failed $$status

test-slow: export OMP_NUM_THREADS := 1
test-slow: export MKL_NUM_THREADS := 1
test-slow: $(STAMP) ## the tests that train or build an environment
	@$(BIN)/python -m pytest -m "slow and not gpu" --timeout=3600 --durations=20 $(ARGS)

lint: $(STAMP) ## ruff: format (checked) and rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

format: $(STAMP) ## ruff: format, and mend what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: $(STAMP) ## mypy, strict
	@$(BIN)/mypy

clean: ## remove caches and builds; .venv, .cache and runs stay
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -path ./.venv -prune -o \( -name __pycache__ -o -name '*.egg-info' \) -type d -print | xargs rm -rf
