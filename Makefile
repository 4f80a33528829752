# One word for each thing a developer or CI does. Everything runs in .venv, which the first word builds.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := protos plugins training exporters server clients/python cli
PACKAGES := $(addprefix -p honeyguide.,answers oip v1 sdk models rules training exporters server client conformance cli)
DATA ?= ../shared/data
SEEDS ?= 0
ROWS ?=
QUALITY = cd benchmarks && ../$(BIN)/python -m quality
ASKED = $(if $(ROWS),--rows $(ROWS)) --seeds $(SEEDS) --data $(abspath $(DATA))
RESULTS := benchmarks/results
WORKERS ?= 2
PEERS ?= build/peers
CACHE ?= build/serving
SERVING ?=
TESTS ?=
AUDIT = $(BIN)/pip-audit --no-deps --disable-pip --strict --progress-spinner off --requirement
FAULTS ?=

.PHONY: demo test test-tutorials test-models test-services test-clients check lint audit format proto docs bench bench-serving bench-graphs bench-overload bench-profile bench-oip bench-exposure bench-quality bench-quality-time bench-quality-global bench-quality-beauty bench-quality-retail bench-families bench-cold-items faults clean

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"Honeyguide needs Python 3.11 or newer; this is {v[0]}.{v[1]}: try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@touch $@

demo: $(STAMP)  ## prepare → train → export → serve → recommend → record → recommend again, on the embedded data
	$(BIN)/honeyguide demo

test: $(STAMP)  ## all tests; Python alone, at most 5 minutes on two cores
	$(BIN)/pytest -n $(WORKERS) $(TESTS)

test-tutorials: $(STAMP)  ## the README, the page on writing a model and the template, command by command; two minutes
	$(BIN)/pytest -n $(WORKERS) --tutorials -m tutorial $(TESTS)

test-models: $(STAMP)  ## every built-in model held to the whole contract, export and all, and to the clock; three minutes
	$(BIN)/pytest -n $(WORKERS) --models $(TESTS) tests/conformance/test_builtin_models.py tests/models/test_time.py

test-services: $(STAMP)  ## tests against other servers, which they start themselves; needs PostgreSQL and systemd-analyze (apt-get install postgresql systemd)
	$(BIN)/pytest -n 0 --services $(TESTS) tests/server/events/postgres tests/deploy/systemd

test-clients: $(STAMP)  ## clients in a browser and in other languages, against real servers; what each needs is in .ci/run
	$(BIN)/pytest -n 0 --clients $(TESTS) tests/clients tests/languages tests/server/oip/clients

check: lint  ## lint and the quick tests: under a minute, for between two edits
	$(BIN)/pytest -n $(WORKERS) -m "not slow"

lint: $(STAMP)  ## ruff, mypy strict, import-linter, buf
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/lint-imports --no-cache
	cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf breaking --against v1.binpb

audit: $(STAMP)  ## what is known against the pinned packages; needs the network, and says so where there is none
	@mkdir -p build && echo 'urllib3==1.26.0' > build/known-bad.txt
	@if $(AUDIT) build/known-bad.txt 2>/dev/null | grep -qE 'CVE|GHSA|PYSEC'; then $(AUDIT) constraints.txt; \
	else echo "audit skipped: nothing here knows what is wrong with a package that is known to be bad"; fi

format: $(STAMP)  ## formats the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(STAMP)  ## regenerates the committed stubs
	$(BIN)/python protos/generate.py protos

docs: $(STAMP)  ## regenerates the pages and tables that are made from code and results
	$(BIN)/python docs/generate.py

bench: $(STAMP)  ## speed: prepare, events, serving; and what rules and events do
	for bench in prepare events serve rules live_feedback; do $(BIN)/python benchmarks/$$bench.py --out $(RESULTS)/$$bench.json || exit 1; done

bench-serving: $(STAMP)  ## serving beside its ceilings and peers, each bar with its verdict; needs h2load and nginx, SERVING=<flags>
	cd benchmarks && ../$(BIN)/python -m serving --peers $(abspath $(PEERS)) --cache $(abspath $(CACHE)) $(SERVING)

bench-graphs: $(STAMP)  ## graphs of this commit and of an older one, in turn; needs BEFORE=<checkout of 259a5d7>
	$(BIN)/python benchmarks/graphs.py --before $(BEFORE) --out $(RESULTS)/graphs.json

bench-overload: $(STAMP)  ## five times the peak, and what hostile clients do; SERVING=<flags>
	cd benchmarks && ../$(BIN)/python -m serving.overload --cache $(abspath $(CACHE)) $(SERVING)

bench-profile: $(STAMP)  ## where the CPU time of a request goes, and what it leaves under a flood; needs perf and h2load, a minute
	cd benchmarks && ../$(BIN)/python -m serving.profile --cache $(abspath $(CACHE))

bench-oip: $(STAMP)  ## what Triton's client and perf_analyzer say of the server, and Triton's codes beside ours; a few minutes
	cd benchmarks && ../$(BIN)/python -m serving.inference_protocol

bench-exposure: $(STAMP)  ## what the exposure log costs; needs h2load
	cd benchmarks && ../$(BIN)/python -m serving.exposure --cache $(abspath $(CACHE))

faults: $(STAMP)  ## what goes wrong in the world, done to real servers; about 25 minutes, goes on where it stopped; FAULTS=--short
	cd benchmarks && ../$(BIN)/python -m faults $(FAULTS)

bench-quality: $(STAMP)  ## how good the models are on MovieLens-1M, ids alone; needs DATA=<folder of ml-1m, beauty, online-retail>
	$(QUALITY) ml-1m $(ASKED)

bench-quality-time: $(STAMP)  ## the same with the time of the request known
	$(QUALITY) ml-1m-time $(ASKED)

bench-quality-global: $(STAMP)  ## the same split by time, last and successive targets
	$(QUALITY) ml-1m-global $(ASKED)

bench-quality-beauty: $(STAMP)  ## on Amazon Beauty
	$(QUALITY) beauty $(ASKED)

bench-quality-retail: $(STAMP)  ## on Online Retail, split by time: what text and joint ranking gain
	$(QUALITY) retail $(ASKED)

bench-families: $(STAMP)  ## the families that are no sequence models, on MovieLens-1M
	$(QUALITY) ml-1m --rows item_knn user_knn ease content text mlp $(ASKED)

bench-cold-items: $(STAMP)  ## items that no model met, added to a server; five models, about ten minutes each, goes on where it stopped; needs DATA
	$(BIN)/python benchmarks/cold_items.py --data $(DATA) --out $(RESULTS)/cold-items.json

clean:  ## removes the environment and what the demo made
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
