# make + Python >= 3.11 is all it needs: the rest comes into the checkout (.tools, .venv), as uv.lock says.
#
#   make run       the web page on http://127.0.0.1:8787 and every platform that has a token
#   make chat      the terminal; echo "..." | make chat prints the reply alone
#   make install   the bootstrap alone: .venv/bin/pieria is the program
#   make test      all tests, in parallel; LONG=1 adds the long forms
#   make chaos     a minute of kills and pauses in front of three platforms, counted, for one process and for many;
#                  LONG=1 takes longer, SEED=n repeats, ONLY=one|many
#   make bench     a bare bot and ours side by side, with goals; ONLY=load,max runs some scenarios, LONG=1 takes longer
#   make check     format, lint, types, import contracts, internal links

PYTHON ?= python3
VENV := .venv
INPUTS := uv.lock pyproject.toml deploy/bootstrap.py

.PHONY: run chat install test chaos bench check
MAKEFLAGS += --no-print-directory
.SILENT:
.DEFAULT_GOAL := run

run: $(VENV)/.installed
	$(VENV)/bin/pieria run

chat: $(VENV)/.installed
	$(VENV)/bin/pieria chat

install: $(VENV)/.installed

test: $(VENV)/.installed-dev
	$(VENV)/bin/python -m pytest -n auto --dist loadgroup

chaos: $(VENV)/.installed-dev
	$(VENV)/bin/python -m tests.chaos

bench: $(VENV)/.installed-dev
	$(VENV)/bin/python -m tests.load

check: $(VENV)/.installed-dev
	$(VENV)/bin/ruff format --check --quiet .
	$(VENV)/bin/ruff check --quiet .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/python -m tests.docs.links

$(VENV)/.installed: $(INPUTS)
	$(PYTHON) deploy/bootstrap.py >&2

$(VENV)/.installed-dev: $(INPUTS)
	$(PYTHON) deploy/bootstrap.py --dev >&2
