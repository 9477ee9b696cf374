# Everything runs in .venv, which the first command makes. On a machine with CUDA: make … CONSTRAINTS=
PYTHON ?= python3
CONSTRAINTS ?= -c constraints-cpu.txt
BIN := .venv/bin
DIM := $(BIN)/python -m dim
FIT_DEMO := $(DIM) fit --config lightning_configs/demo_plus.yaml --overwrite true
INSTALLED := .venv/.installed

OLDEST := .venv-oldest/bin/python -m
#: A fast part of the tests that imports every package of setup.cfg's lower bounds and fits, links, serves, refreshes.
OLDEST_TESTS := tests/features/test_blip2.py tests/features/test_clip.py tests/features/test_text.py \
	tests/linker/test_linker_answers.py tests/methods/baselines tests/methods/contrastive \
	tests/methods/generative/test_decoding.py tests/methods/generative/test_module.py tests/refresh \
	tests/report/test_page.py tests/search tests/serve/test_serve_batches.py tests/serve/test_spacy_component.py \
	tests/test_configs.py tests/test_main.py tests/test_prepare.py tests/test_records.py

.PHONY: demo test test-all test-lavis test-oldest docs notebooks browser lint clean

demo: $(INSTALLED) demo/world/dataset.json
	$(FIT_DEMO)
	$(FIT_DEMO) --run runs/demo_plus_text --model.mention_fields '[mention,spelling,context]'
	$(FIT_DEMO) --run runs/demo_plus_image --model.mention_fields '[mention,spelling,image,caption]'
	$(DIM) report runs/demo_plus runs/demo_plus_text runs/demo_plus_image --by type

demo/world/dataset.json: $(INSTALLED)
	$(DIM) demo-world demo/world --num_entities 2000

# Two workers, a core each: more threads would only wait for one another. The processes that tests start find dim compiled,
# also in a container that is told to keep no bytecode. CI also tests the page, in a browser.
test: $(INSTALLED) $(if $(CI),browser)
	$(BIN)/lint-imports --no-cache
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist worksteal -m 'not ray and not ddp'

# Everything, with the whole kill series, what --long alone runs, and the coverage (counting lines takes as long again).
# Clusters and pairs of processes run one after the other.
test-all: $(INSTALLED)
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) -e '.[long]'
	$(BIN)/lint-imports --no-cache
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --long -n 2 --dist worksteal -m 'not ray and not ddp' --cov --cov-report=term:skip-covered --cov-fail-under=90
	$(BIN)/python -m pytest --long -m 'ray or ddp' --durations=0 tests
	$(MAKE) test-lavis

test-lavis: .venv-lavis/.installed
	.venv-lavis/bin/python -m pytest tests/lavis

# With the lower bounds of setup.cfg.
test-oldest: .venv-oldest/.installed
	OMP_NUM_THREADS=1 $(OLDEST) pytest -q -p no:cacheprovider $(OLDEST_TESTS)

# Runs the notebooks anew, each in a folder of its own, and stores them with their outputs (ten minutes).
notebooks: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python tests/executed_notebook.py

# The documents as a site in site/, for any server of files: python -m http.server -d site
docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# A real browser for the tests of the page, where there is none: Debian's Chromium, as root or by sudo.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
browser:
	@command -v chromium chromium-browser google-chrome \
	|| { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -qq -y --no-install-recommends chromium; }

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# A .venv that is there stays that of its Python: made again by another it would be half of each.
$(INSTALLED): setup.cfg pyproject.toml constraints-cpu.txt
	@echo "Making .venv and installing dim (a few minutes, once)"
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile $(CONSTRAINTS) -e '.[dev]'
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true  # on every core; pip compiles on one, for a minute
	@touch $@

.venv-oldest/.installed: setup.cfg constraints-oldest.txt
	@echo "Making .venv-oldest with the lower bounds (a few minutes, once)"
	$(PYTHON) -m venv .venv-oldest
	$(OLDEST) pip install --quiet -c constraints-oldest.txt -e '.[lora,refresh,serve,spacy]' httpx hypothesis pytest
	@touch $@

# dim without its own bounds: salesforce-lavis needs a Transformers that is older than they allow.
.venv-lavis/.installed: setup.cfg requirements-lavis.txt
	@echo "Making .venv-lavis for salesforce-lavis (a few minutes, once)"
	$(PYTHON) -m venv .venv-lavis
	.venv-lavis/bin/python -m pip install --quiet -r requirements-lavis.txt hypothesis pytest
	.venv-lavis/bin/python -m pip install --quiet --no-deps -e .
	@touch $@

clean:
	rm -rf demo runs cache
