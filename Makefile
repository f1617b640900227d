# make run        execute the series, build the reading site in _run/     make run DATA=path  with your own MNIST_SAMPLE
# make test       everything CI checks                                    make test-all       also what takes minutes
# make quick      the same without what takes tens of seconds             make lab            JupyterLab on nbs/
# make outputs    execute the series and keep the outputs                 make audit          the post, measured
# make bench      speed, renews benchmarks/results.md                     make lock           renew requirements.lock
# make clean      remove what these commands made
PYTHON ?= python3
DATA ?=
BIN := .venv/bin
WITH = $(if $(DATA),--data "$(DATA)")

.PHONY: run outputs test test-all quick lab audit bench lock clean

run: .venv/ready
	@$(BIN)/python tools/run.py $(WITH)

outputs: .venv/ready
	@$(BIN)/python tools/run.py --save $(WITH)

test: .venv/ready
	@$(BIN)/python tools/check.py $(WITH)

test-all: .venv/ready
	@$(BIN)/python tools/check.py --all $(WITH)

quick: .venv/ready
	@$(BIN)/python tools/check.py --quick $(WITH)

lab: .venv/ready
	$(BIN)/jupyter lab --ip=127.0.0.1 --notebook-dir=nbs

audit: .venv/ready
	@$(BIN)/python -m audit

bench: .venv/ready
	$(BIN)/python benchmarks/run.py

lock: .venv/ready
	$(BIN)/uv pip compile setup.py --extra dev --universal --upgrade --no-header --no-emit-index-url -q -o requirements.lock

# The environment: exactly what requirements.lock says, and this package in place. Made again when either file changes.
.venv/ready: requirements.lock settings.ini setup.py tools/env.py
	@$(PYTHON) tools/env.py

clean:
	rm -rf .venv _run _run.* _proc build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
