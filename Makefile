# The interpreter that pyoci runs on: not a version manager's wrapper, which would cost more than pyoci itself.
PYTHON ?= /usr/bin/python3
PREFIX ?= /usr/local
DESTDIR ?=
LIBDIR = $(PREFIX)/lib/pyoci
BENCH_FLAGS ?=
VM_FLAGS ?=
FAULTS_FLAGS ?=
DIFFERENTIAL_FLAGS ?= --examples 1000

VENV = .venv
VPYTHON = $(VENV)/bin/python
SITE = $$($(VPYTHON) -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
# Two makes in one checkout build one after the other: neither setuptools nor what
# generates files knows of another that does the same.
LOCKED = exec 9> build/.lock && flock 9 &&
GENERATED = oci_runtime/init oci_runtime/spec/_checker.py oci_runtime/schemas oci_runtime/_shim.c oci_runtime/_libseccomp.c oci_runtime/_libsystemd.py
CHECKED = oci_runtime schemas native scripts bench conformance differential faults vm tests setup.py
C_SOURCES = $(shell find native tests bench differential faults -name '*.[ch]')
# Where tests find their helpers, as pytest does: in their own folder unless it is a package.
TEST_HELPERS = $(shell for folder in $$(find tests -type d -not -name __pycache__); do \
	[ -e $$folder/__init__.py ] || printf '%s:' $$folder; done)
SCRIPTS = scripts/install-deps .ci/run bench/enter.sh vm/guest/prepare.sh

.PHONY: build run test engines lint lint-style lint-types lint-c lint-shell format bench wheel install uninstall clean distclean

build: build/pyoci

# Compilers and headers; a quick look when nothing is missing.
deps-%:
	@scripts/install-deps $(subst -, ,$*)

$(VENV)/.stamp: pyproject.toml | deps-build
	@mkdir -p build
	$(LOCKED) if ! [ $@ -nt $< ]; then \
	    $(PYTHON) -m venv $(VENV) && \
	    $(VPYTHON) scripts/requirements.py dev > $(VENV)/requirements.txt && \
	    $(VPYTHON) -m pip install -q --disable-pip-version-check -r $(VENV)/requirements.txt && \
	    touch $@; fi

.PHONY: build/pyoci
build/pyoci: $(VENV)/.stamp
	@mkdir -p build
	$(LOCKED) $(VPYTHON) setup.py -q build_ext --inplace && \
	    $(VPYTHON) -X no_debug_ranges scripts/make_launcher.py --checked --package . --dependencies "$(SITE)" $@

run: deps-run build
	$(VPYTHON) scripts/demo.py build/pyoci

test: deps-test build
	PYOCI_ENGINES=required $(VPYTHON) -m pytest $(TESTS)

# Each engine with pyoci, feature by feature, as in docs/engines.md, which also gets what `make vm-test` has brought.
engines: deps-test build
	@rm -f build/engines.xml
	status=0; PYOCI_ENGINES=required $(VPYTHON) -m pytest tests/engines --junitxml=build/engines.xml || status=$$?; \
	$(VPYTHON) scripts/engines_table.py build/engines.xml $(wildcard build/vm/*/engines.xml) && exit $$status

# The judgement of the OCI's validation programs, beside the runtimes that are installed, as in docs/conformance.md; or on any RUNTIME.
.PHONY: conformance conformance-check conformance-programs
conformance-programs: deps-conformance $(VENV)/.stamp
	$(VPYTHON) -m conformance build
ifdef RUNTIME
conformance: conformance-programs
	$(VPYTHON) -m conformance run --runtime "$(RUNTIME)"
else
conformance: conformance-programs build
	status=0; $(VPYTHON) -m conformance run --runtime build/pyoci --installed-peers --json conformance/results/native.json \
		|| status=$$?; $(VPYTHON) -m conformance page && exit $$status
endif

# As expected? Without peers, and without a page.
conformance-check: conformance-programs build
	$(VPYTHON) -m conformance run --runtime build/pyoci --json build/conformance/native.json

# The same configurations and commands with pyoci, runc and crun: differential/README.md. `make test` has a short run of it.
.PHONY: differential
differential: deps-test build
	$(VPYTHON) -m differential run $(DIFFERENTIAL_FLAGS)

# Every command with a fault at every system call, as in docs/faults.md. `make test` tries one of some hundred.
.PHONY: faults
faults: deps-test build
	$(VPYTHON) -m faults --json build/faults.json $(FAULTS_FLAGS)

# A Debian machine with systemd, cgroup v2 or v1, AppArmor: docs/vm.md. It needs little of the host but its processor.
.PHONY: vm vm-test vm-shell
vm: deps-vm $(VENV)/.stamp
	$(VPYTHON) -m vm build

vm-test: deps-vm-conformance $(VENV)/.stamp
	$(VPYTHON) -m vm test $(VM_FLAGS)

vm-shell: deps-vm $(VENV)/.stamp
	$(VPYTHON) -m vm shell $(VM_FLAGS)

lint: lint-style lint-types lint-c lint-shell

lint-style: $(VENV)/.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

lint-types: build
	MYPYPATH="$(TEST_HELPERS)" $(VENV)/bin/mypy $(CHECKED)

lint-c: deps-lint
	clang-format --dry-run -Werror $(C_SOURCES)
	gcc -std=gnu11 -fsyntax-only -Wall -Wextra -Werror -Inative $(filter-out native/interpreter.c,$(wildcard native/*.c)) bench/*.c faults/*.c

lint-shell: deps-lint
	shellcheck $(SCRIPTS)

format: deps-lint $(VENV)/.stamp
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	clang-format -i $(C_SOURCES)

# Measures what a user gets: an installed pyoci, which does not look whether its sources have changed.
bench: deps-bench build
	$(MAKE) -s install PREFIX="$(CURDIR)/build/installed" DESTDIR=
	$(VPYTHON) -m bench --pyoci build/installed/bin/pyoci --page docs $(BENCH_FLAGS)

wheel: $(VENV)/.stamp
	$(VPYTHON) -m build -q

# The compiled modules never ask whether their source is newer: an installed tree does not change.
install: $(VENV)/.stamp
	rm -rf "$(DESTDIR)$(LIBDIR)"
	$(VPYTHON) -m pip install -q --disable-pip-version-check --no-compile --target "$(DESTDIR)$(LIBDIR)" .
	rm -rf "$(DESTDIR)$(LIBDIR)/bin"
	$(PYTHON) -m compileall -q -s "$(DESTDIR)" --invalidation-mode unchecked-hash "$(DESTDIR)$(LIBDIR)"
	$(VPYTHON) -X no_debug_ranges scripts/make_launcher.py --root "$(DESTDIR)" --bundle "$(DESTDIR)$(LIBDIR)" \
		--package "$(DESTDIR)$(LIBDIR)" --dependencies "$(DESTDIR)$(LIBDIR)" "$(DESTDIR)$(PREFIX)/bin/pyoci"

uninstall:
	rm -rf "$(DESTDIR)$(LIBDIR)"
	rm -f "$(DESTDIR)$(PREFIX)/bin/pyoci"

clean:
	rm -rf build dist *.egg-info $(GENERATED) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find oci_runtime native -name '*.so' -delete -o -name '*.o' -delete
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
