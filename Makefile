# Everything a newcomer types. Each target sets up what it needs first; nothing is needed beforehand but Python 3.11+ and make.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Installed without resolving: the locks name every package, and the extra `local` leaves out what is never imported.
LOCKED := --no-deps --require-hashes

# A compiled package starts faster, and benchmarks of uncompiled ones mean nothing.
unexport PYTHONDONTWRITEBYTECODE

ifneq ($(shell command -v uv 2>/dev/null),)
MAKE_VENV = uv venv --quiet --python $(PYTHON) $(VENV)
INSTALL   = uv pip install --quiet --python $(BIN)/python
else
MAKE_VENV = $(PYTHON) -m venv $(VENV)
INSTALL   = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: run test lint bench bench-peers soak lock clean

run: $(VENV)/.runtime
	$(BIN)/callboard serve

test: $(VENV)/.test
	$(BIN)/python -X dev -m pytest --numprocesses 2 --dist worksteal

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks
	-$(BIN)/python -m benchmarks.gateways.install callboard naive
	$(BIN)/python -m benchmarks.gateways
	$(BIN)/python -m benchmarks.stored

# A peer that cannot be installed is left out of the comparison, not a reason to stop.
bench-peers: $(VENV)/.test
	-$(BIN)/python -m benchmarks.gateways.install
	$(BIN)/python -m benchmarks.gateways

soak: $(VENV)/.test
	$(BIN)/python -X dev -m pytest -m soak

$(BIN)/python:
	$(MAKE_VENV)

$(VENV)/.runtime: pyproject.toml requirements/build.txt requirements/runtime.txt requirements/local.txt | $(BIN)/python
	$(INSTALL) $(LOCKED) -r requirements/build.txt -r requirements/runtime.txt -r requirements/local.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.runtime
	$(INSTALL) $(LOCKED) -r requirements/test.txt
	@touch $@

$(VENV)/.lint: requirements/lint.txt $(VENV)/.test
	$(INSTALL) $(LOCKED) -r requirements/lint.txt
	@touch $@

# Writes the locks anew: versions and hashes, no addresses. Needs uv.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock:
	cd requirements && $(COMPILE) build.in -o build.txt
	cd requirements && $(COMPILE) runtime.in -o runtime.txt
	cd requirements && $(COMPILE) --no-deps local.in -o local.txt
	cd requirements && $(COMPILE) test.in -o test.txt
	cd requirements && $(COMPILE) clients.in -o clients.txt
	cd requirements && $(COMPILE) lint.in -o lint.txt

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .callboard
