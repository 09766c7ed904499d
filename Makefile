# spiketicket: `make demo` finds a ticket on real data, `make test` runs every check.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SPREAD := --numprocesses 2 --dist loadgroup --no-loadscope-reorder

# The tests start many processes: without byte code each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

C_SOURCES := $(wildcard csrc/*/*.[ch])

.PHONY: demo test check lint format docs bench fuzz fuzz-python constraints clean help

demo: $(VENV)/.train  ## find a ticket on real data, print its verdict and where the report is
	$(BIN)/spiketicket find recipes/demo.toml --seeds 5 --workers 2

test: lint  ## run every check and test
	$(BIN)/python -m pytest $(SPREAD)

check: $(VENV)/.test  ## run the quick tests
	$(BIN)/python -m pytest $(SPREAD) -m "not slow"

lint: $(VENV)/.test  ## run the linter, the types and the import contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror csrc/*/*.[ch]

format: $(VENV)/.test  ## format the code, and mend what the linter can
	$(BIN)/clang-format -i csrc/*/*.[ch]
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# The guides as a site, in site/: nothing in it is loaded from the network.
docs: $(VENV)/.docs  ## write the documentation as a site
	$(BIN)/python tools/docs/pages.py docs
	$(BIN)/zensical build --strict --clean

bench: $(VENV)/.test  ## measure the steps of a search
	$(BIN)/python benchmarks/search_step.py --growth
	$(BIN)/python benchmarks/transformer_step.py

# An hour of mutated engine programs; needs clang and cmake.
fuzz: $(VENV)/.test  ## mutate engine programs for an hour
	cmake -S . -B build/fuzz -DCMAKE_C_COMPILER=clang -DSPIKETICKET_FUZZ=ON
	cmake --build build/fuzz --target fuzz_program
	$(BIN)/python csrc/fuzz/write_corpus.py build/fuzz/corpus
	build/fuzz/fuzz_program -max_total_time=3600 -max_len=4096 -artifact_prefix=build/fuzz/ \
		build/fuzz/corpus

# Mutated tickets, recordings, recipes and run folders, with new seeds; SECONDS for all together.
SECONDS ?= 3600
fuzz-python: $(VENV)/.test  ## mutate the files of strangers for an hour
	$(BIN)/python tests/fuzz/fuzz_run.py $(SECONDS)

# The versions that the tests were last run with; PIP_CONSTRAINT=constraints/test.txt makes pip keep
# to them.
constraints: $(VENV)/.test  ## write down the versions of the test environment
	{ echo '# The test environment, by `make constraints`. To install the same versions:'; \
	  echo '# PIP_CONSTRAINT=constraints/test.txt make test'; \
	  $(BIN)/python -m pip freeze --exclude-editable --exclude spiketicket | \
	    sed -E 's/\+[a-z0-9.]+$$//'; } > constraints/test.txt

help:  ## print this list
	@sed -nE 's/^([a-z-]+):.*  ## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

clean:  ## remove all that was made, the environment too
	rm -rf $(VENV) build dist site .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.train: $(VENV)/.made pyproject.toml CMakeLists.txt $(C_SOURCES)
	@echo "Installing into $(VENV): a minute or two"
	$(PIP) install --editable '.[train]'
	touch $@

$(VENV)/.docs: $(VENV)/.made pyproject.toml
	$(PIP) install -qq --editable '.[docs]'
	touch $@

# spikingjelly, the oracle of the neuron tests, lists torchvision and torchaudio
# among its needs, though its neurons use neither: it is installed without its list. So are norse,
# whose neurons the examples use, and neurobench, the referee of the operation counts.
$(VENV)/.test: $(VENV)/.made pyproject.toml CMakeLists.txt $(C_SOURCES)
	@echo "Installing into $(VENV), with what the tests need: a minute or two"
	$(PIP) install --editable '.[test]'
	$(PIP) install -q --no-deps 'spikingjelly==2.0.0' 'neurobench==2.3.0' 'norse==1.1.0'
	touch $@ $(VENV)/.train
