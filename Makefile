# Two commands: `make run` (library, site, one method before your eyes) and `make test` (all that CI checks).

PYTHON ?= python3
SERVE ?= 1
PORT ?= 8000
JOBS ?= 2

BIN := .venv/bin
INSTALLED := .venv/installed
NATIVE := CMakeLists.txt $(shell find kernels -name '*.cpp' -o -name '*.h' -o -name '*.inc')
RUN := build/library

export HF_HUB_OFFLINE ?= 1

.PHONY: run test lint pytest site bench clean

run: $(INSTALLED)
	@$(BIN)/octavo --library $(RUN) ingest followed || test $$? -eq 3
	@$(BIN)/octavo --library $(RUN) search "prune a network at initialization without any data" --limit 3
	@$(BIN)/octavo --library $(RUN) site build
	@$(BIN)/octavo run synflow --model octavo.reference_impls.tasks.nets:perceptron --set density=0.05 --set iterations=10
	@if [ "$(SERVE)" = 1 ]; then $(BIN)/octavo site serve --port $(PORT); fi

test: lint pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict -p octavo
	PYTHONPATH=. $(BIN)/lint-imports
	$(BIN)/octavo catalog check

pytest: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS)

site: $(INSTALLED)
	$(BIN)/octavo --library $(RUN) site build

bench: $(INSTALLED)
	$(BIN)/octavo bench

# The whole environment is one stamp: a changed pyproject or C++ file installs again.
$(INSTALLED): pyproject.toml $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==2.13.0 'scikit-build-core>=1.1' 'nanobind>=3.1'
	$(BIN)/pip install --quiet --no-build-isolation --editable '.[dev]'
	@touch $@

clean:
	rm -rf build .venv
