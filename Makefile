# make run    everything a fresh machine needs, then the box
# make test   everything the box is judged by; ends with cargo's own closing line
# The rest:   pages, model, demo, demo-files, bench, lint, fuzz, bundle, clean
#
# Plain `cargo run` and `cargo test` work too, and say what is missing.

SHELL      := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help

CARGO  ?= cargo
PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),target)
BOX    := $(TARGET)/release/ilot
# What follows the verb: make run ARGS="--http 127.0.0.1:9000"
ARGS   ?=

# An optional tool that is missing is said in words at a desk and is a failure in CI.
skip = if [ -n "$${CI:-}" ]; then echo "error: $(1)" >&2; exit 1; else echo "skipped: $(1)" >&2; fi

# A stage names itself and its seconds, so that a slow machine shows where its time goes.
begin = echo; echo "== $@"; begun=$$SECONDS
end   = echo "== $@: $$((SECONDS - begun)) s"

.PHONY: help run test pages pages-maybe model model-maybe build demo demo-files bench bundle clean \
        lint fmt clippy deny one-provider test-browser-ready test-pages test-scripts test-browser test-openai test-clients test-fuzz test-cargo fuzz

help:
	@sed -n '1,5p' Makefile | sed 's/^# \?//'

# The watchdog keeps the box running; every flag of `ilot serve` is one of `ilot watchdog` too.
run: pages-maybe model-maybe build
	@exec "$(BOX)" watchdog $(ARGS)

build:
	@$(CARGO) build --release --locked

pages:
	@deploy/pages.sh

pages-maybe:
	@deploy/pages.sh --maybe

model:
	@$(PYTHON) deploy/fetch_model.py

# Exit code 3 says that this machine cannot bring it; a wrong sum stays an error.
model-maybe:
	@if ! command -v $(PYTHON) >/dev/null; then \
	    echo "model: python3 is missing (on Debian: apt-get install python3-pip)" >&2; code=3; \
	else code=0; $(PYTHON) deploy/fetch_model.py || code=$$?; fi; \
	if [ $$code -eq 3 ]; then echo "model: going on without it; search is then by words alone" >&2; \
	else exit $$code; fi

demo: model-maybe build
	@"$(BOX)" demo $(ARGS)

# The binary formats of the sample documents, from their sources; the same bytes every time.
demo-files:
	@$(PYTHON) deploy/demo/make.py

# One idea a program; what each needs and means is in benches/README.md.
bench: model
	@$(begin); $(CARGO) build --release --locked -p ilot -p ilot-benches; \
	for one in store serve identity planb "search vectors" "search words" hybrid; do \
	  echo "-- $$one"; "$(TARGET)"/release/$$one || exit 1; done; $(end)

bundle: pages model build
	@deploy/bundle.sh --binary "$(BOX)" $(ARGS)

# --- what the box is judged by -------------------------------------------------------------------

test: test-pages test-scripts lint model test-browser-ready test-browser test-openai test-clients test-fuzz test-cargo

lint: fmt clippy deny one-provider

fmt:
	@$(begin); $(CARGO) fmt --all --check; $(CARGO) fmt --manifest-path tests/fuzz/Cargo.toml --check; $(end)

clippy:
	@$(begin); $(CARGO) clippy --locked --workspace --all-targets -- -D warnings; $(end)

# The advisory data base needs a network; licences, bans and sources do not.
deny:
	@$(begin); \
	if $(CARGO) deny --version >/dev/null 2>&1; then \
	    $(CARGO) deny --log-level error check --hide-inclusion-graph licenses bans sources; \
	else $(call skip,cargo-deny is missing (cargo install --locked cargo-deny --version 0.20.2)); fi; $(end)

# One crypto provider. `cargo tree -i ring` fails when the crate is nowhere in the lock file, so the list is read.
one-provider:
	@$(begin); \
	tree=$$($(CARGO) tree --locked --edges normal,build --prefix none --format '{p}'); \
	if grep -E '^(ring|openssl-sys|native-tls) ' <<<"$$tree"; then \
	    echo "error: a second crypto provider is in the graph: cargo tree -i NAME shows who brings it" >&2; exit 1; \
	fi; $(end)

# Built, then checked: types, the two languages, what else the pages' own package.json calls a check.
test-pages:
	@$(begin); \
	if . deploy/node.sh; node_ready; then \
	    deploy/pages.sh; npm --prefix src/ui run --if-present check; npm --prefix src/ui run --if-present test; \
	else $(call skip,the pages were neither built nor checked); fi; $(end)

test-scripts:
	@$(begin); $(PYTHON) deploy/demo/make.py --check; deploy/test.sh; $(end)

# The browser comes from the distribution, so that no download of a second one is needed.
test-browser-ready:
	@$(begin); \
	if ! command -v chromium >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
	        chromium fonts-dejavu-core fonts-liberation >/dev/null || echo "apt-get could not bring chromium" >&2; \
	fi; $(end)

test-browser:
	@$(begin); \
	if [ ! -x tests/browser/run.sh ]; then $(call skip,tests/browser/run.sh is not in this copy); \
	elif ! command -v chromium >/dev/null; then $(call skip,chromium is missing (on Debian: apt-get install chromium)); \
	elif . deploy/node.sh; node_ready; then \
	    $(CARGO) build --locked; ILOT_CHROMIUM="$$(command -v chromium)" ILOT_BIN="$$(cd "$(TARGET)" && pwd)/debug/ilot" tests/browser/run.sh; \
	else $(call skip,the pages were not looked at); fi; $(end)

# Exit code 3 says that this machine cannot bring what it needs: the small model's file, Python, the network.
test-openai:
	@$(begin); $(CARGO) build --locked; code=0; \
	ILOT_BIN="$$(cd "$(TARGET)" && pwd)/debug/ilot" PYTHON=$(PYTHON) tests/openai/run.sh || code=$$?; \
	if [ $$code -eq 3 ]; then echo "skipped: the official openai client was not tried" >&2; \
	else [ $$code -eq 0 ] || exit $$code; fi; $(end)

# Exit code 3 says that there is no Python here.
test-clients:
	@$(begin); $(CARGO) build --locked; code=0; \
	ILOT_BIN="$$(cd "$(TARGET)" && pwd)/debug/ilot" PYTHON=$(PYTHON) tests/clients/run.sh || code=$$?; \
	if [ $$code -eq 3 ]; then $(call skip,the Python client was not tried); \
	else [ $$code -eq 0 ] || exit $$code; fi; $(end)

# Sixty seconds in all, from the stored corpus on; a stable compiler will do.
test-fuzz:
	@$(begin); \
	if $(CARGO) fuzz --version >/dev/null 2>&1; then tests/fuzz/run.sh; \
	else $(call skip,cargo-fuzz is missing (cargo install --locked cargo-fuzz --version 0.13.2)); fi; $(end)

# Longer, or one target alone: make fuzz ARGS="3600 packets". What leads to new code is stored.
fuzz:
	@$(begin); tests/fuzz/run.sh --keep $(ARGS); $(end)

# nextest runs each test in a process of its own; plain cargo does when it is missing.
test-cargo:
	@$(begin); \
	if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    $(CARGO) nextest run --locked --no-fail-fast; \
	else $(CARGO) test --locked; fi; $(end)

clean:
	@$(CARGO) clean
	@rm -rf src/ui/dist src/ui/node_modules
