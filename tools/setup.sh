#!/usr/bin/env bash
# Installs, or names, what building and testing needs and this machine lacks.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
if ! command -v go >/dev/null; then
	missing+=("Go 1.26 or newer: https://go.dev/dl/")
fi

postgres() {
	command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
		compgen -G '/usr/pgsql-*/bin/initdb' >/dev/null || compgen -G '/opt/homebrew/opt/postgresql*/bin/initdb' >/dev/null ||
		compgen -G '/usr/local/opt/postgresql*/bin/initdb' >/dev/null ||
		compgen -G '/Applications/Postgres.app/Contents/Versions/*/bin/initdb' >/dev/null
}
if ! postgres; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "installing the Postgres programs" >&2
		(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql) >&2 || true
	fi
	postgres || missing+=("the Postgres programs (initdb, postgres), 13 or newer: apt-get install postgresql, or brew install postgresql@17")
fi

if [ ${#missing[@]} -gt 0 ]; then
	echo "This machine lacks:" >&2
	printf '  %s\n' "${missing[@]}" >&2
	exit 1
fi

# Optional: another implementation to compare segment counts with.
node=internal/segment/testdata/node
if command -v npm >/dev/null && [ ! -d "$node/node_modules" ]; then
	(cd "$node" && npm ci --ignore-scripts --no-audit --no-fund --silent) ||
		echo "npm could not install the segment calculator: the comparison with it is skipped" >&2
fi
