#!/usr/bin/env bash
# Measures pipectl and says which targets hold. Nothing fails when one does not: machines differ, so every time stands
# beside that of a trivial process or of another program in the same run.
#
# Usage: bench.sh [--release] [bench.py's options]
#   --release   build with the release profile first, and the runtime as it is uploaded (scripts/runtime.sh): half an
#               hour and more on 2 cores when nothing is built
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ "${1:-}" == --release ]]; then
    shift
    cargo build --release --locked --bins
    scripts/runtime.sh
fi
python3 scripts/bench.py "$@"
# The critical path needs PyYAML and the data plane boto3, which the environment of the tests has.
.venv/bin/python benches/deploys.py
if [[ -x target/release/pipectl-runtime ]]; then
    .venv/bin/python benches/data_plane.py
    .venv/bin/python benches/transform.py
    exec .venv/bin/python benches/binlog.py
fi
echo "(the data plane is measured with a release build only)"
