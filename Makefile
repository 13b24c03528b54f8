# Each command makes the virtual environment that it needs.
PYTHON ?= python3

.PHONY: run test lint bench powercuts device-memory clean

run: ## Serve the sample release tree
	@$(PYTHON) -m venv .venv/run
	@.venv/run/bin/pip install --quiet --editable .
	.venv/run/bin/twistd --nodaemon --pidfile= otaserver

test: ## Run the tests
	@$(PYTHON) -m venv .venv/test
	@.venv/test/bin/pip install --quiet --editable '.[test]'
	.venv/test/bin/python -m pytest

lint: ## Run the linter and the type checker
	@$(PYTHON) -m venv .venv/lint
	@.venv/lint/bin/pip install --quiet --editable '.[test,lint]'
	.venv/lint/bin/ruff check .
	.venv/lint/bin/ruff format --check .
	.venv/lint/bin/mypy

bench: ## Measure the server beside its peers
	@$(PYTHON) -m venv .venv/test
	@.venv/test/bin/pip install --quiet --editable '.[test,bench]'
	.venv/test/bin/python -m tests.bench manifests
	.venv/test/bin/python -m tests.bench downloads
	.venv/test/bin/python -m tests.bench catalogue
	.venv/test/bin/python -m tests.bench.ftp

powercuts: ## Cut a simulated device's power at every write; takes an hour or two
	@$(PYTHON) -m venv .venv/test
	@.venv/test/bin/pip install --quiet --editable '.[test]'
	.venv/test/bin/python -m tests.powercuts

device-memory: ## Measure the device library under MicroPython
	@$(PYTHON) -m venv .venv/test
	@.venv/test/bin/pip install --quiet --editable '.[test]'
	.venv/test/bin/python -m tests.bench.device_memory

clean: ## Remove what the commands made
	rm -rf .venv build *.egg-info .otaserver .cache
