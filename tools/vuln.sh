#!/usr/bin/env bash
# Looks for known vulnerabilities, and says so loudly when their database can't be had.
set -uo pipefail
cd "$(dirname "$0")/.."
output=$(timeout 120 bin/govulncheck ./... 2>&1)
status=$?
if [ $status -ne 0 ] && grep -qiE 'fetching vulnerabilities|dial tcp|no such host|connection refused|forbidden|proxyconnect|timeout|vuln\.go\.dev' <<<"$output"; then
	echo "SKIPPED: govulncheck could not reach its database; known vulnerabilities were NOT looked for" >&2
	exit 0
fi
if [ $status -eq 124 ]; then
	echo "SKIPPED: govulncheck did not finish in two minutes; known vulnerabilities were NOT looked for" >&2
	exit 0
fi
echo "$output"
exit $status
