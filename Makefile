# Portcullis: every verb of the project. `make help` lists them.

TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
TOOLS := $(TARGET)/tools
MODULE_TARGET := wasm32-wasip1
FILTER := cargo build --release --target $(MODULE_TARGET) -p portcullis-filter
RELEASE_TARGET := $(shell uname -m)-unknown-linux-musl
ARTIFACTS := $(TARGET)/release-artifacts
# Must equal the version of wasm-bindgen in Cargo.lock.
WASM_BINDGEN := 0.2.130
CARGO_DENY := 0.20.2
CARGO_MUTANTS := 27.1.0

PYTHON_READY := .venv/installed
NODE_READY := tests/node_modules/.package-lock.json
CONFORMANCE_READY := tests/conformance/node_modules/.package-lock.json

# What the filter, the bridge and `portcullis` say of themselves; the same commit, the same build.
export PORTCULLIS_COMMIT := $(shell git describe --always --abbrev=12 --dirty --exclude='*' 2>/dev/null || echo unknown)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run check test lint unit wasm costs stories module bridge cli chaos bench peers testbed audit mutants docs release clean tools system other-release

help: ## list the verbs
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: module bridge tools ## start everything on PORT=8080 and show one login and tool call; ONCE=1 stops after it; STORE=memory|standalone|sentinel
	@cargo build -q -p portcullis-testbed --bins
	@PORT=$(or $(PORT),8080) ONCE=$(ONCE) STORE=$(STORE) exec $(TARGET)/debug/first_login

# Crates whose tests start Redis, Envoy or the module are left to `unit` and `stories`, except for
# those in their libraries.
check: ## what to run while working: formatting, clippy, unit tests; cargo alone, no root, no installs
	cargo fmt --all --check
	cargo clippy -q --workspace --all-targets -- -D warnings
	cargo test -q -p portcullis-cipher -p portcullis-protocol -p portcullis-storage-api -p portcullis-gateway -p portcullis-source-tests
	cargo test -q -p portcullis-filter -p portcullis-redis-bridge -p portcullis-cli --lib

test: ## everything: lint, unit tests natively and as wasm, the module, the stories in a real Envoy
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory wasm
	@$(MAKE) --no-print-directory costs
	@$(MAKE) --no-print-directory stories

lint: system ## formatting, clippy, and documentation without broken links
	cargo fmt --all --check
	cargo clippy -q --workspace --all-targets -- -D warnings
	cargo clippy -q --target $(MODULE_TARGET) -p portcullis-filter -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc -q --workspace --no-deps

# Most of the bridge's tests wait for a server, so more of them run at once than there are
# processors.
unit: system
	RUST_TEST_THREADS=6 cargo test -q --workspace --exclude portcullis-testbed --exclude portcullis-stories

# The rules once more as wasm: on the filter's own target, and on the one without an operating
# system.
wasm: system $(TOOLS)/bin/wasm-bindgen-test-runner
	CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings $(CURDIR)/tests/wasi-runner.mjs" \
		cargo test --target wasm32-wasip1 -p portcullis-protocol
	CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$(TOOLS)/bin/wasm-bindgen-test-runner \
		cargo test --target wasm32-unknown-unknown -p portcullis-protocol

# Instructions, counted by valgrind: no busy machine changes them. In Rust alone, as in the module,
# so that a processor's own instructions for ciphers and digests do not count. Then the module's
# own, as it was built, in wasmtime's fuel.
costs: module $(PYTHON_READY) ## the regression guard: what each path takes in instructions, natively and in the module
	RUSTFLAGS='--cfg chacha20_backend="soft" --cfg poly1305_backend="soft" --cfg sha2_backend="soft"' \
		cargo test -q --profile costs -p portcullis-gateway --test flows -- \
		--ignored --exact costs::no_path_takes_more_instructions_than_its_ceiling --nocapture
	@.venv/bin/python tests/module_costs/paths.py $(TARGET)/$(MODULE_TARGET)/release/portcullis_filter.wasm

