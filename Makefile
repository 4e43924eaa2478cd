# Each target sets up what it needs, once, in .venv. `make` alone lists them. PYTHON=python3.12 chooses the interpreter.

VENV := .venv
BIN := $(VENV)/bin
export PYTHON

help:  ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1#\2/p' $(MAKEFILE_LIST) | awk -F'#' '{ printf "%-12s %s\n", $$1, $$2 }'

setup: $(VENV)/ready  ## the environment, in .venv

demo: setup  ## a small grid on real images, to its report
	$(BIN)/python jobs/submit.py grid=demo

test: setup  ## the tests
	$(BIN)/python -m pytest

lint: setup  ## the style of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: setup  ## every measured claim; prints ratios against a named peer
	@set -e; for script in bench/*.py; do echo "== $$script"; $(BIN)/python $$script; done

clean:  ## removes the environment and build products; data and runs stay
	rm -rf $(VENV) build lib/*.egg-info .pytest_cache .ruff_cache .hypothesis

$(VENV)/ready: setup.cfg pyproject.toml containers/constraints.txt containers/setup.sh $(shell find containers/ffcv -type f)
	@bash containers/setup.sh

.PHONY: help setup demo test lint bench clean
