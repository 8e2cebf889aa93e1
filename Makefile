# Two commands do all the set-up: `make run` and `make test`.
# Everything lives in .venv, pinned by constraints.txt; nothing is asked of the machine but Python 3.11+ and make.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do $$p -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARCHIVE ?=
OUT ?=
SETTINGS ?=
ARGS ?=

.PHONY: run test lint format install benchmarks clean

run: install
ifeq ($(strip $(ARCHIVE)),)
	@$(BIN)/thermal-sr demo $(if $(OUT),--out "$(OUT)") $(ARGS)
else
	@$(BIN)/thermal-sr run "$(ARCHIVE)" "$(if $(OUT),$(OUT),out)" $(if $(SETTINGS),--settings "$(SETTINGS)") $(ARGS)
endif

test: install lint
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: install
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

benchmarks: install
	@$(BIN)/python -m tests.benchmarks.stages
	@$(BIN)/python -m tests.benchmarks.giant
	@$(BIN)/python -m tests.benchmarks.gpu
	@$(BIN)/python -m tests.benchmarks.network_share
	@$(BIN)/python -m tests.benchmarks.many_files

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or later is needed; none was found as python3.11, python3, python3.12 or python3.13'; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing pinned dependencies into $(VENV) (once, a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache
