# Every target sets up what it needs: a virtual environment in .venv, from the pinned versions in constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
# Processes for the tests: one more than there are cores, as many tests wait for processes of their own.
WORKERS = $(shell $(BIN)/python -c "import os; print(os.cpu_count() + 1)")

.DEFAULT_GOAL := help
.PHONY: help setup env run demo test check format bench model chaos fuzz simulator migrate clean

help: ## Show this help
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: .venv/ready ## Install everything into .venv

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Tempogram needs Python 3.11 or newer, and this is " + sys.version.split()[0] + "; set PYTHON=python3.12, say") if sys.version_info < (3, 11) else None'
	@echo "Tempogram makes its virtual environment in .venv (once) …"
	@$(PYTHON) -m venv .venv
	@echo "Tempogram installs its packages, as pinned in constraints.txt (once, a minute or two) …"
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

env: ## Write .env with secrets of its own, for docker compose; one that is there stays
	@$(PYTHON) -I bot/commands/env_file.py

run: setup ## Run everything in one process; without BOT_TOKENS, with a simulated Telegram
	@$(BIN)/tempogram run

demo: setup ## Show it at work against a simulated Telegram: load, faults, a kill -9; a report after some 40 s
	@$(BIN)/tempogram demo

# Processes start in it by the hundred: each would compile our modules anew where PYTHONDONTWRITEBYTECODE is set.
test: export PYTHONDONTWRITEBYTECODE :=
test: setup ## Run the whole test suite
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

check: setup ## Format, lint, types and floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## Run the benchmarks, one after another
	$(BIN)/python -m bench

model: setup ## Run 100,000 steps of the brokers, and of the queue of calls, against their models
	$(BIN)/python -m tests.engine.brokers.model_command --steps 100000
	$(BIN)/python -m tests.engine.services.model_command --steps 100000

chaos: setup ## Kill, freeze and cut off processes and servers for ten minutes, and judge what arrived
	$(BIN)/python -m tests.chaos --minutes 10

fuzz: setup ## Make requests for two minutes as no client should make them, and judge the answers
	$(BIN)/python -m tests.fuzz --minutes 2

simulator: setup ## Run the simulated Telegram by itself
	@$(BIN)/tempogram simulator

migrate: setup ## Bring the database's tables up to date
	@$(BIN)/tempogram migrate

clean: ## Remove what was built; the data stays
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
