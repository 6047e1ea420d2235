#!/bin/sh
# Checks that the server gives the same results as at export: ./smoke.sh [http://localhost:8501]
# Waits until version {{ version }} is AVAILABLE, at most SMOKE_SECONDS (120), then compares the response to
# sample_requests/columns.json with columns.expected.json: within 0.05 months, the same status. Exit code 0 if they
# agree, 1 if not, with the reason. Requires curl.
set -eu

seconds=${SMOKE_SECONDS:-120}
address=${1:-http://localhost:8501}/v1/models/{{ model }}/versions/{{ version }}
samples=$(dirname "$0")/sample_requests

fail() {
    echo "smoke: $1" >&2
    exit 1
}

# values NAME: the comma-separated values of an output, from a response in column format on stdin
values() {
    tr -d ' \t\r\n' | sed -n 's/.*"'"$1"'":\[\([^]]*\)\].*/\1/p'
}

# within_tolerance A B: equally many numbers, pairwise at most 0.05 apart
within_tolerance() {
    awk -v a="$1" -v b="$2" 'BEGIN {
        n = split(a, x, ",")
        if (n == 0 || n != split(b, y, ",")) exit 1
        for (i = 1; i <= n; i++) {
            difference = x[i] - y[i]
            if (!(difference <= 0.05 && difference >= -0.05)) exit 1
        }
    }'
}

is_available() {
    said=$(curl -sS --max-time 5 "$address" 2>&1) || return 1
    case $said in
        *'"AVAILABLE"'*) return 0 ;;
        *) return 1 ;;
    esac
}

deadline=$(($(date +%s) + seconds))
until is_available; do
    [ "$(date +%s)" -lt "$deadline" ] || fail "not AVAILABLE after $seconds s: $address said: $said"
    sleep 1
done

answer=$(curl -sS --max-time 60 -H 'Content-Type: application/json' \
    --data-binary "@$samples/columns.json" "$address:predict") || fail "no answer from $address:predict"
for name in {{ outputs | join(" ") }}; do
    expected=$(values "$name" <"$samples/columns.expected.json")
    received=$(printf '%s' "$answer" | values "$name")
    within_tolerance "$expected" "$received" ||
        fail "$name: expected $expected. Received: ${received:-$answer}"
done
expected=$(values status <"$samples/columns.expected.json")
received=$(printf '%s' "$answer" | values status)
[ "$expected" = "$received" ] || fail "status: expected $expected. Received: $received"
echo "smoke: version {{ version }} of {{ model }} answers as it did when it was exported"
