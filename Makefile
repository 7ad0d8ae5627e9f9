# make help   what there is
# Everything runs in .venv, which the targets make themselves; Python >= 3.11 is all that is needed.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help test lint types unit kafka examples wheel demo bench bench-spring cost profile scale idle chaos soak faults rebalance overload fuzz simulation mutants clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/	/'

test: lint types unit kafka wheel ## everything: lint, types, unit, real Kafka, examples, the wheel

lint: .venv/dev ## format, lint, and which package may import which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: .venv/dev ## mypy --strict and pyright
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

unit: .venv/dev ## what needs no broker
	$(BIN)/pytest -m "not kafka and not alone" -n 2 --dist worksteal
	$(BIN)/pytest -m "not kafka and alone"

kafka: .venv/dev ## what needs a real Apache Kafka, which the tests start themselves
	$(BIN)/pytest -m "kafka and not alone" -n 2 --dist worksteal
	$(BIN)/pytest -m "kafka and alone"

wheel: .venv/dev ## build the wheel, install it into an empty environment, make a call with it
	$(BIN)/python tests/wheel/check.py

demo: .venv/demo ## a broker, two servers and a client: typed results, errors, deadlines, a crash
	@$(BIN)/python examples/demo/run.py

bench: .venv/dev ## calls per second and latency beside raw drivers and gRPC, as ratios; ARGS=--quick
	$(BIN)/python -m benchmarks $(ARGS)

bench-spring: .venv/dev ## the same beside Spring's template, which it builds with mvn and a Java from 17 on
	mvn -q -B -f benchmarks/spring/pom.xml package
	$(BIN)/python -m benchmarks $(ARGS)

cost: .venv/dev ## the framework's own processor time per call, without a broker
	$(BIN)/python -m benchmarks.cost $(ARGS)

profile: .venv/dev ## the stages of one call on both sides, and where processor time goes
	$(BIN)/python -m benchmarks.profile $(ARGS)

scale: .venv/dev ## throughput and p99 against clients, servers, partitions, sizes; memory per call
	$(BIN)/python -m benchmarks.scale $(ARGS)

idle: .venv/dev ## the share of a core that a client and a server use without calls
	$(BIN)/python -m benchmarks.idle $(ARGS)

chaos: .venv/dev ## three brokers, servers and clients, broken by a seed for MINUTES (20), and checked
	$(BIN)/python -m chaos --brokers 3 --minutes $(or $(MINUTES),20) --rate 300 $(ARGS)

soak: .venv/dev ## the same for MINUTES (60), with the growth of every process in its report
	$(BIN)/python -m chaos --brokers 3 --minutes $(or $(MINUTES),60) --rate 300 $(ARGS)

rebalance: .venv/dev ## how long partitions go without service when a group changes
	$(BIN)/python -m benchmarks.rebalance $(ARGS)

overload: .venv/dev ## goodput, refusals and recovery of a server at twice its capacity
	$(BIN)/python -m benchmarks.overload $(ARGS)

fuzz: .venv/dev ## random bytes to servers, clients and readers of batches; MINUTES=10
	@end=$$(($$(date +%s) + 60 * $(or $(MINUTES),10))); \
	while [ $$(date +%s) -lt $$end ]; do \
		RPC_FUZZ_EXAMPLES=20 $(BIN)/pytest -q --timeout 600 --hypothesis-seed=random tests/fuzz || exit 1; \
	done

simulation: .venv/dev ## channels and servers on a virtual broker, SEEDS (2000) of them
	$(BIN)/python -m chaos.simulation --seeds $(or $(SEEDS),2000) $(ARGS)

mutants: .venv/dev ## planted bugs, what finds each, and the score
	$(BIN)/python -m chaos.mutants $(ARGS)

faults: .venv/dev ## what calls notice when brokers and servers are killed or restarted
	$(BIN)/python -m benchmarks.faults $(ARGS)

clean: ## remove what the targets made
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

.venv/demo: .venv/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[broker]"
	@touch $@

.venv/dev: .venv/demo pyproject.toml
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@
