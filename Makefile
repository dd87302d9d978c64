# The two commands of the README are `make demo` and `make test`; both build the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: env demo test lint studies figures reproduce clean

env: $(VENV)/.installed

# Rebuilt when pyproject.toml changes; after a change of dvp_mpc/native, `python -m dvp_mpc.native` builds anew. The stamp comes last, so an interrupted install is not taken for a finished one.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v in ((3, 10), (3, 11)) else f"needs Python 3.10 or 3.11, found {v[0]}.{v[1]}; try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@$(BIN)/python -m dvp_mpc.native || true  # without a compiler the slower solver serves: README
	@touch $@

demo: env
	$(BIN)/dvp-mpc simulate --seed 39 --disturbance impulse:5@1.5 --film --out runs/demo

# Both cores at once, but for the tests in real time, which must not wait for each other. They too run in a worker (-n 1): one
# crashed while rclpy deleted its node, and took the run along. Such a test is run again now, and listed as rerun.
test: env lint
	$(BIN)/python -m pytest -m "not slow and not realtime" -n 2 --dist worksteal
	$(BIN)/python -m pytest -m "not slow and realtime" -n 1

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests marked slow: minutes each.
studies: env
	$(BIN)/python -m pytest -m slow

# Every number of the README's figures table.
figures: env
	$(BIN)/dvp-mpc evaluate --nodes 1 2 5 10 20 --starts 100 --seed 2026
	$(BIN)/python sim/twenty_seeds.py --nodes 10 2 1

# The paper's figures and docs/reproduction.md: an hour or two on two cores; goes on where it was stopped.
reproduce: env
	$(BIN)/dvp-mpc reproduce all --jobs 2

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache
