# Every target makes .venv and installs what it needs; a second run starts at once.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := settings.ini setup.py pyproject.toml
LESSONS := $(sort $(wildcard nbs/[0-9]*.ipynb))

.DEFAULT_GOAL := help
.PHONY: help run test lab export lessons bench images hooks clean

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

run: .venv/run  ## train on the default pictures and show the mistakes: pictures under runs/
	@$(BIN)/transfer-lessons run

test: .venv/dev .venv/ipywidgets7  ## style, every lesson run as a test, pytest with the browser tests
	@echo "== Style" && $(BIN)/ruff check .
	@echo "== Every lesson, top to bottom" && $(BIN)/nbdev-test --n-workers 1 --timing --do-print
	@echo "== Tests" && $(BIN)/python -m pytest

lab: .venv/dev  ## open the lessons in JupyterLab
	@$(BIN)/jupyter lab nbs

export: .venv/dev  ## write transfer_lessons/ and README.md from the notebooks
	@echo "== Writing the library from nbs/" && $(BIN)/nbdev-export
	@echo "== Writing README.md from nbs/index.ipynb"
	@$(BIN)/jupyter nbconvert --log-level WARN --to markdown --output-dir . --output README nbs/index.ipynb
	@sed -i.bak -E 's#\(\.\./#(#g; s#\(([0-9]{2}_[a-z_]+\.ipynb)#(nbs/\1#g' README.md && rm README.md.bak

lessons: export  ## run every lesson and store its outputs
	@for lesson in $(LESSONS); do \
		echo "== $$lesson" && $(BIN)/jupyter nbconvert --log-level WARN --to notebook --execute --coalesce-streams \
			--ExecutePreprocessor.store_widget_state=False --inplace $$lesson || exit 1; done
	@$(BIN)/python -c "$$TIDY" $(LESSONS)
	@$(BIN)/nbdev-clean

# A stored widget is dead until its cell runs; without it, its picture shows. A bar that is done
# leaves an empty output.
define TIDY
import sys, nbformat
for path in sys.argv[1:]:
    book = nbformat.read(path, 4)
    for cell in book.cells:
        for output in cell.get('outputs', []):
            output.get('data', {}).pop('application/vnd.jupyter.widget-view+json', None)
        if cell.cell_type == 'code':
            cell.outputs = [o for o in cell.outputs if any(o.get('data', {'': o}).values())]
    nbformat.write(book, path)
endef
export TIDY

bench: .venv/bench  ## measure against fastai and bare PyTorch, in one run
	@for file in $$(grep -l __main__ benchmarks/*.py); do \
		echo "== $$file"; $(BIN)/python -W ignore $$file || missed="$$missed $$file"; done; \
		test -z "$$missed" || { echo "A limit was missed in:$$missed"; exit 1; }

images: .venv/dev  ## take the pictures of README and index from the lessons' runs
	@$(BIN)/python images/make.py

hooks: .venv/dev  ## clean notebooks at every commit
	@$(BIN)/nbdev-install-hooks

clean:  ## remove what was built, .venv included
	rm -rf .venv build dist runs models *.egg-info
