# Everything sets itself up: .venv holds the project and what it needs, and is renewed when pyproject.toml changes.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test docs bench typecheck clean

demo: .venv/installed
	$(BIN)/plastic-env compare

test: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) --no-print-directory typecheck
	$(BIN)/python -m pytest

# no network is needed; a warning, such as a link that leads nowhere, is an error
docs: .venv/installed-docs
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo docs/_build/html/index.html

bench: .venv/installed-dev
	$(BIN)/python benchmarks/speed

# mypy needs to see agents/ and scenarios/ where they are imported from: inside the package
typecheck: .venv/installed-dev
	rm -rf build/typed && mkdir -p build/typed
	cp -Rp plastic_env build/typed/
	cp -Rp agents scenarios build/typed/plastic_env/
	cd build/typed && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../mypy -p plastic_env

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "plastic_env needs Python 3.10 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ .venv/installed

.venv/installed-docs: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@ .venv/installed

clean:
	rm -rf .venv build dist docs/_build docs/reference/modules *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
