# One-liners; the logic lives in the binary and in tests/.
CARGO ?= cargo
export SQLX_OFFLINE ?= true

.PHONY: up test test-full check fmt clippy test-rust test-clients test-mesh test-topology test-k8s openapi sqlx doc deny bench-mesh bench-control bench-data image

## start everything; PostgreSQL is installed first if the machine has none
up: postgres
	$(CARGO) run --release -- up $(UP)

postgres:
	@tests/setup/postgres

## what every change must pass
test:
	@tests/run

## the long ones too
test-full:
	@tests/run --full

check: fmt clippy doc

fmt:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

deny:
	$(CARGO) deny check

test-rust:
	$(CARGO) test --workspace --locked

test-clients:
	tests/clients/run

test-mesh:
	tests/mesh/run

test-topology:
	tests/topology/run

test-k8s:
	tests/k8s/run

## measure the mesh beside its peers; PEERS is the folder of their configurations
bench-mesh:
	$(CARGO) build --release --locked
	bench/mesh --binary target/release/meshbase --peers-dir $(PEERS) $(BENCH)

## measure the control plane, and what sidecars cost a request
bench-control:
	$(CARGO) build --release --locked --bin meshbase --example proxies
	bench/control $(BENCH)

## measure the data service beside postrust, PocketBase and pgbench; PEERS is the folder of their configurations
bench-data:
	$(CARGO) build --release --locked
	bench/data --binary target/release/meshbase --peers-dir $(PEERS) $(BENCH)

## the image of docker-compose.yml and deploy/k8s
image:
	docker build --tag meshbase .

## write the OpenAPI documents that tests compare with
openapi:
	$(CARGO) run --quiet -- openapi

## write the query data that `cargo build` needs without a database
sqlx:
	tests/setup/sqlx
