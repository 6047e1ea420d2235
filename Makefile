# `make` alone prints what there is.
PYTHON ?= python3
VENV ?= .venv
INSTALLED = $(VENV)/.installed

.PHONY: help setup demo test check docs wheel clean
.DEFAULT_GOAL := help

help:  ## print the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 16

setup: $(INSTALLED)  ## make .venv and install the package, editable, with pinned dependencies

$(INSTALLED): setup.py pyproject.toml constraints.txt
	@echo "Setting up $(VENV): TensorFlow and the rest, a minute or more"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

demo: setup  ## the whole way on drawn hands, into demo/
	$(VENV)/bin/bone-age-tf demo --output demo

test: setup  ## run all tests, after setting up where that is needed
	$(VENV)/bin/python -m pytest

check: setup  ## lint, format and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright

docs: setup  ## build the documentation into site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict

wheel: setup  ## build the wheel into dist/
	$(VENV)/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## remove what the other targets made
	rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .ruff_cache
