# Everything runs in .venv, which the first target that needs it makes. PYTHON=/path/to/python3 chooses the Python.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
# Written last: while it is missing or older than the lists, the set-up is not complete.
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
REQUIREMENTS := requirements/run.txt requirements/dev.txt requirements/paddleseg.txt

.PHONY: help setup lite test test-slow demo docs lint format types clean distclean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: $(READY) lite  ## make .venv with everything in pinned versions (done by the others when needed)

$(READY): $(REQUIREMENTS) setup.py
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	    python=$$(tools/find_python.sh) || exit 1; \
	    echo "Making $(VENV) with $$python ($$("$$python" --version))"; \
	    "$$python" -m venv --clear $(VENV); }
	@echo "Installing about 80 packages (440 MB to download, 1.8 GB on disk): usually 1 to 5 minutes, once"
	@$(PIP) install -r requirements/run.txt -r requirements/dev.txt
	@$(PIP) install --no-deps -r requirements/paddleseg.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
	@echo "Set-up done"

lite: $(READY)  ## Paddle Lite's converter and x86 runtime, in an environment of their own
	@$(BIN)/mobileseg lite setup || echo "Going on without Paddle Lite: no .nb files are written or tested" >&2

test: $(READY) lite  ## the tests (minutes)
	$(BIN)/python -m pytest

test-slow: $(READY) lite  ## the tests marked slow
	$(BIN)/python -m pytest -m slow

demo: $(READY) lite  ## train, evaluate, export, check and time PP-MobileSeg Tiny on synthetic scenes; ends with a report
	@PATH="$(CURDIR)/$(BIN):$$PATH" tools/demo.sh output/demo

docs: $(READY) lite  ## write docs/reference again from the code
	@mkdir -p docs/reference
	$(BIN)/mobileseg models --markdown > docs/reference/networks.md.new
	@mv docs/reference/networks.md.new docs/reference/networks.md
	$(BIN)/python -m paddle_mobileseg.benchmark.record > docs/reference/record.md.new
	@mv docs/reference/record.md.new docs/reference/record.md
	$(BIN)/python -m paddle_mobileseg.benchmark.model_table docs/reference/records --output docs/reference/models.md
	$(BIN)/python benchmarks/backend_matrix.py --output docs/reference/backends.md

lint: $(READY)  ## what continuous integration checks: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)  ## put the format right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)  ## mypy
	$(BIN)/mypy

clean:  ## remove caches, builds and the demo's output
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis output/demo
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## and .venv
	rm -rf $(VENV)
