# SPDX-License-Identifier: Apache-2.0
# make          everything, for this machine
# make run      set up, build, and watch file opens for ten seconds
# make test     set up, build, and pass the tests
# make help     the rest

ARCH    := $(shell uname -m)
BPFARCH := $(patsubst x86_64,x86,$(patsubst aarch64,arm64,$(ARCH)))
SWIFT   ?= swift
# The compiler that comes with Swift has the bpf target; the system's may be missing or too old for #embed.
CLANG   ?= $(or $(wildcard $(dir $(realpath $(shell command -v $(SWIFT))))clang),clang)
OBJCOPY ?= $(or $(wildcard $(dir $(CLANG))llvm-objcopy),llvm-objcopy)

BPF_SOURCES := $(sort $(wildcard bpf/*.bpf.c))
BPF_OBJECTS := $(BPF_SOURCES:bpf/%.bpf.c=build/bpf/%.bpf.o)
HEADERS     := $(sort $(filter-out bpf/include/objects.h,$(wildcard bpf/include/*.h)))
# v2 instructions: the verifiers of some kernels need ten times as many steps for v3
BPF_FLAGS   := -target bpf -mcpu=v2 -D__TARGET_ARCH_$(BPFARCH) -g -O2 \
               -Wall -Wextra -Werror -Wno-unused-parameter \
               -idirafter /usr/include/$(ARCH)-linux-gnu -idirafter /usr/include

# Generic code of one module is specialized in another; accesses to the same variable are proven apart by tests in
# debug builds instead of checked each time. Together they double the rate of rows.
# The executable holds its libraries, so that one file can be copied anywhere.
LIBRARIES     := $(shell pkg-config --static --libs libbpf 2>/dev/null)
RELEASE_FLAGS := -c release -Xswiftc -cross-module-optimization -Xswiftc -enforce-exclusivity=unchecked \
                 --static-swift-stdlib -Xswiftc -static-executable $(addprefix -Xlinker ,$(LIBRARIES))

.DELETE_ON_ERROR:
.PHONY: all setup run test
all: bpf
	$(SWIFT) build $(RELEASE_FLAGS) --product apus
	@mkdir -p build && ln -sf ../.build/release/apus build/apus

setup:
	@scripts/setup

run: setup all
	build/apus opensnoop --duration 10

# --- BPF objects ------------------------------------------------------------------------------------------------
.PHONY: bpf
bpf: $(BPF_OBJECTS) build/bpf/objects.inc

build/bpf/%.bpf.o: bpf/%.bpf.c Makefile
	@mkdir -p $(@D)
	$(CLANG) $(BPF_FLAGS) -MMD -MP -c $< -o $@
	@$(OBJCOPY) --strip-debug $@

build/bpf/objects.inc: $(BPF_SOURCES) $(HEADERS) Makefile scripts/embed-objects
	@mkdir -p $(@D)
	scripts/embed-objects $(HEADERS) $(BPF_OBJECTS) > $@

-include $(BPF_OBJECTS:.o=.d)
