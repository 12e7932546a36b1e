# `make help` explains the targets. Each one first installs what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PART = @sh tools/part.sh
# The tests start hundreds of processes; each would compile xenapic again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-all verify verify-proposal test-pure lint docs outputs fuzz bench bench-xen torture dist zipapp deb stubs index schemas prerequisites test-prerequisites clean

help: ## list the targets (default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.runs ## boot a real Xen on an emulated Intel machine and run xenapic on it (about a minute)
	$(BIN)/xenapic lab run --machine broadwell_ult --env COLUMNS=$$(tput cols || echo 80) --file /demo.sh=tools/demo.sh -- sh /demo.sh

test: $(VENV)/.installed ## run every check: lint, types, documentation, all tests, real Xens included
	@$(MAKE) --no-print-directory -j2 -Otarget lint docs
	$(PART) tests $(BIN)/python -m pytest -n auto --dist loadgroup --durations=30 -m "not thorough"

test-all: $(VENV)/.installed ## run the tests that `make test` leaves out, too: more of the same kinds
	$(PART) tests $(BIN)/python -m pytest -n auto --dist loadgroup --durations=30

verify: $(VENV)/.runs ## compare the model with a real Xen on every machine of the lab (build/verify.html)
	$(PART) verify $(BIN)/xenapic lab verify --html build/verify.html --junit build/verify.xml --record-dir build/recordings

PROPOSAL_MACHINES = broadwell_ult,sapphire_rapids,corei7_sandy_bridge_2600k,core2_penryn_t9600,epyc
PROPOSAL = $(BIN)/xenapic lab

verify-proposal: $(VENV)/.runs ## build a Xen with one bit per control, and compare it with the model and with an unchanged one
	$(PART) build $(PROPOSAL) build one-bit --from debian:4.17 --proposal --for-bochs
	$(PART) build-plain $(PROPOSAL) build plain --from debian:4.17 --for-bochs
	rm -rf build/proposal
	$(PART) verify-proposal $(PROPOSAL) verify --xen one-bit --machines $(PROPOSAL_MACHINES) --apicv on \
		--html build/verify-proposal.html --junit build/verify-proposal.xml --record-dir build/proposal
	$(PART) compare-proposal $(PROPOSAL) compare plain build/proposal --machines $(PROPOSAL_MACHINES)

test-pure: $(VENV)/.installed ## run the tests that need no emulated machine
	$(BIN)/python -m pytest -m "not xen" -n auto

lint: $(VENV)/.installed ## check style, format, types and the layers between packages
	$(PART) ruff $(BIN)/ruff check .
	$(PART) format $(BIN)/ruff format --check .
	$(PART) mypy $(BIN)/mypy
	$(PART) lint-imports $(BIN)/lint-imports

docs: $(VENV)/.installed ## build the documentation (docs/_build/html/index.html)
	$(PART) docs $(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

outputs: $(VENV)/.installed ## rewrite the command output shown in README and docs
	$(BIN)/python tools/write_outputs.py

fuzz: $(VENV)/.installed ## read 100,000 mutated inputs with each reader; FUZZ="--number 1000 --reader toml --corpora DIRECTORY"
	$(BIN)/python -m tests.fuzz $(FUZZ)

bench: $(VENV)/.installed ## measure what starting and planning cost; recorded, not tested
	$(BIN)/python benchmarks/bench_start.py
	$(BIN)/python -m pytest benchmarks/bench_plan.py -s --benchmark-columns=min,median,max,rounds

bench-xen: $(VENV)/.installed ## compare calls on a real Xen with C and Xen's own Python module (build/bench-xen.json)
	$(BIN)/python benchmarks/bench_xen.py

torture: $(VENV)/.installed ## kill commands for 20 minutes on a real Xen, and wear the library out (docs/data/torture.json); TORTURE="--seed 2 --output FILE"
	$(BIN)/python -m tests.torture $(TORTURE)

dist: $(VENV)/.installed ## build the source distribution and the wheel (dist/)
	$(BIN)/python -m build

deb: ## build the Debian packages (build/deb/*.deb) and check them with lintian
	sh tools/build_deb.sh build/deb

zipapp: $(VENV)/.installed ## build the command as a single file that needs Python and cffi (build/xenapic.pyz)
	$(BIN)/python tools/zipapp.py

stubs: $(VENV)/.installed ## rewrite xenapic/__init__.pyi after a change of the public names
	$(BIN)/python tools/write_stub.py

index: $(VENV)/.installed ## rewrite the index of xenapic explain, and the history of the ABI, after a change of any table
	$(BIN)/python tools/write_index.py
	$(BIN)/python tools/write_abi_history.py

schemas: $(VENV)/.installed ## rewrite the JSON schemas after a change of the documents' classes
	$(BIN)/python tools/write_schemas.py

clean: ## remove everything that was built, and the virtual environment
	rm -rf build dist docs/_build docs/_generated *.egg-info $(VENV)

prerequisites: ## install the Debian packages that the demo needs; run by the others
	@sh tools/prerequisites.sh

test-prerequisites: ## install the Debian packages that the tests need; run by the others
	@sh tools/prerequisites.sh tests

BUILT_FROM = pyproject.toml setup.py build_ffi.py xenapic/abi/generations.py $(wildcard xenapic/abi/decl/*.h stubs/*.pyi)
PIP = $(BIN)/pip install -q --disable-pip-version-check

# What runs xenapic and the lab; the tools for the checks come on top.
$(VENV)/.runs: $(BUILT_FROM) | prerequisites
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[lab]'
	touch $@

$(VENV)/.installed: $(VENV)/.runs | test-prerequisites
	$(PIP) -e '.[all]'
	touch $@
