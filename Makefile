# Two commands: `make run` (library, site, one method before your eyes) and `make test` (all that CI checks).

PYTHON ?= python3
SERVE ?= 1
PORT ?= 8000
JOBS ?= 2

BIN := .venv/bin
INSTALLED := .venv/installed
NATIVE := CMakeLists.txt kernels/units.cmake $(shell find kernels -name '*.cpp' -o -name '*.h' -o -name '*.inc')
RUN := build/library

export HF_HUB_OFFLINE ?= 1

.PHONY: run test lint pytest explore test-native test-arm site bench clean

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

# Property tests draw the same examples each time. This draws new ones: run it after a change.
explore: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --hypothesis-profile=explore

# The kernels without Python. Every instruction set of this CPU against the generic files, between
# pages without access; under AddressSanitizer and UBSan; on emulated older CPUs if qemu is here.
# SANITIZE=thread asks ThreadSanitizer instead.
SANITIZE ?= address,undefined
checks = cmake -S tests/native -B build/checks/$(1) $(2) >/dev/null && \
  cmake --build build/checks/$(1) --parallel $(JOBS) >/dev/null

test-native:
	$(call checks,plain,-DCMAKE_BUILD_TYPE=Release)
	build/checks/plain/native
	$(call checks,$(SANITIZE),-DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1 -fsanitize=$(SANITIZE) -fno-sanitize-recover=all")
	build/checks/$(SANITIZE)/native --cases 20
	if test $$(uname -m) = x86_64 && command -v qemu-x86_64 >/dev/null; then for cpu in Nehalem Haswell; do \
	  qemu-x86_64 -cpu $$cpu build/checks/plain/native --cases 6 --no-fork --no-guards || exit 1; done; fi

# The same for AArch64, cross-compiled and emulated: with products of bytes, and without.
test-arm:
	$(call checks,arm,-DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_EXE_LINKER_FLAGS=-static)
	qemu-aarch64 -cpu max build/checks/arm/native --cases 12 --no-fork
	qemu-aarch64 -cpu cortex-a57 build/checks/arm/native --cases 12 --no-fork

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
