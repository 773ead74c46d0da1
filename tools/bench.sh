#!/usr/bin/env bash
# Measures; see docs/benchmarks.md.
set -euo pipefail
cd "$(dirname "$0")/.."
go run ./internal/bench
