# The commands that README and .ci/run use.
#   make run      build and start a whole node on loopback, with two example accounts and a card per client
#   make test     install what the tests need, then run all of them, real clients included
#   make lint     formatting, clippy, Python syntax, licences where cargo-deny is there
#   make interop  only the plays with real clients
#   make bench    the same work for Sammen and for Debian's Prosody, ejabberd and InspIRCd (long)
#   make soak     the long form of the fault and fuzz tests, and an hour of load

SHELL := /bin/bash
CARGO ?= cargo
VENV  := .venv
PY    := $(VENV)/bin/python

# What the plays run. Installed by apt-get when we are root; otherwise missing ones are named.
DEBIAN := profanity go-sendxmpp weechat-headless weechat-plugins irssi ii tmux

.PHONY: run test test-rust lint interop tools bench bench-tools soak clean

run:
	$(CARGO) build --release -p sammen
	target/release/sammen try

test: tools test-rust interop

test-rust:
	$(CARGO) test --workspace --locked

interop: tools
	$(CARGO) build --locked -p sammen
	SAMMEN_BIN=target/debug/sammen $(PY) -m pytest interop -q -m "not peers"

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check; else echo "cargo-deny is not installed: licences not checked"; fi

tools: $(VENV)/.ready
	@missing=""; for p in $(DEBIAN); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then \
	    export DEBIAN_FRONTEND=noninteractive; \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; \
	  else echo "not installed:$$missing (their plays are skipped)"; fi; \
	fi
	@if [ -f interop/package.json ]; then cd interop && npm ci --no-audit --no-fund --silent; fi

$(VENV)/.ready: interop/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q --disable-pip-version-check -r interop/requirements.txt
	touch $@

bench-tools:
	@if [ "$$(id -u)" = 0 ]; then export DEBIAN_FRONTEND=noninteractive; apt-get update -qq; apt-get install -y -qq --no-install-recommends prosody ejabberd inspircd; fi

bench: bench-tools
	$(CARGO) build --release -p sammen
	bench/run

soak:
	SOAK=1 $(CARGO) test --workspace --locked -- --include-ignored

clean:
	$(CARGO) clean
	rm -rf $(VENV) interop/node_modules
