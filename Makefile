# The commands of this project. `make` lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help

PREFIX ?= /usr/local
NODES ?= 1
BIN := target/release
BINARIES := kogge-apiserver kogge-controller-manager kogge-scheduler kogge-kubelet kogge-proxy kogge-dns kogge-cni kctl

.PHONY: help up down demo build images check test test-long fuzz bench bench-sched install

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: images ## Bring up a cluster on this machine (NODES=3 for three nodes) and run the demo on it
	@$(BIN)/kctl cluster up --nodes $(NODES)
	@hack/demo.sh $(BIN)/kctl

down: ## Remove the cluster and everything of it from this machine
	@[ ! -x $(BIN)/kctl ] || $(BIN)/kctl cluster down --purge

demo: ## Run a Deployment behind a Service on the running cluster
	@hack/demo.sh $(BIN)/kctl

build: ## Build every binary
	@hack/deps.sh
	@cargo build --release --workspace --bins

images: build ## Build the images of the cluster and of the tests
	@hack/images.sh

check: ## Format, lints, layers
	@cargo fmt --all --check
	@hack/layers.sh
	@cargo clippy --workspace --all-targets -- -D warnings

test: ## Run every test: brains, contracts, simulation, real etcd, real cluster
	@hack/deps.sh test
	@$(MAKE) --no-print-directory images
	@cargo test --workspace

test-long: build ## Run simulation, cache model and linearizability over many more seeds
	@KOGGE_SEEDS=1000 cargo test --release -p e2e --test sim
	@KOGGE_SEEDS=5000 cargo test --release -p store --test model
	@KOGGE_SEEDS=120 KOGGE_SECONDS=60 cargo test --release -p e2e --test linear

fuzz: ## Run the fuzz targets, a minute each (SECONDS=600 for longer)
	@hack/fuzz.sh $(or $(SECONDS),60)

bench: images ## Measure memory, processor time, start, pods and the API
	@hack/deps.sh test
	@$(BIN)/kogge-bench

bench-sched: build ## Measure the scheduler on 1,000 nodes and 5,000 pods through the API
	@hack/deps.sh test
	@$(BIN)/kogge-bench sched

install: build ## Install binaries, images and systemd units under PREFIX (/usr/local); then `kctl cluster init`
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/kogge/images $(DESTDIR)/etc/systemd/system
	install -m 755 $(addprefix $(BIN)/,$(BINARIES)) $(DESTDIR)$(PREFIX)/bin
	[ ! -d out/images ] || install -m 644 out/images/*.tar $(DESTDIR)$(PREFIX)/share/kogge/images
	install -m 644 deploy/systemd/* $(DESTDIR)/etc/systemd/system
	sed -i 's|/usr/local/bin/|$(PREFIX)/bin/|' $(addprefix $(DESTDIR)/etc/systemd/system/,$(notdir $(wildcard deploy/systemd/*)))
