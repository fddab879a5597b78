# All set-up happens in .venv; nothing is needed but Python 3.10 or later (PYTHON=... picks one) and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
SEED ?= 1
JOBS ?= 2

# Two Lithops programs of one user delete each other's copy of the package without it.
export PYTHONSAFEPATH := 1
# Each of the many processes of a run would compile our modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-all test-data test-batch test-lambda test-container chaos chaos-batch soak interrupts killed overwrite faults-table bench-recovery fuzz image audit lint house bench bench-quick bench-slurm clean

help:
	@echo "make demo      the dimuon spectrum on this machine, drawn as demo/dimuon.png (ARGS=... goes to rdf-lithops demo)"
	@echo "make test      the tests, without the slow ones (ARGS=... goes to pytest; JOBS=N at a time)"
	@echo "make test-all  the slow ones too"
	@echo "make test-data all tests of remote data, output and credentials, against real servers (as root, with apt-get)"
	@echo "make test-batch  Slurm (a real one on this machine), HTCondor, Kubernetes and AWS Batch (stand-ins), also what is done to their jobs (as root, with apt-get)"
	@echo "make image     the workers' image, tried and weighed (IMAGE_BASE=local: without a registry)"
	@echo "make test-lambda  AWS Lambda on this machine, in containers of that image"
	@echo "make test-container  this machine in containers of that image (IMAGE_BASE=local: without a registry)"
	@echo "make audit     known vulnerabilities of what is in the image"
	@echo "make chaos     200 runs while processes are killed at random (SEED=1); make soak: 550 runs that must not hang"
	@echo "make fuzz      random programs, compared with local RDataFrame (SECONDS=3600 SEED=1 JOBS=2); what differs is kept in fuzz-out/"
	@echo "make interrupts  Ctrl-C at random moments of 80 runs and 20 programs"
	@echo "make killed    the driver killed at 20 random moments, and stopped for a minute: the same program goes on"
	@echo "make overwrite  the driver killed at each step of overwriting a Snapshot, 100 times, in a folder, S3, XRootD and WebDAV"
	@echo "make faults-table  after how many seconds each scripted fault is noticed, in the map, the reducer and their ROOT processes"
	@echo "make lint      ruff and mypy; make house: modules, lengths of functions, arrows between folders, circles"
	@echo "make bench     the same analyses in ROOT, Dask, Spark, plain Lithops and here, side by side (bench-quick: five minutes)"
	@echo "make bench-recovery  what it costs that 1, 5 and 10 % of 100 calls are killed"
	@echo "make bench-slurm  dimuon, 4 M events: queue, start, work and fold on a real Slurm, beside localhost (as root)"
	@echo "make clean     remove everything that was made, .venv included"

demo: $(VENV)/.stamp-root
	@mkdir -p demo
	$(BIN)/rdf-lithops demo --output demo/dimuon.png --report demo/report.json $(ARGS)
	$(BIN)/rdf-lithops report demo/report.json

