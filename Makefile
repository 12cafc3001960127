# EIR Hub: everything a newcomer needs is `make demo` and `make test`.
.DEFAULT_GOAL := help
.PHONY: help demo serve viewer test test-distributed test-long check bench screenshots tools clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Slower than one worker a core because some tests start whole hubs.
WORKERS ?= 2
# Modules are compiled once, not by each of the processes that the tests start.
unexport PYTHONDONTWRITEBYTECODE

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "EIR Hub needs Python 3.11 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "The venv module is missing. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

demo: $(INSTALLED)  ## start the hub, push real studies from three townships, show where to look
	$(BIN)/eirhub demo $(ARGS)

serve: $(INSTALLED)  ## run the hub on ./data
	$(BIN)/eirhub serve --data data $(ARGS)

viewer: $(INSTALLED)  ## install the full diagnostic viewer (OHIF), which the hub then serves
	$(BIN)/eirhub viewer install $(ARGS)

tools:  ## install what the tests need from Debian or Ubuntu (dcmtk, chromium, orthanc …)
	@sh tests/install_tools.sh

test: $(INSTALLED) tools check  ## run every check and test
	-@$(BIN)/eirhub viewer install --if-missing
	$(BIN)/pytest -m 'not long' -n $(WORKERS) --dist worksteal $(ARGS)

# All of these are among those of `make test`.
DISTRIBUTED := tests/contracts/test_task_engine.py tests/hub_kernel/test_leases.py \
  tests/hub_runtime/test_celery_faults.py tests/flows/test_demo.py

test-distributed: $(INSTALLED) tools  ## run the demo on PostgreSQL, S3 and Celery, and what stands behind it
	$(BIN)/pytest $(DISTRIBUTED) $(ARGS)

test-long: $(INSTALLED) tools  ## run the slow suites too (soak, scale, many kills)
	-@$(BIN)/eirhub viewer install --if-missing
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: $(INSTALLED)  ## formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(INSTALLED) tools  ## compare with Orthanc and storescp in one run
	$(BIN)/python -m benchmarks.ingest $(ARGS)

screenshots: $(INSTALLED) tools  ## take the README's pictures again
	EIRHUB_SCREENSHOTS=docs/screenshots $(BIN)/pytest tests/flows/test_browser.py -p no:xdist

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache *.egg-info build
