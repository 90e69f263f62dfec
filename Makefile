# Osiris: set-up, build, demo, tests, benchmarks. Each target installs what it needs, and reports it.

export CARGO_TARGET_DIR ?= $(CURDIR)/target
OSIRIS := $(CARGO_TARGET_DIR)/release/osiris
DRIVERS := $(notdir $(wildcard plugins/*))
# Three at a time on two cores: tests spend most of their time waiting for processes and servers.
# Folders of tests that passed are removed at once: all together are too large for some disks.
PYTEST := .deps/venv/bin/python -m pytest tests/suite -n 3 --dist loadfile -o tmp_path_retention_policy=failed
CLIENTS := $(shell sed -n 's/^name = "\(.*\)"/\1/p' $(wildcard clients/*/Cargo.toml))

.PHONY: conformance build demo test test-quick bench docs fuzz differential deny lint setup guests bless

setup:
	@tools/setup-build

# target/release/osiris and target/drivers/*.wasm
build: setup
	@tools/build-drivers

demo: build
	@tools/demo

guests: build
	@tools/setup-tests
	@tools/build-guests

# Unit tests of every crate, then tests of the whole program.
test: guests
	cargo test --release --quiet --lib -p osiris -p osiris-sdk -p duckdb-text -p fuzz-targets --features osiris-sdk/arrow,osiris-sdk/http
	cargo test --release --quiet --lib $(DRIVERS:%=-p %)
	cargo test --release --quiet --lib --tests $(CLIENTS:%=-p %)
	@tools/test-sdks
	$(PYTEST)

# The tests and all checks of every bundled driver.
conformance: build
	@tools/conformance

# For daily use, under three minutes: without database servers, and with every fourth attack.
test-quick: guests
	cargo test --release --quiet --lib -p osiris -p osiris-sdk --features osiris-sdk/arrow,osiris-sdk/http
	$(PYTEST) --quick

# Accepts the current errors and outputs as the expected ones.
bless: guests
	BLESS=1 $(PYTEST)

# Writes and reads random tables and files for an hour; `make test` does so briefly.
differential: guests
	.deps/venv/bin/python tests/suite/differential.py --minutes 60

# Generates the table of attacks in docs/security.md from the attacks themselves.
docs:
	python3 tests/suite/attacks.py

bench: guests
	cargo build --release --package compute-native
	tools/build-bench
	.deps/venv/bin/python bench/run.py
	.deps/venv/bin/python bench/databases.py
	.deps/venv/bin/python bench/copying.py
	.deps/venv/bin/python bench/everyday.py
	.deps/venv/bin/python bench/languages.py
	.deps/venv/bin/python bench/executors.py
	.deps/venv/bin/python bench/exchange.py
	.deps/venv/bin/python bench/expect.py
	.deps/venv/bin/python bench/capacity.py

# Runs each fuzz target for ten minutes; `make test` runs each briefly.
fuzz: setup
	@tools/fuzz 600

lint: setup
	cargo fmt --all --check
	cargo clippy --release --all-targets --workspace -- -D warnings
	@if cargo deny --version > /dev/null 2>&1; then $(MAKE) --no-print-directory deny; \
	else tools/advisories && echo "lint: licences and sources are not checked: cargo install --locked cargo-deny"; fi

# Checks advisories, licences and sources of all dependencies; the advisories come from a committed snapshot, offline.
deny:
	@tools/advisories
	cargo deny check bans licenses sources
