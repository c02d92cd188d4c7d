# `make demo` and `make test` do all the set-up themselves; the others build on it.

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
# Processes that run tests side by side; `auto` is what cores and memory allow.
JOBS := auto
PYTEST := $(BIN)/python -m pytest -q --numprocesses $(JOBS)

.PHONY: demo test test-all test-slow fuzz soak check format bench bench-long docs screens wheel clean help

help:  ## Say what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## ?/  make \1\t/' | expand -t 20

demo: $(VENV)/ready  ## Bounce real music into a watched folder and check what comes back
	$(BIN)/stembridge demo

test: $(VENV)/ready  ## The tests, with few examples of each property: 5 minutes on 2 cores
	$(PYTEST) $(ARGS)

test-all: $(VENV)/ready  ## What continuous integration runs: thorough cases, many examples
	HYPOTHESIS_PROFILE=$(or $(HYPOTHESIS_PROFILE),ci) $(PYTEST) -m 'not slow' $(ARGS)

test-slow: $(VENV)/ready  ## The tests that take minutes each, one after the other
	$(BIN)/python -m pytest -q -m slow $(ARGS)

bench: $(VENV)/ready  ## Time and memory beside demucs and Spleeter, into BENCHMARKS.md
	$(BIN)/python -m tests.bench --write BENCHMARKS.md

bench-long: $(VENV)/ready  ## The same, to an hour of music
	$(BIN)/python -m tests.bench --minutes 1 10 60 --write BENCHMARKS.md

fuzz: $(VENV)/ready  ## Ten minutes of hostile files (FUZZ_S=60: one); Linux, Python 3.11 and later
	$(PIP_INSTALL) --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(or $(FUZZ_S),600)

soak: $(VENV)/ready  ## Half an hour of a busy studio, with deaths (SOAK_S=600: ten minutes); Linux
	$(BIN)/python -m tests.crash.soak --seconds $(or $(SOAK_S),1800)

check: $(VENV)/ready  ## Format, lint, types, direction of the imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/ready  ## Format, and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/ready  ## The documentation as a site in build/site; a dead link is an error
	$(PIP_INSTALL) --editable '.[docs]'
	$(BIN)/python -m docs.generate
	$(BIN)/zensical build --strict --clean
	$(BIN)/python -m docs.generate.check build/site

screens: $(VENV)/ready  ## docs/screens: what the commands print, from real runs
	$(BIN)/python -m docs.generate.screens

wheel: $(VENV)/ready  ## dist/*.whl
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation

clean:  ## Remove what was built, the environment included
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .cache

# The first Python of 3.10 to 3.13 that can make an environment. Debian packs that ability apart:
# root (a container, continuous integration) installs it, anyone else is told how.
$(VENV)/ready: pyproject.toml constraints.txt
	@usable() { "$$1" -c 'import ensurepip, sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }; \
	pick() { for p in python3 python3.13 python3.12 python3.11 python3.10; do if usable $$p; then echo $$p; return; fi; done; }; \
	python=$$(pick); \
	if [ -z "$$python" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null; \
		python=$$(pick); \
	fi; \
	if [ -z "$$python" ]; then \
		echo "No Python 3.10 to 3.13 with venv was found. Debian, Ubuntu: sudo apt-get install python3-venv." \
			"macOS: brew install python@3.12. Then run make again." >&2; \
		exit 1; \
	fi; \
	echo "making $(VENV) with $$($$python --version) (once; a few minutes)"; \
	"$$python" -m venv --clear $(VENV)
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@
