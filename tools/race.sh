#!/usr/bin/env bash
# Prints -race when the race detector can work here: it needs cgo and a C compiler.
if [ "$(go env CGO_ENABLED 2>/dev/null)" = 1 ] && command -v "$(go env CC 2>/dev/null)" >/dev/null 2>&1; then
	echo -race
else
	echo "no C compiler: the tests run without the race detector" >&2
fi