# Most stories wait, and one of them a whole minute, so one more than there are processors runs at
# once. STORE=standalone or STORE=sentinel runs every story on that store; those that are about
# stores run on each anyway.
stories: tools $(CONFORMANCE_READY) ## the stories in a real Envoy; STORY=name for one module (such as hostile_http::floods), STORE=memory|standalone|sentinel
	@$(MAKE) --no-print-directory module bridge cli $(if $(filter-out rolling_upgrade%,$(STORY)),,other-release)
	@cargo build -q -p portcullis-testbed --bins
	@[ -z "$(STORY)" ] || cargo test -q -p portcullis-stories $(STORY):: -- --list | grep ': test$$' > /dev/null || \
		{ echo "STORY=$(STORY): tests/stories has no such module" >&2; exit 1; }
	@[ -n "$(STORY)" ] || cargo test -p portcullis-testbed
	STORE=$(STORE) RUST_TEST_THREADS=$(or $(RUST_TEST_THREADS),3) cargo test -p portcullis-stories $(if $(STORY),$(STORY)::)

module: system ## build the filter: target/wasm32-wasip1/release/portcullis_filter.wasm
	@echo "Building the filter" >&2
	@$(FILTER)

# Only for the story `rolling_upgrade`.
other-release: system
	@tests/other-release.sh

bridge: system ## build the bridge for tests: target/debug/redis-bridge
	@cargo build -q -p portcullis-redis-bridge

cli: system ## build the operator's program: target/debug/portcullis (docs/cli.md)
	@cargo build -q -p portcullis-cli

chaos: module bridge tools ## failovers under load, and a checker: ROUNDS=n (5), SEED=n; or REQUESTS=n mixed ones of many users at two providers
	@cargo build -q -p portcullis-testbed --bins
	@ROUNDS=$(ROUNDS) REQUESTS=$(REQUESTS) SEED=$(SEED) exec $(TARGET)/debug/chaos

bench: module tools ## the measurements; ONLY=ladder|logins|start|growth|bridge for one part (benches/README.md has more), PLOTS=1 to draw them
	@cargo build -q --release -p portcullis-redis-bridge
	ONLY=$(ONLY) PLOTS=$(PLOTS) cargo run --release -p portcullis-benches

# Not part of `test` or `bench`: it installs two other gateways, which together are larger than
# everything else here.
peers: module tools $(TARGET)/peers/fastmcp/installed $(TARGET)/peers/contextforge/installed ## other gateways compared with this one: BENCH_SECONDS=n, ROUNDS=n
	ONLY=peers cargo run --release -p portcullis-benches

# One line of JSON on standard output and nothing else; the shell becomes the testbed, so SIGTERM
# reaches it.
testbed: ## start a testbed and print its addresses; CONFIG=file.json, WORKERS=n, ENVOY=path, STORE=memory|standalone|sentinel
	@$(MAKE) --no-print-directory module bridge tools >&2
	@cargo build -q -p portcullis-testbed --bins >&2
	@CONFIG=$(CONFIG) WORKERS=$(WORKERS) STORE=$(STORE) exec $(TARGET)/debug/testbed

audit: $(TOOLS)/bin/cargo-deny ## licences, sources, duplicates, and advisories where their database can be reached
	$(TOOLS)/bin/cargo-deny --all-features check licenses bans sources
	@if $(TOOLS)/bin/cargo-deny fetch db >$(TARGET)/advisories.log 2>&1; then \
		$(TOOLS)/bin/cargo-deny --all-features check advisories; \
	else \
		echo "NOT CHECKED: advisories, because their database cannot be reached from here (see $(TARGET)/advisories.log)." >&2; \
	fi

mutants: $(TOOLS)/bin/cargo-mutants ## break protocol and gateway in small ways, list what no test notices: FILE=glob, SINCE=revision
	@FILE='$(FILE)' SINCE='$(SINCE)' exec tests/mutants.sh

docs: system ## write docs/config.md, its schema and docs/operate/audit.md from the types; the API documentation to target/doc
	UPDATE=1 cargo test -q -p portcullis-gateway --test config_reference --test audit_reference
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

