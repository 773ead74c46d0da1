# `make help` lists the targets. Everything builds into bin/, which git ignores.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/beckonhq/beckon/internal/cli.version=$(VERSION)
FUZZTIME ?= 10s
TORTURE_FOR ?= 2m
RACE ?= $(shell tools/race.sh)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: setup
setup: ## Install or name what a fresh machine lacks (Go, Postgres programs; Node is optional)
	@tools/setup.sh

.PHONY: build
build: ## Build bin/beckon, static, with its version
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/beckon ./cmd/beckon

.PHONY: demo
demo: setup build ## Play a story against simulators: no accounts needed, ends by itself
	@bin/beckon demo

.PHONY: run
run: setup build ## The same, and keep it running until Ctrl-C
	@bin/beckon demo --keep-running

.PHONY: test
test: setup ## Run every test, with the race detector where there is a C compiler
	go test $(RACE) -shuffle=on -timeout 10m ./...

.PHONY: short
short: setup ## Run every test without the race detector
	go test -shuffle=on -timeout 10m ./...

.PHONY: fuzz
fuzz: setup ## Run every fuzz target for FUZZTIME each (default 10s)
	@tools/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: setup build ## Measure speed against limits and peers in one run; prints a table for docs/benchmarks.md
	@tools/bench.sh

.PHONY: flood
flood: setup ## Measure 50,000 notifications that wait while Twilio is away (two minutes)
	go run ./internal/bench flood

SOAK_FOR ?= 1h
.PHONY: soak
soak: setup ## Keep a steady load for SOAK_FOR (default 1h) and draw the memory into bin/soak.png
	mkdir -p bin && go run ./internal/bench -soak $(SOAK_FOR) -profiles bin soak
	cd tools/plot && go run . ../../bin/soak.csv ../../bin/soak.png

.PHONY: torture
torture: setup build ## Kill, freeze and cut off every part under load for TORTURE_FOR (default 2m) and count
	@bin/beckon torture --for $(TORTURE_FOR)

.PHONY: cover
cover: setup ## Show the coverage of each package
	go test -coverprofile=bin/cover.out ./... && go tool cover -func=bin/cover.out | tail -n 1

bin/golangci-lint: tools/go.mod tools/go.sum
	cd tools && go build -o ../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

bin/govulncheck: tools/go.mod tools/go.sum
	cd tools && go build -o ../bin/govulncheck golang.org/x/vuln/cmd/govulncheck

.PHONY: lint
lint: bin/golangci-lint bin/govulncheck ## go vet, every linter, the shipped rules, known vulnerabilities
	go vet ./...
	bin/golangci-lint run ./...
	go run ./cmd/beckon rules check --dir rules
	go run ./cmd/beckon rules test --dir rules
	@tools/vuln.sh

.PHONY: fmt
fmt: bin/golangci-lint ## Format the code
	bin/golangci-lint fmt ./...

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin
