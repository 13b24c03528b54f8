# Each command sets up the virtual environment that it needs, for which it needs a network once.
# After that it needs none, unless setup.py asks for something that is not installed yet.
#
#     make run OPTIONS='--http tcp:8080'    any options of `twistd otaserver`
PYTHON ?= python3

.PHONY: run test check lint bench powercuts device-memory dist clean

# The checkout comes before what is installed, so that a new file needs no installation.
run: .venv/run/.ready ## Serve the sample release tree
	@PYTHONPATH='$(CURDIR)' .venv/run/bin/twistd --nodaemon --pidfile= otaserver $(OPTIONS)

test: .venv/test/.ready ## Run all tests, side by side
	@echo 'Running all tests, which takes about 7 minutes on two idle cores.'
	@.venv/test/bin/python -m pytest $(SIDE_BY_SIDE)

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
	.venv/bench/bin/python -m tests.bench floods
	.venv/bench/bin/python -m tests.bench.ftp
	.venv/bench/bin/python -m tests.bench.ftp_floods

powercuts: .venv/test/.ready ## Cut a simulated device's power at every write; takes an hour or two
	.venv/test/bin/python -m tests.powercuts

device-memory: .venv/test/.ready ## Measure the device library under MicroPython
	.venv/test/bin/python -m tests.bench.device_memory

dist: .venv/dist/.ready ## Build the source distribution and the wheel
	rm -rf dist
	.venv/dist/bin/python -m build

clean: ## Remove what the commands made
	rm -rf .venv build dist *.egg-info .otaserver .cache

# A worker that has nothing left takes half of what another has still to do.
SIDE_BY_SIDE = -n auto --dist worksteal

EXTRAS_run = [publish]
EXTRAS_test = [publish,test,lint]
EXTRAS_bench = [test,bench]
EXTRAS_dist = [build]

# pip asks the network only for what is missing. Without --no-build-isolation, it would fetch
# setuptools each time.
PIP_INSTALL = install --quiet --disable-pip-version-check

# What is installed of the server itself is the plugin, which twistd doesn't find in plugins/.
.venv/%/.ready: setup.py pyproject.toml plugins/otaserver_plugin.py
	@echo 'Setting up $(@D).'
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/pip $(PIP_INSTALL) 'setuptools>=77'
	@$(@D)/bin/pip $(PIP_INSTALL) --no-build-isolation '.$(EXTRAS_$*)'
	@touch $@
