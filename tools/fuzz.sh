#!/usr/bin/env bash
# Runs every fuzz target for the given time, one after another.
set -euo pipefail
cd "$(dirname "$0")/.."
grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r package; do
	grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$package"/*_test.go | sed 's/func //' | while read -r target; do
		echo "$package $target"
		go test -run='^$' -fuzz="^$target\$" -fuzztime="$1" "$package"
	done
done