release: module ## the module, static redis-bridge and portcullis, SBOM and checksums: target/release-artifacts
	@rustup target list --installed | grep -qx $(RELEASE_TARGET) || \
		{ echo "Installing the Rust target $(RELEASE_TARGET)" >&2; rustup target add -q $(RELEASE_TARGET); }
	@echo "Building redis-bridge and portcullis for $(RELEASE_TARGET)" >&2
	@CC_$(subst -,_,$(RELEASE_TARGET))=$${CC:-cc} \
		cargo build -q --release --locked --target $(RELEASE_TARGET) -p portcullis-redis-bridge -p portcullis-cli
	@rm -rf $(ARTIFACTS) && mkdir -p $(ARTIFACTS)
	@cp $(TARGET)/$(MODULE_TARGET)/release/portcullis_filter.wasm $(ARTIFACTS)
	@cp $(TARGET)/$(RELEASE_TARGET)/release/redis-bridge $(TARGET)/$(RELEASE_TARGET)/release/portcullis $(ARTIFACTS)
	@.ci/sbom.py $(MODULE_TARGET) portcullis-filter >$(ARTIFACTS)/portcullis_filter.cdx.json
	@.ci/sbom.py $(RELEASE_TARGET) portcullis-redis-bridge >$(ARTIFACTS)/redis-bridge.cdx.json
	@.ci/sbom.py $(RELEASE_TARGET) portcullis-cli >$(ARTIFACTS)/portcullis.cdx.json
	@cd $(ARTIFACTS) && sha256sum -- * >SHA256SUMS
	@ls -l $(ARTIFACTS)

clean: ## remove what was built and installed in this folder
	rm -rf target .venv tests/node_modules tests/conformance/node_modules

tools: $(PYTHON_READY) $(NODE_READY)

system:
	@tests/provision.sh

$(PYTHON_READY): tests/requirements.txt | system
	@echo "Installing Envoy and the Python client into .venv" >&2
	@python3 -m venv .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check -r $< >&2
	@touch $@

$(TARGET)/peers/%/installed: benches/peers/%.txt | system
	@echo "Installing $* into $(@D)" >&2
	@python3 -m venv --clear $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps -r $< >&2
	@touch $@

$(NODE_READY): tests/package-lock.json | system
	@echo "Installing the identity provider, the MCP server and the TypeScript client" >&2
	@npm ci --silent --no-fund --no-audit --prefix tests >&2
	@touch $@

$(CONFORMANCE_READY): tests/conformance/package-lock.json | system
	@echo "Installing the conformance suite" >&2
	@npm ci --silent --no-fund --no-audit --prefix tests/conformance >&2
	@touch $@

# Without --locked: the lock file that it ships names versions that not every mirror of the registry
# has. Not optimised: it runs for seconds, and compiles in a third of the time so.
$(TOOLS)/bin/wasm-bindgen-test-runner: Makefile | system
	@echo "Installing wasm-bindgen-cli $(WASM_BINDGEN); this takes a minute once" >&2
	@CARGO_PROFILE_RELEASE_OPT_LEVEL=0 cargo install --quiet --root $(TOOLS) --target-dir $(TARGET)/tools-build \
		--version $(WASM_BINDGEN) wasm-bindgen-cli
	@touch $@

$(TOOLS)/bin/cargo-mutants: Makefile | system
	@echo "Installing cargo-mutants $(CARGO_MUTANTS); this takes some minutes once" >&2
	@cargo install --quiet --locked --root $(TOOLS) --target-dir $(TARGET)/tools-build --version $(CARGO_MUTANTS) cargo-mutants
	@touch $@

$(TOOLS)/bin/cargo-deny: Makefile | system
	@echo "Installing cargo-deny $(CARGO_DENY); this takes some minutes once" >&2
	@cargo install --quiet --locked --root $(TOOLS) --target-dir $(TARGET)/tools-build --version $(CARGO_DENY) cargo-deny
	@touch $@
