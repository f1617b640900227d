# make run        execute the series; pages in _run/            make run DATA=path  with your own MNIST_SAMPLE
# make test       everything CI checks                          make lab            JupyterLab on nbs/
# make bench      speed, renews benchmarks/results.md           make lock           renew requirements.lock
# make outputs    execute the series and keep the outputs       make clean          remove what these commands made
PYTHON ?= python3
DATA ?=
BIN := .venv/bin

.PHONY: run test quick lab bench lock outputs clean

run: .venv/ready
	@$(BIN)/python tools/run.py $(if $(DATA),--data "$(DATA)")

outputs: .venv/ready
	@$(BIN)/python tools/run.py --save $(if $(DATA),--data "$(DATA)")

test: .venv/ready
	@$(BIN)/python tools/check.py $(if $(DATA),--data "$(DATA)")

quick: .venv/ready
	@$(BIN)/python tools/check.py --quick $(if $(DATA),--data "$(DATA)")

lab: .venv/ready
	$(BIN)/jupyter lab --ip=127.0.0.1 --notebook-dir=nbs

bench: .venv/ready
	$(BIN)/python benchmarks/run.py

lock: .venv/ready
	$(BIN)/uv pip compile setup.py --extra dev --universal --upgrade --no-header --no-emit-index-url -q -o requirements.lock

# The environment: exactly what requirements.lock says, and this package in place. Made again when either file changes.
.venv/ready: requirements.lock settings.ini setup.py tools/env.py
	@$(PYTHON) tools/env.py

clean:
	rm -rf .venv _run _proc build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
