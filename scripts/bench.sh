#!/usr/bin/env bash
# Measures pipectl and says which targets hold. Nothing fails when one does not: machines differ, so every time stands
# beside that of a trivial process in the same run.
#
# Usage: bench.sh [--release] [bench.py's options]
#   --release   build with the release profile first (10 minutes and more on 2 cores when nothing is built)
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ "${1:-}" == --release ]]; then
    shift
    cargo build --release --locked --bins
fi
python3 scripts/bench.py "$@"
# The critical path needs PyYAML, which the environment of the tests has.
exec .venv/bin/python benches/deploys.py
