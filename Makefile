# `make` alone prints what there is.
PYTHON ?= python3
VENV ?= .venv
INSTALLED = $(VENV)/.installed
JUPYTER = $(VENV)/.jupyter

# make training DATA=elsewhere RUN=runs/2 ARGS='--set train.epochs=20'
DATA = prepared
RUN = runs/1
RUNS = runs
MODEL = saved_models/bone_age
ARGS =

.PHONY: help setup demo test check docs jupyter training tensorboard serve notebooks wheel docker clean
.DEFAULT_GOAL := help

help:  ## print the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 20

setup: $(INSTALLED)  ## make .venv and install the package, editable, with pinned dependencies

$(INSTALLED): setup.py pyproject.toml constraints.txt
	@echo "Setting up $(VENV): TensorFlow and the rest, a minute or more"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

$(JUPYTER): $(INSTALLED)
	@echo "Installing JupyterLab into $(VENV), once"
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[notebooks]'
	touch $(JUPYTER)

demo: setup  ## the whole way on drawn hands, into demo/
	$(VENV)/bin/bone-age-tf demo --output demo

test: setup  ## run all tests, after setting up where that is needed
	$(VENV)/bin/python -m pytest --numprocesses 2 --dist loadfile

check: setup  ## lint, format, types, layers
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright
	rm -rf build/layers  # a built tree: the editable one hides data_prep from import-linter
	$(VENV)/bin/python -m pip install --quiet --no-deps --target build/layers .
	cd build/layers && PYTHONPATH=. $(abspath $(VENV))/bin/lint-imports --no-cache $(abspath pyproject.toml)

docs: setup  ## build the documentation into site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict

jupyter: $(JUPYTER)  ## JupyterLab in notebooks/; the first time installs it
	$(VENV)/bin/jupyter lab $(ARGS) notebooks

training: setup  ## train on DATA=prepared into RUN=runs/1, with more options in ARGS=
	$(VENV)/bin/bone-age-tf train --data $(DATA) --run $(RUN) $(ARGS)

tensorboard: setup  ## the curves of all runs in RUNS=runs
	$(VENV)/bin/tensorboard --logdir $(RUNS) $(ARGS)

serve: setup  ## REST, gRPC and the page for MODEL=saved_models/bone_age
	$(VENV)/bin/bone-age-tf serve --model $(MODEL) $(ARGS)

notebooks: $(JUPYTER)  ## execute notebooks/*.ipynb; the results are pages in build/notebooks/
	@ls notebooks/*.ipynb >/dev/null 2>&1 || { echo "There is no notebook in notebooks/ yet: nothing to execute"; exit 1; }
	$(VENV)/bin/jupyter nbconvert --execute --to html --output-dir build/notebooks notebooks/*.ipynb

wheel: setup  ## build the wheel into dist/
	$(VENV)/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .

docker:  ## build the images bone-age-tf:cpu and bone-age-tf:gpu
	docker build --target cpu --tag bone-age-tf:cpu .
	docker build --target gpu --tag bone-age-tf:gpu .

clean:  ## remove what the other targets made
	rm -rf $(VENV) demo build dist site *.egg-info .pytest_cache .ruff_cache
