# SPDX-License-Identifier: Apache-2.0
# make          everything, for this machine
# make run      set up, build, and watch file opens for ten seconds
# make test     set up, build, and pass the tests
# make dist     one static, stripped executable with man pages and completions, in a tarball
# make deb      a Debian package of the same
# make install  to PREFIX (/usr/local) below DESTDIR
# make bench    measure, and write docs/benchmarks.md; QUICK=1 only sees whether that works
# make lint     check formatting; make format: apply it
# make test-kernels [KERNELS="6.1 6.12"]   the cases of Tests/Commands on other kernels

ARCH    := $(shell uname -m)
BPFARCH := $(patsubst x86_64,x86,$(patsubst aarch64,arm64,$(ARCH)))
SWIFT   ?= swift
# The compiler that comes with Swift has the bpf target; the system's may be missing or too old for #embed.
CLANG   ?= $(or $(wildcard $(dir $(realpath $(shell command -v $(SWIFT))))clang),clang)
OBJCOPY ?= $(or $(wildcard $(dir $(CLANG))llvm-objcopy),llvm-objcopy)

# A command is found by its folder: bpf/commands/AREA/NAME has NAME.bpf.c, and NAME.h if it shares layouts with Swift.
BPF_SOURCES := $(sort $(wildcard bpf/commands/*/*/*.bpf.c))
BPF_OBJECTS := $(sort $(patsubst %.bpf.c,build/bpf/%.bpf.o,$(notdir $(BPF_SOURCES))))
HEADERS     := $(sort $(filter-out bpf/include/objects.h,$(wildcard bpf/include/*.h)) \
               $(filter-out %.bpf.h,$(wildcard bpf/commands/*/*/*.h)))
# v2 instructions: the verifiers of some kernels need ten times as many steps for v3
BPF_FLAGS   := -target bpf -mcpu=v2 -D__TARGET_ARCH_$(BPFARCH) -g -O2 \
               -Wall -Wextra -Werror -Wno-unused-parameter -Ibpf -Ibpf/include \
               -idirafter /usr/include/$(ARCH)-linux-gnu -idirafter /usr/include

# Generic code of one module is specialized in another; accesses to the same variable are proven apart by tests in
# debug builds instead of checked each time. Together they double the rate of rows.
# The executable holds its libraries, so that one file can be copied anywhere; of functions with the same code it
# holds one, unless somebody compares their addresses.
LIBRARIES     := $(shell pkg-config --static --libs libbpf 2>/dev/null)
RELEASE_FLAGS := -c release -Xswiftc -cross-module-optimization -Xswiftc -enforce-exclusivity=unchecked \
                 --static-swift-stdlib -Xswiftc -static-executable -Xlinker --icf=safe \
                 $(addprefix -Xlinker ,$(LIBRARIES))

VERSION := $(shell sed -n 's/^let apusVersion = "\(.*\)"/\1/p' Sources/CommandKit/Entry/Version.swift)
PREFIX  ?= /usr/local
# The same sources give the same archives.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
TARBALL := build/apus-$(VERSION)-$(ARCH).tar.gz
C_FILES := $(wildcard bpf/*.c bpf/include/*.h bpf/lib/*.h bpf/commands/*/*/*.[ch] Sources/C*/*.c Sources/C*/*.h Sources/C*/include/*.h)

.DELETE_ON_ERROR:
.PHONY: all setup setup-test run test test-fast test-new-command test-kernels bench bench-programs dist deb install format lint clean
all: build/apus

# SwiftPM knows what is out of date; this makefile only knows what it needs first.
build/apus: bpf FORCE
	$(SWIFT) build $(RELEASE_FLAGS) --product apus
	@ln -sf ../.build/release/apus $@

setup:
	@scripts/setup

setup-test:
	@scripts/setup --test

run: setup
	@$(MAKE) all
	@scripts/demo build/apus

# Whose stacks are compared with gdb's; the script knows more programs, and asks more of a longer run.
STACK_PROGRAMS := system-python bash perl c c-static c-static-pie c++

# Each part by itself: make test-fast, make test-kernels. APUS_SKIP_KERNELS=1 leaves the other kernels out.
test: setup-test
	@$(MAKE) lint test-fast test-new-command dist
	scripts/test-static build/dist/apus
	scripts/generate-docs --apus build/dist/apus --readme README.md --check
	scripts/check-stacks --apus build/dist/apus --stops 20 --seconds 1 --least 95 $(STACK_PROGRAMS)
	$(if $(APUS_SKIP_KERNELS),,@$(MAKE) test-kernels)

# Each of the twenty readers of foreign bytes gets damaged ones for so long, two at a time: about a minute for all.
FUZZ_SECONDS ?= 5
test-fast: bpf programs
	$(SWIFT) build --build-tests
	APUS_FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/test-as-root
	python3 -m unittest -q Tests/KernelMatrix/test_harness.py

# A command of each shape, as scripts/new-command writes it.
test-new-command: bpf programs
	$(SWIFT) build --build-tests
	scripts/test-new-command

test-kernels: dist
	scripts/test-on-kernels $(addprefix -k ,$(KERNELS))

# Benchmarks/fetch-peers build/peers gets what it compares with. QUICK=1: whether it works, in minutes.
bench: setup-test
	@$(MAKE) build/dist/apus bench-programs
	Benchmarks/run --apus build/dist/apus $(if $(QUICK),--quick)

bench-programs: bpf
	$(SWIFT) build $(RELEASE_FLAGS) --product unwind-tables
	$(SWIFT) build $(RELEASE_FLAGS) --product name-addresses

# --- What is given away ----------------------------------------------------------------------------------------
dist: build/dist/apus
	scripts/generate-docs --apus build/dist/apus --man build/dist/man --completions build/dist/completions
	cp LICENSE README.md build/dist/
	cp bpf/LICENSE build/dist/LICENSE.bpf
	scripts/sbom --version $(VERSION) --out build/dist/sbom.spdx.json
	tar -C build/dist --transform 's,^\.,apus-$(VERSION),' --sort=name --mtime=@$(SOURCE_DATE_EPOCH) \
		--owner=0 --group=0 --numeric-owner -c . | gzip -9n >$(TARBALL)
	cd build && sha256sum $(notdir $(TARBALL)) >$(notdir $(TARBALL)).sha256

# Debian's names of architectures are others. The executable needs no other package.
deb:
	scripts/build-deb --version $(VERSION) --arch $(patsubst x86_64,amd64,$(patsubst aarch64,arm64,$(ARCH))) build

build/dist/apus: build/apus
	@mkdir -p $(@D)
	$(OBJCOPY) --strip-all .build/release/apus $@

install: dist
	install -D -m 755 build/dist/apus $(DESTDIR)$(PREFIX)/bin/apus
	for name in $$(build/dist/apus --list-commands); do ln -sf apus $(DESTDIR)$(PREFIX)/bin/$$name; done
	install -d $(addprefix $(DESTDIR)$(PREFIX)/share/,man/man8 bash-completion/completions \
		zsh/site-functions fish/vendor_completions.d)
	install -m 644 build/dist/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 build/dist/completions/bash/* $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 644 build/dist/completions/zsh/* $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	install -m 644 build/dist/completions/fish/* $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d

# --- Style -----------------------------------------------------------------------------------------------------
format:
	$(SWIFT) format -i -r Sources Tests Package.swift
	clang-format -i $(C_FILES)

lint:
	$(SWIFT) format lint --strict -r Sources Tests Package.swift
	clang-format --dry-run -Werror $(C_FILES)
	scripts/check-licences

clean:
	rm -rf build .build

# --- BPF objects -----------------------------------------------------------------------------------------------
.PHONY: bpf programs FORCE
FORCE:
bpf: bpf/include/module.modulemap build/bpf/objects.inc build/syscalls.inc build/commit.inc \
	Sources/CommandKit/Entry/CommandList.swift Tests/TracingTests/Layouts.swift

vpath %.bpf.c $(dir $(BPF_SOURCES))
# Where a source was before it has moved: what remembers that place is made anew.
bpf/%.bpf.c: ;
build/bpf/%.bpf.o: %.bpf.c Makefile
	@mkdir -p $(@D)
	$(CLANG) $(BPF_FLAGS) -MMD -MP -c $< -o $@
	@$(OBJCOPY) --strip-debug $@

build/bpf/objects.inc: $(BPF_OBJECTS) $(HEADERS) build/bpf/headers Makefile scripts/embed-objects
	@mkdir -p $(@D)
	scripts/embed-objects $(HEADERS) $(BPF_OBJECTS) > $@

# Those whose folders there are. Written only when it changes, as the next one.
Sources/CommandKit/Entry/CommandList.swift: FORCE
	@mkdir -p build
	@scripts/command-list >build/commands.swift
	@cmp -s build/commands.swift $@ || cp build/commands.swift $@

Tests/TracingTests/Layouts.swift: FORCE
	@mkdir -p build
	@scripts/struct-sizes $(HEADERS) >build/layouts.swift
	@cmp -s build/layouts.swift $@ || cp build/layouts.swift $@

# Made anew when a header changes, or the compiler would go on with the layouts that it remembers.
bpf/include/module.modulemap: $(HEADERS) build/bpf/headers Makefile scripts/module-map
	scripts/module-map $(HEADERS) > $@

# A header that has gone is no newer than anything.
build/bpf/headers: FORCE
	@mkdir -p $(@D)
	@[ "$$(cat $@ 2>/dev/null)" = "$(HEADERS)" ] || echo "$(HEADERS)" >$@

build/syscalls.inc: scripts/syscall-names Makefile
	@mkdir -p $(@D)
	scripts/syscall-names > $@

# Written only when it changes, for what includes it is compiled again.
build/commit.inc: FORCE
	@mkdir -p $(@D)
	@commit=$$(git -C . describe --always --dirty --exclude '*' 2>/dev/null) || commit=; \
		line="#define APUS_COMMIT \"$$commit\""; \
		[ "$$(cat $@ 2>/dev/null)" = "$$line" ] || echo "$$line" >$@

# --- Programs that tests trace ---------------------------------------------------------------------------------
# Those of all, and those of one command, in its folder.
PROGRAM_SOURCES := $(wildcard Tests/Programs/*.c Tests/Commands/*/*/programs/*.c)
PROGRAMS := $(sort $(patsubst %.c,build/programs/%,$(notdir $(PROGRAM_SOURCES))))
# Those of C++ that are traced on other kernels, too.
PROGRAMS += build/programs/ways-out
programs: $(PROGRAMS)

# One that opens libraries.
build/programs/pool: STATIC :=
build/programs/%: STATIC := -static

vpath %.c Tests/Programs $(wildcard Tests/Commands/*/*/programs)
vpath %.cpp Tests/Programs $(wildcard Tests/Commands/*/*/programs)

build/programs/%: %.c
	@mkdir -p $(@D)
	cc -O2 -g -Wall $(STATIC) -pthread $< -o $@

build/programs/%: %.cpp
	@mkdir -p $(@D)
	g++ -O2 -g -Wall $(STATIC) -pthread $< -o $@

-include $(BPF_OBJECTS:.o=.d)
