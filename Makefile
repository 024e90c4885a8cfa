# The commands that README and .ci/run use.
#   make run      build and start a whole node on loopback, with two example accounts and a card per client
#   make client   build the page that the node serves (needs Node.js 20.19 or later)
#   make test     install what the tests need, then run all of them, real clients included
#   make types    the client's TypeScript types and docs/openapi.json, from the node's own
#   make lint     formatting, clippy, Python syntax, licences where cargo-deny is there
#   make interop  only the plays with real clients
#   make interop-desktop  also those with desktop apps that CI leaves out
#   make bench    the same work for Sammen and for Debian's Prosody, ejabberd and InspIRCd (long)
#   make soak     the long form of the fault and fuzz tests, and an hour of load

SHELL := /bin/bash
CARGO ?= cargo
VENV  := .venv
PY    := $(VENV)/bin/python
HOST  := $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_SECONDS ?= 60
# The same inputs in every test run, so that a change fails for what it did; 0 takes new ones each time.
FUZZ_SEED ?= 1

# What the plays run. Installed by apt-get when we are root; otherwise missing ones are named.
DEBIAN := profanity go-sendxmpp weechat-headless weechat-plugins irssi catgirl ii znc tmux openssl python3-venv \
  coturn curl chromium fonts-noto-color-emoji prosody lua-unbound ejabberd \
  dino-im nheko xvfb xdotool dbus libglib2.0-bin
# What CI leaves out: large, or not steady enough.
DESKTOP := gajim

.PHONY: run client test test-rust test-client types lint fuzz interop interop-desktop tools bench bench-tools soak clean

# Without Node.js the node serves a page that says how to build the client; everything else works.
run:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory client; else echo "Node.js is not installed: the page is not built"; fi
	$(CARGO) build --release -p sammen
	target/release/sammen try

# Only what changed is built again.
client: client/dist/index.html

client/node_modules/.ready: client/package-lock.json
	npm ci --prefix client --no-audit --no-fund --silent
	touch $@

client/dist/index.html: client/node_modules/.ready client/index.html client/vite.config.ts $(shell find client/src client/public client/tools -type f)
	npm run --prefix client --silent build

test-client: client
	npm test --prefix client

test: tools test-client test-rust fuzz interop

test-rust:
	$(CARGO) test --workspace --locked

types:
	SAMMEN_WRITE_TYPES=1 $(CARGO) test -q -p sammen-web --test it the_clients_types

interop: tools client
	$(CARGO) build --locked -p sammen
	SAMMEN_BIN=$(CURDIR)/target/debug/sammen $(PY) -m pytest interop/plays -q -m "sammen and not desktop"
	SAMMEN_BIN=$(CURDIR)/target/debug/sammen $(PY) -m pytest interop/faults -q

interop-desktop: tools client
	@if [ "$$(id -u)" = 0 ]; then export DEBIAN_FRONTEND=noninteractive; apt-get install -y -qq --no-install-recommends $(DESKTOP); fi
	$(CARGO) build --locked -p sammen
	SAMMEN_BIN=$(CURDIR)/target/debug/sammen $(PY) -m pytest interop/plays/test_desktops.py interop/plays/test_browsers.py -q

# Each target for FUZZ_SECONDS; a crash leaves its input in fuzz/artifacts and fails.
fuzz:
	cd fuzz && for target in xml_stream s2s_stream irc_line sasl; do \
	  mkdir -p corpus/$$target artifacts/$$target; \
	  $(CARGO) run -q --locked --target $(HOST) --bin $$target -- corpus/$$target seeds/$$target \
	    -seed=$(FUZZ_SEED) -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 -max_len=8192 \
	    -artifact_prefix=artifacts/$$target/ -verbosity=0 -print_funcs=0 -print_final_stats=1 || exit 1; \
	done

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@python3 -c 'import ast, sys; [ast.parse(open(f).read(), f) for f in sys.argv[1:]]' \
	  bench/run $$(find interop bench -name '*.py' -not -path '*/node_modules/*')
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check; else echo "cargo-deny is not installed: licences not checked"; fi

tools: $(VENV)/.ready
	@missing=""; for p in $(DEBIAN); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then \
	    export DEBIAN_FRONTEND=noninteractive; \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; \
	  else echo "not installed:$$missing (their plays are skipped)"; fi; \
	fi
	@npm ci --prefix interop/node --no-audit --no-fund --silent

$(VENV)/.ready: interop/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q --disable-pip-version-check -r interop/requirements.txt
	touch $@

bench-tools:
	@if [ "$$(id -u)" = 0 ]; then export DEBIAN_FRONTEND=noninteractive; apt-get update -qq; apt-get install -y -qq --no-install-recommends prosody ejabberd inspircd; fi

bench: bench-tools
	$(CARGO) build --release -p sammen
	bench/run

# Hours: an hour of load, twenty kills, two hundred power cuts, an hour of fuzzing per format, then the full comparison.
soak: tools
	$(CARGO) build --locked -p sammen
	$(CARGO) test --locked -p sammen-store --test it -- --ignored a_large_database
	SOAK=1 SAMMEN_BIN=$(CURDIR)/target/debug/sammen $(PY) -m pytest interop/faults -q
	$(MAKE) fuzz FUZZ_SECONDS=3600 FUZZ_SEED=0
	$(MAKE) bench

clean:
	$(CARGO) clean
	rm -rf $(VENV) interop/node/node_modules client/node_modules client/dist
