# Everything runs in .venv; targets that need it set it up first. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL: # one environment, one run at a time; Snakemake and PyTorch use the cores

PYTHON ?= # the Python for .venv; if empty, workflow/scripts/make_venv.sh looks for a suitable Python
export GRID ?= demo
export PROFILE ?= local
OPS ?= 0

BIN := .venv/bin
READY := .venv/.ready
# .venv is out of date when the pinned versions or the package's metadata have changed.
PINS := constraints.txt pyproject.toml

# See the header of constraints.txt. The installation is twice as fast if pip does not compile
# bytecode. Python then compiles modules on import, and must be allowed to store the result:
# otherwise every process needs 10 s for this.
unexport PYTHONDONTWRITEBYTECODE
PIP := PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
	$(BIN)/python -m pip install --quiet --no-deps --no-compile --use-pep517
INSTALL := PIP_BUILD_CONSTRAINT=constraints.txt $(PIP)
# Builds in .venv itself have no build environment, so pip rejects constraints for one.
# setuptools warns about every editable installation.
INSTALL_HERE := PYTHONWARNINGS=ignore $(PIP) --no-build-isolation
# A few large packages take as long as all others together, so both groups install in parallel.
LARGE := ^(torch|torchvision|triton|nvidia-.*|cuda-.*)==
MMCV = "$$(grep '^mmcv-full==' constraints.txt)"
FIRST = "$$(grep '^setuptools==' constraints.txt)" # small, and needed by builds

.PHONY: help setup operators demo grid sample docs test reliability lint lab bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## set up or repair .venv; PYTHON=... chooses the Python; OPS=1 compiles mmcv's operators
	@rm -f $(READY)
	@$(MAKE) --no-print-directory $(READY) $(if $(filter 1,$(OPS)),operators)
	@$(BIN)/python -m pcb doctor

demo: ## train softmax with and without PCB and write runs/demo/index.html; 8 minutes
demo: override GRID := demo
grid: ## run the notebooks for all runs of a grid: GRID=NAME or GRID=FILE; on a cluster PROFILE=slurm
# The shell does not parse the values of its variables, so a name may contain any character.
demo grid: $(READY)
	@$(BIN)/python -m pcb grid run "$$GRID" --profile "$$PROFILE"

sample: $(READY) ## rebuild the committed sample run from a finished demo
	@$(BIN)/python -m tools.make_sample

docs: $(READY) ## build the documentation in site/ and check every link
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "Open site/index.html in a browser; it needs no network"

# One process for each core, and one thread each: the tests are small, and OpenMP's threads slow each
# other down. Tests that share an expensive fixture stay in one process (`xdist_group`).
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadgroup --no-loadscope-reorder

.PHONY: check
check: lint ## lint, then the fast tests; 2 minutes
	@$(PYTEST) -q -m "not slow"

test: $(READY) ## run the tests, the doctests and every notebook, on all cores; 8 minutes
	@$(PYTEST) --durations 10

reliability: $(READY) ## kill a training run at every write, resume it, compare the result; 15 minutes
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.support.reliability

lint: $(READY) ## check style and format of code and notebooks, spelling and types
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m codespell_lib
	@$(BIN)/python -m mypy

lab: $(READY) ## open copies of the notebooks in JupyterLab; ARGS="--port 9999 --no-browser"
	@$(BIN)/python -m pcb lab $(ARGS)

bench: $(READY) ## measure time and memory with data of LVIS v1's size; 12 minutes
	@$(BIN)/python benchmarks/losses.py
	@$(BIN)/python benchmarks/lvis_reading.py
	@$(BIN)/python benchmarks/detection_confusion.py
	@$(BIN)/python benchmarks/notebooks.py

clean: ## remove .venv, but keep data/ and runs/
	rm -rf .venv

# mmcv-full is installed separately, and never from pip's wheel cache. The cache does not distinguish
# wheels with and without compiled operators, or wheels compiled for different versions of PyTorch.
$(READY): export PYTHON := $(PYTHON)
$(READY): $(PINS)
	@workflow/scripts/make_venv.sh "$$PYTHON"
	@$(INSTALL) --retries 1 $(FIRST) 2> .venv/pip.log || { \
		echo "pip cannot fetch packages: is there a network, and a proxy if it needs one?" \
			"pip's output is in .venv/pip.log" >&2; exit 1; }
	@echo "Installing the pinned packages into .venv: 5 GB, most of it PyTorch; a few minutes"
	@grep -E '$(LARGE)' constraints.txt > .venv/large.txt
	@grep -vE '$(LARGE)|^mmcv-full==' constraints.txt > .venv/small.txt
	@$(INSTALL) -r .venv/large.txt & large=$$!; \
		$(INSTALL) -r .venv/small.txt && failed=0 || failed=$$?; \
		wait $$large && exit $$failed
	@$(INSTALL) --no-cache-dir $(MMCV)
	@$(INSTALL_HERE) --editable .
	@touch $@

# The build needs the installed PyTorch, so it runs in .venv itself.
operators: $(READY)
	@echo "Compiling the operators of mmcv-full; 10 to 25 minutes on 2 cores"
	@MMCV_WITH_OPS=1 $(INSTALL_HERE) --no-cache-dir --force-reinstall $(MMCV)
