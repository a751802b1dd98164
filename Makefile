# The ways into this project. `make demo` shows the main job, `make test` proves it.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
PURE = -p proto -p audit -p wire -p chat

.PHONY: all build demo test fuzz interop interop-live bench check fmt clean setup

all: build

# Says which system packages the build needs and why, and installs what is missing where it may.
setup:
	@./scripts/setup

build: setup
	$(CARGO) build --release --locked --bins

demo: setup
	@./scripts/announce target/release/cardinal
	$(CARGO) build --release --locked --bins
	@target/release/cardinal demo

test: setup
	$(CARGO) test --workspace --all-features --locked

# A million hostile answers of a card at random, in two minutes or so; FUZZ_SEED draws others, FUZZ_ANSWERS more or fewer.
fuzz: setup
	$(CARGO) test --release --locked -p keycard --lib -- --ignored --nocapture hostile::a_million

# Scenarios with real peers; INTEROP="words" takes only those of a group, or whose name has one of them.
INTEROP_TEST = $(CARGO) test --release --workspace --locked --test interop
interop: setup
	@./scripts/announce $(TARGET)/release/cardinal
	@./tests/interop/setup
	$(CARGO) build --release --locked --bins
	$(INTEROP_TEST) --no-run
	@./scripts/loopback $(INTEROP_TEST) --offline --quiet -- $(INTEROP)

# Scenarios with live chat programs of others, named by PEER_CHAT and the other variables of docs/interop.md.
interop-live: setup
	$(CARGO) build --release --locked --bins
	$(INTEROP_TEST) --no-run
	@./scripts/loopback $(INTEROP_TEST) --offline --quiet -- $(or $(INTEROP),live)

# What our code costs beside the peers that are there; BENCH="words" takes only rows whose name has one of them.
bench: setup
	@./tests/interop/setup bench
	$(CARGO) build --release --locked --bins
	$(CARGO) bench --workspace --locked --bench cardinal -- $(BENCH)

# Format, the walls between packages, licences, lints, and the pure packages without an operating system.
check: setup
	$(CARGO) fmt --all -- --check
	@./scripts/cargo-deny
	$(CARGO) deny --all-features check bans licenses sources
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	$(CARGO) clippy --workspace --test interop --bench cardinal --all-features --locked -- -D warnings
	@./scripts/wasm-target
	$(CARGO) check $(PURE) --target wasm32-unknown-unknown --locked

fmt:
	$(CARGO) fmt --all

clean:
	$(CARGO) clean
