# `make help` lists the targets. Each of them sets up .venv by itself; PYTHON names the interpreter for it.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
DEMO := results/demo
PEERS := .bench-venv
SITE := 'import sysconfig; print(sysconfig.get_path("purelib"))'

.PHONY: help demo demo-ego4d demo-teacher test test-fast test-slow numeric bench bench-extract lint install clean-demo

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Drawn frames need no random views (docs/distillation.md), and without them the demo is done in minutes.
# The page for browsers needs npm, which fetches the runtime once.
COMMA := ,
DEMO_FORMATS := fp32,fp16$(if $(shell command -v npm),$(COMMA)web)
demo: $(READY) ## extract, train, evaluate, search, export on synthetic videos, and demo-ego4d (6 to 8 minutes)
	$(PY) cli.py extract-teacher --use-synthetic --teacher-size demo --views 0 --cache-dir $(DEMO)/teacher_cache
	$(PY) cli.py train-student --cache-dir $(DEMO)/teacher_cache --output-dir $(DEMO) --epochs 32 --batch-size 8 \
	    --alpha 2 --beta 0.2 --student-size tiny --student-resolution 128 --frames-per-clip 2
	$(PY) cli.py evaluate --cache-dir $(DEMO)/teacher_cache --output-dir $(DEMO) \
	    --student-checkpoint $(DEMO)/best_student.pt --teacher-latency
	$(MAKE) demo-ego4d
	$(PY) cli.py search-cache --cache-dir $(DEMO)/teacher_cache --text "pour bottle" --html $(DEMO)/found.html --overwrite
	$(PY) cli.py export-student --cache-dir $(DEMO)/teacher_cache --output-dir $(DEMO)/export --overwrite \
	    --student-checkpoint $(DEMO)/best_student.pt --formats $(DEMO_FORMATS)

demo-ego4d: $(READY) ## label a miniature of Ego4D with annotations of several kinds
	$(PY) -m embedonce.pipeline.sources.ego4d_miniature.make $(DEMO)/ego4d
	$(PY) cli.py plan-ego4d --data-dir $(DEMO)/ego4d
	$(PY) cli.py extract-teacher --data-dir $(DEMO)/ego4d --cache-dir $(DEMO)/ego4d_cache --fps 4 \
	    --annotations moments,fho-verbs,narrations --teacher-size demo --views 0
	$(PY) cli.py relabel --data-dir $(DEMO)/ego4d --cache-dir $(DEMO)/ego4d_cache --annotations fho-nouns,lta-verbs

demo-teacher: $(READY) ## train the demo teacher's weights again (less than an hour)
	$(PY) -m embedonce.pipeline.demo_teacher.train

# Two test files at a time, each process on one thread: torch's threads would compete for the cores.
test: lint ## lint, types and all tests but the slow ones (8 minutes)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile

test-fast: $(READY) ## unit tests only (1 minute)
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist loadfile --durations=0 --durations-min=1 \
	    -m "not slow and not browser and not crash and not integration"

test-slow: $(READY) ## long tests: fuzzing, kills at random moments, compilation, larger students (20 minutes)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -m slow

# Other kernels and other threads round sums differently: no test may depend on their last bits. Once with this
# processor's own kernels, once with those of a processor without AVX-512, each with 1 and 2 threads.
BY_ITSELF := env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE
HASWELL := env OPENBLAS_CORETYPE=Haswell OPENBLAS_L2_SIZE=512 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 \
    MKL_ENABLE_INSTRUCTIONS=AVX2
NUMERIC := $(PY) -m pytest -q -m numeric
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
TWO_THREADS := OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE
numeric: $(READY) ## comparisons of floats, with two kernels and with 1 and 2 threads (4 minutes)
	$(BY_ITSELF) $(ONE_THREAD) $(NUMERIC) -n 2 --dist worksteal
	$(BY_ITSELF) $(TWO_THREADS) $(NUMERIC)
	$(HASWELL) $(ONE_THREAD) $(NUMERIC) -n 2 --dist worksteal
	$(HASWELL) $(TWO_THREADS) $(NUMERIC)

# Peers come with `pip install -e '.[bench]'`; those that are not installed are left out.
bench: $(READY) ## measure decoding, the cache, faults, Ego4D and latency; VIDEOS=folder adds real videos
	$(PY) -m benchmarks.decode $(if $(VIDEOS),--videos $(VIDEOS))
	$(if $(VIDEOS),$(PY) -m benchmarks.preprocess --videos $(VIDEOS))
	$(PY) -m benchmarks.cache
	$(PY) -m benchmarks.faults
	$(PY) -m benchmarks.ego4d
	$(PY) -m benchmarks.latency
	$(PY) -m benchmarks.transport
	$(PY) -m benchmarks.teachers

bench-extract: $(READY) $(PEERS)/.ready ## measure extract-teacher against other tools; VIDEOS=folder of 1080p videos
	$(PY) -m benchmarks.extract_peers --table results/benchmarks/extract.md $(if $(VIDEOS),--videos $(VIDEOS))
	$(PY) -m benchmarks.decode_workers $(if $(VIDEOS),--videos $(VIDEOS))
	$(PY) -m benchmarks.teacher_batches

# Other tools have an environment of their own, which takes torch and open_clip from .venv. One that cannot be installed
# is reported as not measured.
$(PEERS)/.ready: benchmarks/peers/requirements.txt $(READY)
	test -x $(PEERS)/bin/python || $(PY) -m venv $(PEERS)
	$(PY) -c $(SITE) > "$$($(PEERS)/bin/python -c $(SITE))/product.pth"
	-grep -v '^#' $< | xargs -n 1 $(PEERS)/bin/python -m pip install --quiet
	touch $@

# mypy does not follow the import hook of an editable install: a link shows it the checkout as `embedonce`.
lint: $(READY) ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	mkdir -p $(VENV)/types && ln -sfn ../.. $(VENV)/types/embedonce
	MYPYPATH=$(VENV)/types $(PY) -m mypy -p embedonce.cache -p embedonce.models -p embedonce.pipeline -m embedonce.cli
	MYPYPATH=$(VENV)/types:. $(PY) -m mypy -p benchmarks

install: $(READY) ## create .venv with pinned versions

# Build tools first, then the package without build isolation: every version is pinned.
$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=…") if sys.version_info < (3, 11) else 0'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --constraint constraints.txt setuptools
	$(PY) -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[test]'
	touch $(READY)

clean-demo: ## remove results/demo
	rm -rf $(DEMO)
