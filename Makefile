# Two commands for a newcomer: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo demo-audit test unit check format kafka bench bench-quick soak spark clean

help: ## Show what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

demo: $(VENV)/.installed ## Run about 1,800 real tasks on the embedded log, and show what can be asked of it
	$(BIN)/eventresults demo

demo-audit: $(VENV)/.archiving ## Archive, query, report, verify, sign and tamper with the demo's tasks and a made-up day (EVENTS=1000000)
	PYTHON=$(BIN)/python EVENTS=$(EVENTS) TASKS=$(TASKS) examples/demo-audit.sh

test: $(VENV)/.developing ## Run every test, on a real Apache Kafka (needs Java 17+ and Maven; PROCESSES=3)
	$(BIN)/python -m tests.support.kafka install
	$(BIN)/python -m pytest --numprocesses $(or $(PROCESSES),3) --dist loadfile

unit: $(VENV)/.developing ## Run the tests that need no broker (on another Python: PYTHON=python3.13 VENV=.cache/python3.13)
	$(BIN)/python -m pytest --numprocesses $(or $(PROCESSES),3) --dist loadfile tests/unit tests/property tests/surface

check: $(VENV)/.developing ## Lint, types, layers, dependencies, deployment examples
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	$(BIN)/kubernetes-validate --strict docker/kubernetes/*.yaml
	$(BIN)/hadolint docker/Dockerfile

format: $(VENV)/.developing ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

kafka: $(VENV)/.developing ## Run a Kafka broker in the foreground, for trying things
	$(BIN)/python -m tests.support.kafka run

soak: $(VENV)/.developing ## Do harm for an hour and prove that nothing is lost (SECONDS=3600 SEED=... KEEP=folder)
	$(BIN)/python -m tests.support.kafka install
	$(BIN)/python -m tests.simulation --seconds $(or $(SIMULATE),600) --first $(or $(SEED),0)
	$(BIN)/python -m tests.e2e.faults --seconds $(or $(SECONDS),3600) --kills 200 $(if $(SEED),--seed $(SEED)) $(if $(KEEP),--keep $(KEEP))

bench: $(VENV)/.developing ## Measure beside our peers, which are installed under .cache/peers; writes benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.archive

bench-quick: $(VENV)/.developing ## Measure ours alone, in less than three minutes
	$(BIN)/python -m benchmarks --quick

spark: $(VENV)/.developing ## Have a real Apache Spark (some 500 MB) read an archive and a topic
	$(BIN)/python -m pip install --quiet --group spark
	$(BIN)/python -m tests.support.kafka install
	mvn -q -B -f tests/support/spark/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/.cache/spark \
	    -DincludeArtifactIds=spark-sql-kafka-0-10_2.13,spark-token-provider-kafka-0-10_2.13,kafka-clients,commons-pool2
	$(BIN)/python -m pytest -m spark

clean: ## Remove what was built here
	rm -rf $(VENV) .cache build dist *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "eventresults needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.archiving: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[archive,audit]'
	@touch $@ $(VENV)/.installed

$(VENV)/.developing: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[archive,audit,celery,confluent,iceberg]' --group dev
	@touch $@ $(VENV)/.archiving $(VENV)/.installed
