# Everything a person or CI does with this tree. `make demo` and `make test` install what they need (as root, with apt-get),
# or name it in one error.
SHELL := /bin/bash
.DEFAULT_GOAL := help
TARGET := target/$(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
export LIBSECCOMP_LIB_PATH ?= /usr/lib/$(shell gcc -print-multiarch 2>/dev/null || echo x86_64-linux-gnu)
ORCA := $(TARGET)/release/orca
BUILD_PACKAGES := gcc libc6-dev libseccomp-dev pkg-config
TEST_PACKAGES := apache2-utils apparmor bind9-dnsutils binutils buildah busybox-static conntrack cpio crun curl docker-registry git iproute2 iptables kmod \
	nfs-kernel-server nftables python3 qemu-system-x86 runc secilc skopeo user-mode-linux util-linux wireguard-go wireguard-tools

.PHONY: help build demo demo-down test vm lint unit e2e sim fuzz fuzz-compose bench leaks faults man licences

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

# At a fixed address, as Go builds docker and containerd: a shim then has no relocations, which would be pages of its own.
# Functions that came out the same in machine code are kept once (a sixteenth of the file), where Rust's linker is lld.
FIXED := --config 'target."cfg(target_os = \"linux\")".rustflags=["-Crelocation-model=static"]'
# A variable of its own: its commas would end the arguments of a function.
FOLDED := --config 'target."cfg(target_arch = \"x86_64\")".rustflags=["-Clink-arg=-Wl,--icf=all"]'
FIXED += $(if $(filter x86_64-%,$(notdir $(TARGET))),$(FOLDED))

build: ## Build the release binary
	@scripts/need $(BUILD_PACKAGES)
	cargo build --release --locked -p orca $(FIXED)

demo: build ## Start the daemon and the example application, and say what to try next
	@scripts/demo $(ORCA)

demo-down: ## End the example application
	$(ORCA) down -f examples/hello/compose.yml -v

test: ## Run every test
	@scripts/need $(BUILD_PACKAGES) $(TEST_PACKAGES)
	@scripts/test

vm: ## Run the tests on other kernels alone: User-Mode Linux, and Debian's in virtual machines
	@scripts/need $(BUILD_PACKAGES) $(TEST_PACKAGES)
	cargo test --locked -q -p orca --test e2e -- unified:: vm:: --nocapture

lint: ## Formatting and clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

sim: ## Run the simulator: make sim [SEED=n] [SEEDS=n]
	cargo run --locked -q -p chaos-tests --bin sim -- $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS))

fuzz: ## Mutate archives, image documents and names for longer: make fuzz [SEED=n] [FUZZ_ROUNDS=n]
	SEED=$(or $(SEED),$$(date +%s)) FUZZ_ROUNDS=$(or $(FUZZ_ROUNDS),100) cargo test --locked -p image --lib -- --nocapture robustness::mutated

fuzz-compose: ## Mutate Compose files for a minute: make fuzz-compose [FUZZ_SECONDS=n]
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) cargo test --locked -p compose-spec --test properties -- --nocapture mutated

bench: build ## Print ratios against peers as JSON lines
	@scripts/need $(BUILD_PACKAGES) $(TEST_PACKAGES) docker.io iperf3
	@scripts/bench $(ORCA)

leaks: ## Start and remove 200 containers and count what is left
	ORCA_LEAKS=200 cargo test --locked -q -p orca --test e2e -- leaks::

faults: ## Kill daemon, netd and shims before every step of create, start, stop and rm: make faults [FAULTS=n] [SEED=n]
	ORCA_FAULTS=$(or $(FAULTS),all) ORCA_SEED=$(or $(SEED),1) cargo test --locked -q -p orca --test e2e -- --nocapture faults::

man: build ## Write manual pages into target/man
	$(ORCA) man target/man

licences: ## Check licences and sources of all dependencies
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check licenses bans sources
