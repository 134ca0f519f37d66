# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test test-all test-libraries test-avx2 check format lint types imports bench clean

demo: $(VENV)/.run
	$(BIN)/cnnstat summary resnet50

test: $(VENV)/.dev
	$(BIN)/pytest -n 2 --dist worksteal

# Every model of torchvision and timm, memory against real runs; about half an hour on two cores.
test-all: $(VENV)/.dev
	$(BIN)/pytest -n 2 --dist worksteal -m "slow or not slow"

# Networks of other libraries beside torch's counter, in an environment of their own; two minutes.
test-libraries: $(VENV)/.dev
	$(PYTHON) -m venv --clear $(VENV)-libraries
	$(VENV)-libraries/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VENV)-libraries/bin/python -m pip install --quiet -c constraints.txt -e . --group libraries
	$(VENV)-libraries/bin/pytest -m slow tests/test_other_libraries.py

# What depends on the processor's instructions, as on a processor without AVX-512; a minute on two cores.
test-avx2: $(VENV)/.dev
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/pytest -n 2 --dist worksteal -m "instruction_set and not slow"

check: format lint types imports test

format: $(VENV)/.dev
	$(BIN)/ruff format --check .

lint: $(VENV)/.dev
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(PIP) install --group bench -c constraints.txt
	$(BIN)/python benchmarks/peers.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1"

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) install -c constraints.txt --group dev
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-libraries build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
