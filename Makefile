# The two commands: `make demo` and `make test`. Both install what they need.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin


.PHONY: demo test test-pure verify lint docs bench bench-xen prerequisites wheel stubs schemas clean

prerequisites:
	@sh tools/prerequisites.sh

$(VENV)/.installed: pyproject.toml setup.py build_ffi.py xenapic/abi/generations.py | prerequisites
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -e '.[all]'
	touch $@

## An emulated Intel machine with APIC virtualisation: report, refusal, create, list, destroy.
demo: $(VENV)/.installed
	$(BIN)/xenapic lab run --machine broadwell_ult --file /demo.sh=tools/demo.sh -- sh /demo.sh

## Everything: lint, types, docs, pure, library, and real Xens in emulated machines.
test: lint docs
	$(BIN)/python -m pytest -n auto --dist loadgroup

## The specification against a real Xen on every machine of the lab; the page has a map of every register.
verify: $(VENV)/.installed
	$(BIN)/xenapic lab verify --html build/verify.html --junit build/verify.xml --record-dir build/recordings

## What needs no emulated machine: seconds.
test-pure: $(VENV)/.installed
	$(BIN)/python -m pytest -m "not xen" -n auto

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

## What starting costs; recorded, not tested.
bench: $(VENV)/.installed
	$(BIN)/python -m pytest benchmarks/bench_start.py benchmarks/bench_plan.py -s --benchmark-columns=min,median,max,rounds

## What calls cost on a real Xen, next to C and to Xen's own Python module.
bench-xen: $(VENV)/.installed
	$(BIN)/python benchmarks/bench_xen.py

wheel: $(VENV)/.installed
	$(BIN)/python -m build --wheel

## Write the JSON schemas of the documents anew, after a change of their classes.
schemas: $(VENV)/.installed
	$(BIN)/python tools/write_schemas.py

## Write xenapic/__init__.pyi anew, after a change of the public names.
stubs: $(VENV)/.installed
	$(BIN)/python tools/write_stub.py

clean:
	rm -rf build dist docs/_build docs/_generated *.egg-info $(VENV)
