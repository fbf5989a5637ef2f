# One verb per chore. `make demo` and `make test` do their own set-up in .venv; PYTHON names the interpreter for it.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
DEMO := results/demo

.PHONY: demo demo-ego4d demo-teacher test test-slow numeric bench lint install clean-demo

demo: $(READY)
	$(PY) cli.py extract-teacher --use-synthetic --teacher-size demo --cache-dir $(DEMO)/teacher_cache
	$(PY) cli.py train-student --cache-dir $(DEMO)/teacher_cache --output-dir $(DEMO) --epochs 24 --batch-size 8 \
	    --lr 0.002 --student-size tiny --student-resolution 128 --frames-per-clip 2
	$(PY) cli.py evaluate --cache-dir $(DEMO)/teacher_cache --output-dir $(DEMO) \
	    --student-checkpoint $(DEMO)/best_student.pt --teacher-latency
	$(PY) cli.py export-student --cache-dir $(DEMO)/teacher_cache --output-dir $(DEMO)/export --overwrite \
	    --student-checkpoint $(DEMO)/best_student.pt --formats fp32,fp16
	$(MAKE) demo-ego4d

# Ego4D's annotations, all of their kinds, over a miniature of it.
demo-ego4d: $(READY)
	$(PY) -m embedonce.pipeline.sources.source.ego4d_miniature.make $(DEMO)/ego4d
	$(PY) cli.py plan-ego4d --data-dir $(DEMO)/ego4d
	$(PY) cli.py extract-teacher --data-dir $(DEMO)/ego4d --cache-dir $(DEMO)/ego4d_cache --fps 4 \
	    --annotations moments,fho-verbs,narrations --teacher-size demo
	$(PY) cli.py relabel --data-dir $(DEMO)/ego4d --cache-dir $(DEMO)/ego4d_cache --annotations fho-nouns,lta-verbs

# Makes the demo teacher's weights anew, in less than an hour.
demo-teacher: $(READY)
	$(PY) -m embedonce.pipeline.demo_teacher.train

# Two files of tests at a time, each process on one thread: torch's threads would fight over the cores.
test: lint
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile

# Tests that take long: fuzzing, kills at random moments, compilation, the larger students.
test-slow: $(READY)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -m slow

# Sums are rounded otherwise by other kernels and in other threads: nothing may rest on their last bits. Once with what
# this processor gets by itself, once with what one without AVX-512 gets, each with 1 and with 2 threads.
BY_ITSELF := env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE
HASWELL := env OPENBLAS_CORETYPE=Haswell OPENBLAS_L2_SIZE=512 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 \
    MKL_ENABLE_INSTRUCTIONS=AVX2
NUMERIC := $(PY) -m pytest -q -m numeric
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
TWO_THREADS := OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE
numeric: $(READY)
	$(BY_ITSELF) $(ONE_THREAD) $(NUMERIC) -n 2 --dist worksteal
	$(BY_ITSELF) $(TWO_THREADS) $(NUMERIC)
	$(HASWELL) $(ONE_THREAD) $(NUMERIC) -n 2 --dist worksteal
	$(HASWELL) $(TWO_THREADS) $(NUMERIC)

# Peers to measure against come with `pip install -e '.[bench]'`; those that are not there are left out.
bench: $(READY)
	$(PY) -m benchmarks.decode $(if $(VIDEOS),--videos $(VIDEOS))
	$(if $(VIDEOS),$(PY) -m benchmarks.preprocess --videos $(VIDEOS))
	$(PY) -m benchmarks.cache
	$(PY) -m benchmarks.faults
	$(PY) -m benchmarks.ego4d
	$(PY) -m benchmarks.latency

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy -p embedonce

install: $(READY)

# The build tools come first and the package without build isolation, so that every version is a pinned one.
$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=…") if sys.version_info < (3, 11) else 0'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --constraint constraints.txt setuptools
	$(PY) -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[test]'
	touch $(READY)

clean-demo:
	rm -rf $(DEMO)
