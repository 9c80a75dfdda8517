# Every target makes .venv and installs what it needs; a second run starts at once.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := settings.ini setup.py pyproject.toml
LESSONS ?= $(sort $(wildcard nbs/[0-9u][0-9]*.ipynb)) nbs/from_fastai.ipynb
PACKAGE := tests/package

.DEFAULT_GOAL := help
.PHONY: help run check style types test solutions soak refusals oldest colab lab export stubs lessons minutes images bench recipes rules gpu wheels hooks site clean

# Two busy cores and threads that spin while they wait: five times slower than threads that sleep.
export OMP_WAIT_POLICY := passive

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

.venv/run: $(SOURCES)
	@echo "== Installing the course into .venv (the first time this takes some minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/dev: .venv/run
	@echo "== Installing what the tests and the lessons need"
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

.venv/bench: .venv/dev
	@echo "== Installing what the benchmarks compare with"
	@$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

.venv/ipywidgets7: .venv/dev
	@echo "== Installing the ipywidgets that Colab has beside the newest"
	@$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ ipywidgets==7.7.1 \
		widgetsnbextension==3.6.6 jupyterlab-widgets==1.1.11 ipython-genutils==0.2.0
	@touch $@

.venv-oldest/done: .venv/dev
	@echo "== Installing the lowest versions that settings.ini allows (once; some gigabytes)"
	@$(PYTHON) -m venv --clear .venv-oldest
	@$(BIN)/uv pip install --quiet --python .venv-oldest --resolution lowest-direct --editable .
	@$(BIN)/uv pip install --quiet --python .venv-oldest pytest pytest-timeout hypothesis
	@touch $@

run: .venv/run  ## train on the built-in images and show the mistakes: plots under runs/
	@$(BIN)/transfer-lessons run

check: style types  ## style, types and unit tests: before every commit
	@echo "== Unit tests" && $(BIN)/python -m pytest tests/unit

style: .venv/dev  ## style alone
	@echo "== Style" && $(BIN)/ruff check .

types: .venv/dev  ## types alone
	@echo "== Types" && $(BIN)/python $(PACKAGE)/check_types.py

test: style types .venv/ipywidgets7  ## everything: style, types, every lesson from top to bottom, all tests
	@echo "== Every lesson, top to bottom, one on each core"
	@OMP_NUM_THREADS=1 $(BIN)/nbdev-test --n-workers 2 --timing --do-print
	@echo "== Tests, one file on each core"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

solutions: .venv/dev  ## every lesson with its exercises solved, where every check must pass: 10 minutes
	@OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python tests/exercises/fill_in.py $(filter nbs/0% nbs/1%,$(LESSONS))

soak: .venv/dev  ## the property tests with 5,000 examples each: half an hour
	@$(BIN)/python -m pytest tests/properties --hypothesis-profile soak --timeout 0

refusals: .venv/dev  ## calls with a wrong argument, and what each is told
	@PYTHONPATH=tests $(BIN)/python tests/failures/refusals.py

oldest: .venv-oldest/done  ## unit tests with the lowest versions that settings.ini allows
	@.venv-oldest/bin/python -m pytest tests/unit

colab: .venv/dev  ## every lesson and explorer with Colab's versions, kernel and notebook (once 5 GB)
	@$(BIN)/python tests/colab/colab.py $(filter nbs/0% nbs/1%,$(LESSONS))

lab: .venv/dev  ## open the lessons in JupyterLab
	@$(BIN)/jupyter lab nbs

export: .venv/dev  ## write library, stubs, set-up cells and README.md from notebooks and settings.ini
	@$(BIN)/python $(PACKAGE)/setup_cell.py
	@echo "== Writing the library from nbs/" && $(BIN)/nbdev-export
	@echo "== Writing the stubs" && $(BIN)/python $(PACKAGE)/stubs.py
	@echo "== Writing the table of cases from the tests" && $(BIN)/python $(PACKAGE)/case_table.py
	@echo "== Writing the teachers' tables from lessons and exercises" && $(BIN)/python $(PACKAGE)/teachers_table.py
	@echo "== Writing README's section on speed from benchmarks/results" && $(BIN)/python benchmarks/page.py
	@echo "== Writing README's section on recipes from benchmarks/results" && $(BIN)/python benchmarks/recipe_page.py
	@echo "== Writing README's section on learning rates from benchmarks/results" && $(BIN)/python benchmarks/rules_page.py
	@echo "== Writing README.md from nbs/index.ipynb"
	@$(BIN)/jupyter nbconvert --log-level WARN --to markdown --output-dir . --output README nbs/index.ipynb
	@sed -i.bak -E 's#\(\.\./#(#g; s#\(([0-9u][0-9]+[a-z]?_[a-z_]+|from_fastai|glossary|for_teachers)\.ipynb#(nbs/\1.ipynb#g' README.md && rm README.md.bak

stubs: .venv/dev  ## write the stubs alone, from which editors complete learn.lr_find
	@$(BIN)/python $(PACKAGE)/stubs.py

lessons: export  ## run every lesson and store its outputs; some: make lessons LESSONS=nbs/05_optimizers.ipynb
	@$(BIN)/python $(PACKAGE)/run_lessons.py $(LESSONS)

minutes:  ## how long each lesson takes to read
	@$(PYTHON) $(PACKAGE)/minutes.py $(LESSONS)

site: .venv/dev  ## the lessons as web pages with working figures, glossary and reference: build/site/html
	@echo "== Building the site" && $(BIN)/python site/build_site.py

images: .venv/dev  ## take the pictures of README and index from the lessons' runs
	@$(BIN)/python images/make.py

bench: .venv/bench  ## measure against fastai, PyTorch and others: half an hour of a quiet machine
	@$(BIN)/python -W ignore benchmarks/run_all.py

recipes: .venv/bench  ## compare recipes of fine-tuning: hours, goes on where it was stopped; a part: OPTIONS="--data icons"
	@$(BIN)/python -W ignore benchmarks/recipes.py $(OPTIONS)

rules: .venv/bench  ## which learning rate rule is right: 10,000 trainings, an hour; goes on where it was stopped
	@$(BIN)/python -W ignore benchmarks/rules.py

gpu:  ## measure on a GPU: needs torch, torchvision, timm, and what `make wheels` brought; no network
	@$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -W ignore benchmarks/gpu.py

wheels: .venv/bench  ## fill runs/wheels for `make gpu`; another Python: make wheels WANTED="--python-version 3.12"
	@$(BIN)/python benchmarks/wheels.py fill $(WANTED)

hooks: .venv/dev  ## check notebooks and style at every commit
	@$(BIN)/pre-commit install

clean:  ## remove what was built, .venv included
	rm -rf .venv .venv-oldest .venv-colab build dist runs models *.egg-info
