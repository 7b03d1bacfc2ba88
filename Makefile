# Everything happens in .venv beside this file. Another interpreter: make clean, then make test PYTHON=python3.13
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What programs of others need stays out of ours.
PROGRAMS := .venv-programs
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test unit seams faults faults-full soak programs bench bench-quick bench-full lint format clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/package.stamp ## Record a simulated station into a MongoDB of its own (ARGS="...")
	$(BIN)/ocpp-mongo demo $(ARGS)

test: $(VENV)/dev.stamp ## Run all tests (ARGS="-k embedded"; on all cores: ARGS="-n auto --dist loadfile")
	$(BIN)/python -m pytest $(ARGS)

unit: $(VENV)/dev.stamp ## Run the tests that need neither a server nor programs of their own
	$(BIN)/python -m pytest -m "not mongod and not programs" $(ARGS)

seams: $(VENV)/dev.stamp ## Run what stands on other libraries with the oldest and the newest of each (ARGS="-k newest")
	$(BIN)/nox -s seams $(ARGS)

faults: $(VENV)/dev.stamp ## Kill servers, networks and processes, and judge what is stored (about ten minutes)
	OCPP_MONGO_FAULTS=1 $(BIN)/python -m pytest tests/faults -m faults $(ARGS)

faults-full: $(VENV)/dev.stamp ## The same at full depth: every system call, a primary cut off (an hour or more)
	OCPP_MONGO_FAULTS=1 OCPP_MONGO_FAULTS_FULL=1 $(BIN)/python -m pytest tests/faults -m faults $(ARGS)

soak: $(VENV)/dev.stamp ## Random faults for an hour, and whether anything grows (ARGS="...")
	OCPP_MONGO_FAULTS=1 OCPP_MONGO_SOAK_SECONDS=3600 $(BIN)/python -m pytest tests/faults -m faults -k f29 $(ARGS)

programs: $(VENV)/dev.stamp $(PROGRAMS)/programs.stamp ## Record programs of others from PyPI, count frames, run their own tests (two minutes)
	OCPP_MONGO_PROGRAMS=$(PROGRAMS) $(BIN)/python -m pytest tests/real_programs -m real_programs $(ARGS)

bench: $(VENV)/dev.stamp ## Measure what recording costs and how fast it stores (under ten minutes; ARGS="--json FILE")
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(VENV)/dev.stamp ## The same in two minutes: counts that CI judges, times that nobody should trust
	$(BIN)/python -m benchmarks --quick $(ARGS)

bench-full: $(VENV)/dev.stamp ## The same with ten million messages and ten minutes a line (an hour or more)
	$(BIN)/python -m benchmarks --full $(ARGS)

lint: $(VENV)/dev.stamp ## Check style, format, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.stamp ## Put the code into the agreed format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove the virtual environment, builds and caches
	rm -rf $(VENV) $(PROGRAMS) .nox build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find ocpp_mongo_plugin tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps keep a second run from asking pip again. "pip install --group" came with pip 25.1.
$(VENV)/pip.stamp:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade "pip>=25.1"
	touch $@

$(VENV)/package.stamp: pyproject.toml $(VENV)/pip.stamp
	$(BIN)/python -m pip install --editable ".[cli,embedded,memory]"
	touch $@

$(VENV)/dev.stamp: pyproject.toml $(VENV)/package.stamp
	$(BIN)/python -m pip install --group dev
	touch $@

# Their own tests come with their source distributions alone.
$(PROGRAMS)/programs.stamp: pyproject.toml
	$(PYTHON) -m venv --clear $(PROGRAMS)
	$(PROGRAMS)/bin/python -m pip install --upgrade "pip>=25.1"
	$(PROGRAMS)/bin/python -m pip install "ocpp-csms==0.1.0" "ocpp-broker[tests]==0.4" --editable ".[cli]"
	$(PROGRAMS)/bin/python -m pip download --no-deps --no-binary ocpp-csms,ocpp-broker --dest $(PROGRAMS)/sdists "ocpp-csms==0.1.0" "ocpp-broker==0.4"
	touch $@
