# `make` alone prints what there is.
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable
INSTALLED = $(VENV)/.installed
DEV = $(VENV)/.dev
JUPYTER = $(VENV)/.jupyter

# make training DATA=elsewhere RUN=runs/2 ARGS='--set train.epochs=20'
DATA = prepared
RUN = runs/1
RUNS = runs
MODEL = saved_models/bone_age
ARGS =

.PHONY: help setup demo test test-large release-check coverage check docs jupyter training tensorboard serve notebooks findings wheel docker clean
.DEFAULT_GOAL := help

help:  ## print the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 22

setup: $(INSTALLED)  ## make .venv and install the package, editable, with pinned dependencies

$(INSTALLED): setup.py pyproject.toml constraints.txt
	@echo "Setting up $(VENV): TensorFlow and the rest, 2.9 GB, a minute or two"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(PIP) '.[dicom-output,serve]'
	touch $(INSTALLED)

$(DEV): $(INSTALLED)
	@echo "Installing into $(VENV) what tests, checks and docs need, once: 1.0 GB, a minute"
	$(PIP) '.[dev]'
	touch $(DEV)

$(JUPYTER): $(INSTALLED)
	@echo "Installing JupyterLab into $(VENV), once"
	$(PIP) '.[notebooks]'
	touch $(JUPYTER)

demo: setup  ## the whole workflow on synthetic radiographs, into demo/, in 3 minutes
	$(VENV)/bin/bone-age-tf demo --output demo

PYTEST = $(VENV)/bin/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder
# Compiled modules are kept, also where the environment says otherwise: many processes import the same.
test test-large release-check: export PYTHONDONTWRITEBYTECODE =

test: $(DEV)  ## run all tests except the large ones, in three processes
	@echo "Testing in three processes: about 10 minutes on two cores"
	$(PYTEST) -m 'not large and not release'

test-large: $(DEV)  ## run the large tests: full-size networks, several processes, a browser
	$(PYTEST) -m large

RELEASE = build/release
BENCHMARK = $(VENV)/bin/python benchmarks

# Of Debian: orthanc orthanc-dicomweb (its service off: it listens on every interface), dcmtk, pixelmed-apps, chromium, npm,
# nginx, prometheus, slurmctld slurmd slurm-client munge (their services off, too)
RELEASE_PROGRAMS = Orthanc storescu DicomSRValidator chromium npm nginx prometheus slurmctld

release-check: $(DEV)  ## before a release, takes long: damaged files, kills, full disks, load on the server
	@for one in $(RELEASE_PROGRAMS); do command -v $$one >/dev/null || echo "no $$one here: its tests are skipped"; done
	$(VENV)/bin/python -m pip install --quiet kubernetes-validate==1.37.0  # 17,000 files of schemas
	$(PYTEST) -m release
	rm -rf $(RELEASE)
	$(VENV)/bin/bone-age-tf demo --output $(RELEASE)/demo --count 120 --epochs 2
	$(BENCHMARK)/resume.py --data $(RELEASE)/demo/prepared --output $(RELEASE)/resume --kills 50 --inside-writes 20 --set train.epochs=15
	$(BENCHMARK)/export_kill.py --run $(RELEASE)/demo/run --kills 30
	$(BENCHMARK)/fuzzing.py --model $(RELEASE)/demo/saved_models/demo --count 10000
	$(BENCHMARK)/serving_abuse.py --model $(MODEL)
	$(BENCHMARK)/serving_load.py --model $(MODEL)
	$(BENCHMARK)/dicom_node.py --stub
	$(BENCHMARK)/negatives.py $(RELEASE)/negatives
	$(BENCHMARK)/rejection.py $(RELEASE)/negatives

coverage: $(DEV)  ## run all tests in one process and list the lines that no test reaches
	$(VENV)/bin/python -m coverage run --source bone_age_tf,data_prep -m pytest
	$(VENV)/bin/python -m coverage report --skip-covered --show-missing

check: $(DEV)  ## lint, format, sizes of files, safe versions, types, layers
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/python -m pytest --quiet --noconftest tests/test_repository.py
	$(VENV)/bin/pyright
	rm -rf build/layers  # a built tree: the editable one hides data_prep from import-linter
	$(VENV)/bin/python -m pip install --quiet --no-deps --target build/layers .
	cd build/layers && PYTHONPATH=. $(abspath $(VENV))/bin/lint-imports --no-cache $(abspath pyproject.toml)

findings:  ## run findings/*.sh: documented surprises of libraries
	findings/run

docs: $(DEV)  ## build the documentation into site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict
	@echo "Open site/index.html; or, with the search: python3 -m http.server --bind 127.0.0.1 --directory site"

jupyter: $(JUPYTER)  ## JupyterLab in notebooks/; the first time installs it
	$(VENV)/bin/jupyter lab $(ARGS) notebooks

training: setup  ## train on DATA=prepared into RUN=runs/1, with more options in ARGS=
	$(VENV)/bin/bone-age-tf train --data $(DATA) --run $(RUN) $(ARGS)

tensorboard: setup  ## TensorBoard for all runs in RUNS=runs
	$(VENV)/bin/tensorboard --logdir $(RUNS) $(ARGS)

serve: setup  ## REST, gRPC and the web page for MODEL=saved_models/bone_age
	$(VENV)/bin/bone-age-tf serve --model $(MODEL) $(ARGS)

notebooks: $(JUPYTER)  ## execute notebooks/*.ipynb; the results are pages in build/notebooks/
	@ls notebooks/*.ipynb >/dev/null 2>&1 || { echo "There is no notebook in notebooks/ yet: nothing to execute"; exit 1; }
	$(VENV)/bin/jupyter nbconvert --execute --to html --output-dir build/notebooks notebooks/*.ipynb

wheel: setup  ## build two wheels into dist/: the program and the shipped model
	rm -rf build/lib saved_models/build  # what an earlier build left would be packed again
	$(VENV)/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist . ./saved_models
	@ls dist/*.whl

docker:  ## build the images bone-age-tf:cpu and bone-age-tf:gpu
	docker build --target cpu --tag bone-age-tf:cpu .
	docker build --target gpu --tag bone-age-tf:gpu .

clean:  ## remove what the other targets made
	rm -rf $(VENV) demo build dist site *.egg-info .pytest_cache .ruff_cache .coverage
