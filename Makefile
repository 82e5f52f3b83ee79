# Each target makes .venv, installs what it needs and runs: nothing to set up first.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
DEMO := runs/digits
TEST := $(RUN) -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder

.PHONY: demo test test-slow lint clean

# Learn, evaluate, export and search scikit-learn's 1,797 real digits.
demo: $(VENV)/installed
	$(RUN) -m npid_tf.train --flagfile=configs/digits.cfg --workdir=$(DEMO)
	$(RUN) -m npid_tf.evaluate --flagfile=$(DEMO)/flags.cfg --protocol=knn
	$(RUN) -m npid_tf.export --flagfile=$(DEMO)/flags.cfg --export_dir=$(DEMO)/export
	$(RUN) -m npid_tf.search --export_dir=$(DEMO)/export \
	    --image=export/query_digit.png --k=5 --gallery=$(DEMO)/neighbors.html

test: $(VENV)/installed
	$(TEST) -m "not slow" tests

# Runs that are killed, workers that are lost, several processes: minutes a test.
test-slow: $(VENV)/installed
	$(TEST) -m slow tests

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

# Addons stop at Python 3.11: on a newer one that extra installs nothing.
$(VENV)/installed: pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable ".[addons,serving,test]"
	touch $@

clean:
	rm -rf $(VENV) runs
