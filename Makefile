# SPDX-License-Identifier: Apache-2.0
# telex: two commands on a fresh machine, `make run` and `make test`. Both set up what they need and say so.
MODEL  ?= qwen2.5-coder-1.5b
CONFIG ?= configs/archive.yaml
ONCE   ?=
BUILD  ?= build
SECONDS ?= 1800

.PHONY: help run seed build test check-models gpu-check soak crashes reloads bench bench-host bench-cluster bench-decode bench-signal bench-news fuzz-gguf fuzz-schema \
	install clean

help:
	@echo "make run          set up, then run the archive wire: real records in, dispatches out, a page on 127.0.0.1:8080"
	@echo "                  MODEL=smollm2-135m the small model; ONCE=1 end when the archive is through"
	@echo "make seed         the same for the five records of configs/seed.yaml"
	@echo "make test         set up, then every test"
	@echo "make build        the program and the plugins, in build/"
	@echo "make check-models tokens, logits and perplexity of all models against the references (slow)"
	@echo "make soak         kill -9 at 200 random moments of the archive run (slow)"
	@echo "make crashes      1,000 crashes of an isolated stage: nothing is lost, nothing comes twice (slow)"
	@echo "make reloads      200 reloads under load, half of them wrong, and 50 kills within reloads (slow)"
	@echo "make gpu-check    the CUDA backend's tests and benchmark on this machine's GPU; needs nvcc, a C++ compiler, cmake, ninja"
	@echo "make bench        all benchmarks: bench-host bench-cluster bench-decode bench-signal bench-news"
	@echo "make fuzz-gguf    libFuzzer over the model file loader for SECONDS (1800); fuzz-schema: over JSON Schemas (slow)"
	@echo "make install      install below PREFIX (default /usr/local)"

build:
	@scripts/setup build
	@scripts/build $(BUILD)

run:
	@scripts/setup run $(MODEL)
	@scripts/build $(BUILD)
	@scripts/run $(BUILD) $(CONFIG) $(MODEL) $(ONCE)

seed:
	@$(MAKE) --no-print-directory run CONFIG=configs/seed.yaml

test:
	@scripts/setup test
	@scripts/test

check-models:
	@scripts/setup test
	@for model in gemma-3-270m qwen2.5-coder-0.5b qwen2.5-coder-1.5b; do scripts/setup run $$model || exit 1; done
	@scripts/build $(BUILD)
	@scripts/python tests/model/check_tokenizers.py --build $(BUILD)
	@scripts/python tests/model/check_models.py --build $(BUILD)
	@scripts/python tests/model/check_perplexity.py --build $(BUILD)

soak:
	@scripts/setup test
	@scripts/build $(BUILD)
	@scripts/python tests/host/soak.py --build $(BUILD) --kills 200

crashes:
	@scripts/setup test
	@scripts/build $(BUILD)
	@scripts/python tests/host/crashes.py --build $(BUILD) --crashes 1000

reloads:
	@scripts/setup test
	@scripts/build $(BUILD)
	@scripts/python tests/host/reloads.py --build $(BUILD) --reloads 200 --kills 50

gpu-check:
	@tests/cuda/gpu/gpu-check build-gpu

bench: bench-host bench-cluster bench-decode bench-signal bench-news

bench-host bench-cluster bench-decode bench-signal bench-news: bench-%:
	@scripts/setup bench
	@scripts/build build-release release
	@PYTHONSAFEPATH=1 scripts/python tests/bench/$*.py --build build-release

fuzz-gguf fuzz-schema: fuzz-%:
	@scripts/setup test
	@scripts/fuzz $* $(SECONDS)

install:
	@scripts/build $(BUILD)
	@meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf build build-*
