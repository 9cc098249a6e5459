#!/usr/bin/env bash
# From a fresh clone to rows in Snowflake and away again, on the local cloud: no account, nothing but 127.0.0.1.
set -euo pipefail
cd "$(dirname "$0")/.."

file=examples/files/pipeline.toml
data=examples/files/data
database=CHINOOK_INVOICES_LOCAL
schema=$database.SHOP
timings=()
# A cloud of the demo's own: one that the user runs is not touched.
export PIPECTL_LOCAL_DIR=$PWD/target/demo-cloud
unset PIPECTL_LOCAL_AUTH

pipectl() { target/debug/pipectl "$@"; }

bold="" plain=""
if [[ -t 1 && -z "${NO_COLOR:-}" ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# Runs a part of the demo and keeps how long it took.
timed() {
    local name=$1 started
    started=$(now)
    shift
    "$@"
    note "$name" "$started"
}

# Tenths of a second.
now() { echo "$((${EPOCHREALTIME/[.,]/} / 100000))"; }

note() { timings+=("$(printf '%-42s %6.1f s' "$1" "$(($(now) - $2))e-1")"); }

# The first row of a query, its values parted by spaces.
row() {
    pipectl local sql --format json "$1" |
        python3 -c 'import json, sys; print(*json.load(sys.stdin)["rows"][0])'
}

arrived() {
    row "select (select count(*) from $schema.INVOICE), (select count(*) from $schema.INVOICE_LINE)"
}

put_files() {
    local bucket=chinook-invoices-local-raw-000000000000-$AWS_REGION
    # The local cloud's own Python has boto3.
    "${PIPECTL_LOCAL_PYTHON:?is not told by pipectl local env}" scripts/put.py "$data" "$bucket"
}

wait_for_rows() {
    local deadline=$((SECONDS + 60)) found=""
    until found=$(arrived) && [[ "$found" == "$1" ]]; do
        if ((SECONDS > deadline)); then
            echo "after a minute there are $found rows, not $1" >&2
            pipectl status --env local -f "$file" >&2 || true
            return 1
        fi
        sleep 0.2
    done
}

# After a failure or Ctrl-C nothing stays behind.
clean_up() {
    local code=$?
    trap - EXIT INT TERM
    ((code)) || exit 0
    say "The demo did not end well (exit $code). Cleaning up."
    pipectl local down || true
    exit "$code"
}

say "1. Building pipectl, without optimisation, so that it is there sooner."
timed "build" cargo build --quiet --locked

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "2. Starting the local cloud: AWS and Snowflake on 127.0.0.1. The first time, its Python packages are installed."
timed "environment" pipectl local up
eval "$(pipectl local env)"
demo_started=$(now)

say "3. Deploying $file: CloudFormation stacks and Snowflake objects, wired to each other in one pass."
timed "demo: first deploy" pipectl deploy --env local -f "$file" --yes

say "4. Putting Chinook's invoices into the raw bucket, as anybody's S3 client would. One file is broken on purpose."
timed "demo: putting the files" put_files

expected=$(python3 scripts/expected.py | python3 -c 'import json, sys; e = json.load(sys.stdin); print(e["invoices"], e["lines"])')
say "5. Waiting for the rows. Chinook's SQL says how many there must be: invoices and lines $expected."
timed "demo: from the last put to the last row" wait_for_rows "$expected"
pipectl local sql "select BILLING_COUNTRY, count(*) as INVOICES, sum(TOTAL) as TOTAL
    from $schema.INVOICE group by BILLING_COUNTRY order by TOTAL desc limit 5"

say "6. Deploying again: nothing is to change."
timed "demo: second deploy" pipectl deploy --env local -f "$file" --yes

say "7. Removing all of it, the data too."
timed "demo: destroy" pipectl destroy --env local -f "$file" --yes --delete-data
note "demo: as a whole" "$demo_started"
pipectl local down

say "Done."
{ echo "It took:"; printf '  %s\n' "${timings[@]}"; } | tee target/demo.log
