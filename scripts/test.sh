#!/usr/bin/env bash
# Everything that must hold before a change is good, cheapest first. Stops at the first step that fails.
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"
python=.venv/bin/python
results=target/cargo-test.log
pytest_log=target/pytest.log
summary=()

step() {
    local name=$1 started=$SECONDS
    shift
    printf '\n=== %s\n' "$name"
    if ! "$@"; then
        printf '=== %s: FAILED after %d s\n' "$name" "$((SECONDS - started))"
        exit 1
    fi
    summary+=("$(printf '%-28s %4d s' "$name" "$((SECONDS - started))")")
}

# RustSec's database comes from GitHub, which not every network reaches: `make advisories` asks for it.
dependencies() {
    echo "Licences, bans and sources; 'make advisories' checks for vulnerabilities where github.com can be reached."
    target/tools/cargo-deny --locked check --hide-inclusion-graph licenses bans sources
}

# What each example renders, judged by cfn-lint and sqlfluff.
judges() {
    local example environment folder
    for example in examples/*/pipeline.toml; do
        for environment in $(grep -oP '^\[env\.\K[a-z]+' "$example" | sort -u); do
            folder="target/judged/$(basename "$(dirname "$example")")-$environment"
            rm -rf "$folder"
            target/debug/pipectl render --file "$example" --env "$environment" --output "$folder" >/dev/null || return
            echo "$example ($environment):"
            "$python" tests/judges/judge.py "$folder" || return
        done
    done
}

documentation() {
    RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps
}

# The local cloud's own tests wait more than they work: they run beside the compiler and are told in their turn.
pytest_begins() {
    "$python" -m pytest -q -p no:cacheprovider local/tests >"$pytest_log" 2>&1 &
    pytest=$!
    # Another step may fail first. pytest takes its clouds down.
    trap 'kill "$pytest" 2>/dev/null && wait "$pytest" || true' EXIT
}

pytest_ends() {
    local code=0
    wait "$pytest" || code=$?
    trap - EXIT
    cat "$pytest_log"
    return "$code"
}

# Half of a test on a cloud is waiting for the cloud's clocks: two at a time keep a core busy.
cargo_test() {
    RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((2 * $(getconf _NPROCESSORS_ONLN)))}" cargo test --locked --no-fail-fast 2>&1 | tee "$results"
}

step "setup" scripts/setup.sh
step "format" cargo fmt --check
step "dependencies" dependencies
step "clippy" cargo clippy --quiet --locked --all-targets -- -D warnings
pytest_begins
step "documentation" documentation
step "build" cargo build --quiet --locked --all-targets
step "documents say what is" "$python" -m unittest discover -q -s tests/docs
step "critical path" "$python" -m unittest discover -q -s benches
step "CI examples" "$python" -m unittest discover -q -s tests/ci
step "local cloud (pytest)" pytest_ends
step "example data and judges" "$python" -m pytest -q -p no:cacheprovider tests/judges
step "judges on what is rendered" judges
step "cargo test" cargo_test

printf '\n=== All steps passed in %d s\n' "$SECONDS"
printf '%s\n' "${summary[@]}"
grep '^test result' "$results"
