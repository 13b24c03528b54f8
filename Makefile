# Each command makes the virtual environment that it needs, and makes it anew when what it
# installs has changed.
PYTHON ?= python3

.PHONY: run test check lint bench powercuts device-memory clean

run: .venv/run/.ready ## Serve the sample release tree
	.venv/run/bin/twistd --nodaemon --pidfile= otaserver

test: .venv/test/.ready ## Run all tests, side by side
	.venv/test/bin/python -m pytest $(SIDE_BY_SIDE)

check: lint ## Lint, and run the tests that stay in memory
	.venv/test/bin/python -m pytest $(SIDE_BY_SIDE) -m 'not real'

lint: .venv/test/.ready ## Run the linter and the type checker
	.venv/test/bin/ruff check .
	.venv/test/bin/ruff format --check .
	.venv/test/bin/mypy

bench: .venv/bench/.ready ## Measure the server beside its peers
	.venv/bench/bin/python -m tests.bench manifests
	.venv/bench/bin/python -m tests.bench downloads
	.venv/bench/bin/python -m tests.bench catalogue
	.venv/bench/bin/python -m tests.bench.ftp

powercuts: .venv/test/.ready ## Cut a simulated device's power at every write; takes an hour or two
	.venv/test/bin/python -m tests.powercuts

device-memory: .venv/test/.ready ## Measure the device library under MicroPython
	.venv/test/bin/python -m tests.bench.device_memory

clean: ## Remove what the commands made
	rm -rf .venv build *.egg-info .otaserver .cache

# A worker that has nothing left takes half of what another has still to do.
SIDE_BY_SIDE = -n auto --dist worksteal

EXTRAS_run = [publish]
EXTRAS_test = [publish,test,lint]
EXTRAS_bench = [test,bench]

.venv/%/.ready: setup.py pyproject.toml
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/pip install --quiet --editable '.$(EXTRAS_$*)'
	@touch $@

# An editable install of the strict kind links each file: it has to know of new ones. The tests
# take the server from the checkout itself.
.venv/run/.ready: $(shell find otaserver plugins -type d -not -name __pycache__)
