# spiketicket: `make demo` finds a ticket on real data, `make test` runs every check.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SPREAD := --numprocesses 2 --dist loadgroup --no-loadscope-reorder

# The tests start many processes: without byte code each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check lint docs bench fuzz clean

demo: $(VENV)/.train
	$(BIN)/spiketicket find recipes/digits-binw.toml --seeds 3

test: lint
	$(BIN)/python -m pytest $(SPREAD)

check: $(VENV)/.test
	$(BIN)/python -m pytest $(SPREAD) -m "not slow"

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The guides as a site, in site/: nothing in it is loaded from the network.
docs: $(VENV)/.docs
	$(BIN)/zensical build --strict --clean

bench: $(VENV)/.test
	$(BIN)/python benchmarks/search_step.py --growth
	$(BIN)/python benchmarks/transformer_step.py

# An hour of mutated engine programs; needs clang and cmake.
fuzz: $(VENV)/.test
	cmake -S . -B build/fuzz -DCMAKE_C_COMPILER=clang -DSPIKETICKET_FUZZ=ON
	cmake --build build/fuzz --target fuzz_program
	$(BIN)/python csrc/fuzz/write_corpus.py build/fuzz/corpus
	build/fuzz/fuzz_program -max_total_time=3600 -max_len=4096 -artifact_prefix=build/fuzz/ \
		build/fuzz/corpus

clean:
	rm -rf $(VENV) build dist site .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.train: $(VENV)/.made pyproject.toml CMakeLists.txt $(wildcard csrc/*)
	@echo "Installing into $(VENV): a minute or two"
	$(PIP) install -qq --editable '.[train]'
	touch $@

$(VENV)/.docs: $(VENV)/.made pyproject.toml
	$(PIP) install -qq --editable '.[docs]'
	touch $@

# spikingjelly, the oracle of the neuron tests, lists torchvision and torchaudio
# among its needs, though its neurons use neither: it is installed without its list. So are norse,
# whose neurons the examples use, and neurobench, the referee of the operation counts.
$(VENV)/.test: $(VENV)/.made pyproject.toml CMakeLists.txt $(wildcard csrc/*)
	@echo "Installing into $(VENV), with what the tests need: a minute or two"
	$(PIP) install -qq --editable '.[test]'
	$(PIP) install -qq --no-deps 'spikingjelly==2.0.0' 'neurobench==2.3.0' 'norse==1.1.0'
	touch $@ $(VENV)/.train
