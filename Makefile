# Everything runs in .venv, which the first command makes. On a machine with CUDA: make … CONSTRAINTS=
PYTHON ?= python3
CONSTRAINTS ?= -c constraints-cpu.txt
BIN := .venv/bin
DIM := $(BIN)/python -m dim
INSTALLED := .venv/.installed

.PHONY: demo test lint clean

demo: $(INSTALLED) demo/world/dataset.json
	$(DIM) fit --config lightning_configs/demo.yaml --overwrite true
	$(DIM) fit --config lightning_configs/demo.yaml --overwrite true --run runs/demo-text --model.mention_fields '[mention,context]'
	$(DIM) fit --config lightning_configs/demo.yaml --overwrite true --run runs/demo-image --model.mention_fields '[mention,image,caption]'
	$(DIM) report runs/demo runs/demo-text runs/demo-image --by type

demo/world/dataset.json: $(INSTALLED)
	$(DIM) demo-world demo/world

test: $(INSTALLED)
	$(BIN)/lint-imports --config setup.cfg --no-cache
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term:skip-covered --cov-fail-under=90

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg --no-cache

$(INSTALLED): setup.cfg pyproject.toml constraints-cpu.txt
	@echo "Making .venv and installing dim (a few minutes, once)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) -e '.[dev]'
	@touch $@

clean:
	rm -rf demo runs cache
