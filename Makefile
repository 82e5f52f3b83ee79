# Each target makes .venv, installs what it needs and runs: nothing to set up first.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
DEMO := runs/demo
TEST := $(RUN) -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder

.PHONY: demo test test-slow test-benchmarks test-docs lint types wheel clean

# Learn close-ups of two photographs, evaluate, show, export and search them.
demo: $(VENV)/installed
	$(RUN) -m npid_tf.train --flagfile=configs/closeups.cfg --workdir=$(DEMO)
	$(RUN) -m npid_tf.evaluate --workdir=$(DEMO) --protocol=knn
	$(RUN) -m npid_tf.evaluate --workdir=$(DEMO) --protocol=side_by_side
	$(RUN) -m npid_tf.export --workdir=$(DEMO) --export_dir=$(DEMO)/export
	$(RUN) -m npid_tf.search --export_dir=$(DEMO)/export \
	    --image=export/query_photo.png --k=5 --gallery=$(DEMO)/neighbors.html

test: $(VENV)/installed
	$(TEST) -m "not slow and not benchmark" tests

# Runs that are killed, workers that are lost, several processes: minutes a test.
test-slow: $(VENV)/installed
	$(TEST) -m slow tests

# The programs of benchmarks/, on tiny sizes; test-slow runs those of minutes.
test-benchmarks: $(VENV)/installed
	$(TEST) -m "benchmark and not slow" tests/benchmarks

# The README's examples run, and what it and docs/ name exists.
test-docs: $(VENV)/installed
	$(RUN) -m pytest tests/test_readme.py tests/test_docs.py

lint: $(VENV)/installed types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/codespell

# The annotations of the public names, by mypy: 15 s the first time, then 2.
types: $(VENV)/installed
	$(VENV)/bin/mypy

# dist/: the wheel, and the source it is made of.
wheel: $(VENV)/installed
	$(RUN) -m build

# Addons stop at Python 3.11: on a newer one that extra installs nothing.
$(VENV)/installed: pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable ".[addons,serving,test]"
	touch $@

clean:
	rm -rf $(VENV) build dist runs
