# Two commands do everything on a fresh machine: `make demo` and `make test`. A second run starts within seconds.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
OUT ?= bestpatch-runs/demo
SEED ?= 0

.PHONY: help venv setup demo test unit check browser bubblewrap requirements clean

help:
	@echo "make demo          set up what is missing, then solve an example issue with the embedded model (OUT=DIR SEED=N)"
	@echo "make test          set up what is missing, then run all checks and tests"
	@echo "make unit          the tests that need no sandboxes and no model"
	@echo "make check         ruff, pyright, layers"
	@echo "make requirements  pin the requirements anew"

# The stamp is older than what it was made from whenever the pins change.
$(VENV)/.stamp: requirements/dev.txt pyproject.toml
	@bash scripts/venv.sh $(VENV)
	@touch $@

venv: $(VENV)/.stamp

setup: venv
	@$(BIN)/bestpatch doctor --mend

demo: setup
	@bash scripts/demo.sh "$(OUT)" "$(SEED)"

test: setup browser bubblewrap check
	$(BIN)/pytest -n 2 --dist loadgroup

unit: venv
	$(BIN)/pytest -n 2 -m "not docker and not bubblewrap and not model and not browser"

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

browser:
	@bash scripts/browser.sh

bubblewrap:
	@bash scripts/bubblewrap.sh

requirements: venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements/core.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml -o requirements/dev.txt

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis bestpatch-runs
