PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo serve test bench clean

demo: $(VENV)/installed  ## train, export and ask every app on its default data; prints one table
	$(RUN) -m apps.demo

serve: $(VENV)/installed  ## serve saved_models/ as TensorFlow Serving does, with a page to try it
	$(RUN) -m shared.serving.server

test: $(VENV)/installed  ## lint, check types, run the tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(RUN) -m pytest -n auto --dist loadgroup --no-loadscope-reorder

bench: $(VENV)/installed  ## run the measurements that README's table comes from (hours)
	$(RUN) -m pytest -m benchmark tests/benchmarks

clean:  ## remove the environment, caches, runs and trained models
	rm -rf $(VENV) runs saved_models/*/ .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	  echo "Quartet needs Python 3.11, 3.12 or 3.13; $(PYTHON) is another."; \
	  echo "Name one of them: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements.lock
	touch $@
