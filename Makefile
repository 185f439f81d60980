# `make train ARGS="optimizer=adam bs=8"` trains, `make test` tests; the first call of either makes .venv.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
BENCH := .venv/bench
BENCH_TABLES := .venv/bench-tables
LOGGERS := .venv/loggers
CLUSTER := .venv/cluster
SITE := .venv/site

.PHONY: train play test test-all bench bench-gpu bench-cluster bench-sweep bench-tables course notebooks site spanish kill-harness lint wheel clean

train: $(READY)
	$(BIN)/python train.py $(ARGS)

play: $(READY)
	$(BIN)/nettrain-play $(ARGS)

# Tests start hundreds of programs, each of which would compile what has changed. With worksteal whoever has tested the
# first half of a file tests the second one, too, and has at hand what its tests share.
PYTEST = $(BIN)/python -m compileall -q src && $(BIN)/python -m pytest -n auto --dist worksteal

test: $(READY)
	$(PYTEST) -m "not slow and not cuda" $(ARGS)

test-all: $(LOGGERS) $(CLUSTER) $(SITE)
	$(PYTEST) -m "not cuda" $(ARGS)

bench: $(BENCH)
	$(BIN)/python scripts/bench.py $(ARGS)

bench-gpu: $(BENCH)
	$(BIN)/python scripts/bench_gpu.py $(ARGS)

bench-cluster: $(BENCH) $(CLUSTER)
	$(BIN)/python scripts/bench_cluster.py $(ARGS)

bench-sweep: $(BENCH)
	$(BIN)/python scripts/bench_sweep.py $(ARGS)

bench-tables: $(BENCH_TABLES)
	$(BIN)/python scripts/bench_tables.py $(ARGS)

kill-harness: $(READY)
	$(BIN)/python scripts/kill_harness.py --kills 200 --mutations --output docs/reliability.md $(ARGS)

course: $(READY)
	$(BIN)/python scripts/course.py $(ARGS)

# The notebooks of the course, made of its pages.
notebooks: $(READY)
	$(BIN)/python scripts/notebooks.py

# Numbers and code of the English pages, in the Spanish ones; what else is out of step is listed.
spanish: $(READY)
	$(BIN)/python scripts/spanish.py

# The documentation in English and Spanish: site/index.html, site/es/index.html.
site: $(SITE)
	$(BIN)/python scripts/make_site.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: $(READY)
	$(BIN)/python -m build --wheel --no-isolation

# Nothing is installed again until one of the two files changes.
$(READY): pyproject.toml constraints.txt
	@echo "Installing what constraints.txt pins into .venv: two to five minutes, once."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/python -m compileall -q src
	touch $@

$(LOGGERS): $(READY)
	@echo "Installing MLflow and W&B, which tests of loggers need: a minute or two, once."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[mlflow,wandb]"
	touch $@

$(CLUSTER): $(READY)
	@echo "Installing Ray, which tests of sweeps on clusters need: a minute, once."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[ray,slurm]"
	touch $@

$(SITE): $(READY)
	@echo "Installing what draws the site: a minute, once."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[site]"
	touch $@

$(BENCH): $(READY)
	@echo "Installing the libraries that nettrain is compared with: some minutes, once."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	touch $@

$(BENCH_TABLES): $(READY)
	@echo "Installing the methods for tables that nettrain is compared with: some minutes, once."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench-tables]"
	touch $@

clean:
	rm -rf .venv dist build site .pytest_cache .mypy_cache .ruff_cache