test: SELECTION := -m "not slow"
test-all: SELECTION :=
test-data: SELECTION := $(wildcard $(addprefix tests/*/test_,servers.py extents.py remote*.py friends.py replic*.py output*.py *credentials.py flaky*.py))
test-batch: SELECTION := tests/batch_systems $(wildcard tests/deployment/test_k8s*.py) tests/deployment/test_aws_batch.py
test-batch: JOBS := 0
test-all test-data: export EXTRA_CLING_ARGS := -O2
test-data test-batch: export RDF_LITHOPS_ALL_SERVERS := $(if $(filter 0,$(shell id -u)),yes)
test-batch: $(VENV)/.stamp-accounting
test test-all test-data test-batch: $(VENV)/.stamp-test $(VENV)/.stamp-servers $(VENV)/.stamp-instantiations
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && trap 'exit 130' INT TERM && \
	TMPDIR="$$folder" $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(SELECTION) $(ARGS)

# The workers' image. On a machine that reaches no container registry: make image IMAGE_BASE=local, as root.
IMAGE_BASE ?= docker.io/library/debian:bookworm-slim
LOCAL_BASE := localhost/rdf_lithops-base:bookworm
IMAGE_OPTIONS ?= $(if $(filter local,$(IMAGE_BASE)),--isolation oci --network host)
image $(VENV)/.image: export CONTAINERS_CONF := $(if $(filter local,$(IMAGE_BASE)),$(CURDIR)/runtime/containers.conf,$(CONTAINERS_CONF))
image: $(VENV)/.stamp-root
	$(if $(filter local,$(IMAGE_BASE)),runtime/install.sh && (podman image exists $(LOCAL_BASE) || runtime/base.sh $(LOCAL_BASE)))
	$(BIN)/rdf-lithops runtime build --base $(if $(filter local,$(IMAGE_BASE)),$(LOCAL_BASE),$(IMAGE_BASE)) \
		-- $(IMAGE_OPTIONS) | tee /dev/stderr | tail -n 1 >$(VENV)/.image
	$(BIN)/rdf-lithops runtime smoke "$$(cat $(VENV)/.image)"
	$(BIN)/rdf-lithops runtime size "$$(cat $(VENV)/.image)"

# The same calls as in `make test`, in containers of the image where there is one and podman runs; in processes elsewhere.
test-lambda: export CONTAINERS_CONF := $(if $(CONTAINERS_CONF),$(CONTAINERS_CONF),$(CURDIR)/runtime/containers.conf)
test-lambda: $(VENV)/.stamp-test $(VENV)/.stamp-servers
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && trap 'exit 130' INT TERM && \
	RDF_LITHOPS_IMAGE="$$(cat $(VENV)/.image 2>/dev/null)" TMPDIR="$$folder" \
	$(BIN)/python -m pytest -rA tests/deployment/test_lambda*.py tests/deployment/test_check.py $(ARGS)

# localhost in containers of the image, built for that: as root on Debian, where no container tool is.
test-container: export CONTAINERS_CONF := $(if $(CONTAINERS_CONF),$(CONTAINERS_CONF),$(CURDIR)/runtime/containers.conf)
test-container: $(VENV)/.stamp-test
	$(if $(filter local,$(IMAGE_BASE)),runtime/install.sh && (podman image exists $(LOCAL_BASE) || runtime/base.sh $(LOCAL_BASE)))
	$(BIN)/rdf-lithops runtime build --target local --base $(if $(filter local,$(IMAGE_BASE)),$(LOCAL_BASE),$(IMAGE_BASE)) \
		-- $(IMAGE_OPTIONS) | tee /dev/stderr | tail -n 1 >$(VENV)/.image-local
	RDF_LITHOPS_LOCAL_IMAGE="$$(cat $(VENV)/.image-local)" $(BIN)/python -m pytest -rA tests/deployment/test_localhost_container.py $(ARGS)

# Known vulnerabilities of what the image holds.
audit: $(VENV)/.stamp-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/pip-audit --strict --no-deps --disable-pip -r runtime/requirements.txt -r runtime/requirements-generic.txt

# The same on a real Slurm, as root.
chaos-batch: $(VENV)/.stamp-test $(VENV)/.stamp-servers
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && trap 'exit 130' INT TERM && \
	TMPDIR="$$folder" PYTHONPATH="$(CURDIR)/tests" $(BIN)/python -W ignore -m batch.chaos --seed $(SEED) $(ARGS)

# Random kills: SEED picks them, ARGS="--runs 20" makes it shorter.
chaos soak interrupts killed overwrite: $(VENV)/.stamp-test $(if $(filter overwrite,$(MAKECMDGOALS)),$(VENV)/.stamp-servers)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && trap 'exit 130' INT TERM && \
	TMPDIR="$$folder" PYTHONPATH="$(CURDIR)/tests" $(BIN)/python -W ignore -m $(if $(filter chaos,$@),chaos,chaos.$(if $(filter killed,$@),killed_drivers,$@)) $(if $(filter soak,$@),,--seed $(SEED)) $(ARGS)

# Random programs, compared with local RDataFrame. Without optimisation, as in `make test`: most of the time is compilation.
SECONDS ?= 3600
chaos soak interrupts killed overwrite chaos-batch faults-table bench-recovery bench-slurm fuzz: \
	export RDF_LITHOPS_INSTANTIATIONS := $(or $(wildcard $(CURDIR)/$(VENV)/instantiations),off)
fuzz: export EXTRA_CLING_ARGS := -O0
fuzz: $(VENV)/.stamp-test
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && trap 'exit 130' INT TERM && \
	TMPDIR="$$folder" PYTHONPATH="$(CURDIR)/tests" $(BIN)/python -W ignore -m fuzz --folder fuzz-out --seconds $(SECONDS) --jobs $(JOBS) --seed $(SEED) $(ARGS)

lint: $(VENV)/.stamp-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

house: $(VENV)/.stamp-test
	@PYTHONPATH="$(CURDIR)/tests:$(CURDIR)/tests/face" $(BIN)/python -W ignore tests/face/test_house.py

bench bench-quick: $(VENV)/.stamp-bench
	PYTHONPATH="$(CURDIR)" $(BIN)/python -m benchmarks $(if $(filter bench-quick,$@),--quick) $(ARGS)

bench-slurm: $(VENV)/.stamp-servers
bench-recovery faults-table bench-slurm: $(VENV)/.stamp-test
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && trap 'exit 130' INT TERM && \
	TMPDIR="$$folder" PYTHONPATH="$(CURDIR)" $(BIN)/python -W ignore -m benchmarks.$(if $(filter faults-table,$@),faults,$(@:bench-%=%)) $(ARGS)

# One stamp for each set of extras: an install is repeated when what it depends on has changed.
$(VENV)/.stamp-root: EXTRAS := root
$(VENV)/.stamp-test: EXTRAS := root,test
$(VENV)/.stamp-bench: EXTRAS := root,bench
$(VENV)/.stamp-root $(VENV)/.stamp-test $(VENV)/.stamp-bench: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

# Real servers for the tests of remote data, from the system's packages: as root, with apt-get; else those tests are skipped.
$(VENV)/.stamp-servers: tests/servers/install.sh tests/batch/install.sh | $(VENV)/.stamp-test
	tests/servers/install.sh
	tests/batch/install.sh
	@touch $@

# A database for Slurm's accounts: some hundred megabytes that the other tests do without.
$(VENV)/.stamp-accounting: tests/batch/install.sh | $(VENV)/.stamp-test
	tests/batch/install.sh slurmdbd slurm-wlm-mysql-plugin mariadb-server
	@touch $@

# RDataFrame's templates, compiled once for all tests: half of their time was that. Without a compiler they do without.
$(VENV)/.stamp-instantiations: $(wildcard rdf_lithops/compiled/*) | $(VENV)/.stamp-test
	rm -rf $(VENV)/instantiations
	if command -v c++ >/dev/null; then mkdir -p $(VENV)/instantiations && \
	RDF_LITHOPS_INSTANTIATIONS="$(CURDIR)/$(VENV)/instantiations" $(BIN)/python -W ignore -m rdf_lithops.compiled.build --awaited; fi
	@touch $@

clean:
	rm -rf $(VENV) demo fuzz-out build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
