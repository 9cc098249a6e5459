#!/usr/bin/env bash
# Builds the runtime of the Lambda functions as it is uploaded: small, and against the C library that Lambda has
# (glibc 2.34), for both processors or those that are named. It lies beside a release build of pipectl, which finds it
# there.
#
# Usage: runtime.sh [x86_64] [arm64]
set -euo pipefail
cd "$(dirname "$0")/.."

glibc=2.34
# The versions that action.yml builds with.
zigbuild_version=0.24.0
zig_version=0.17.0
target="${CARGO_TARGET_DIR:-target}"
tools="$target/tools/zig"

declare -A triples=([x86_64]=x86_64-unknown-linux-gnu [arm64]=aarch64-unknown-linux-gnu)
architectures=("$@")
((${#architectures[@]})) || architectures=(x86_64 arm64)
for architecture in "${architectures[@]}"; do
    [[ -v "triples[$architecture]" ]] || {
        printf 'runtime: %s is no processor of Lambda: x86_64 or arm64\n' "$architecture" >&2
        exit 1
    }
done

if [[ ! -x "$tools/bin/cargo-zigbuild" ]]; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check "cargo-zigbuild==$zigbuild_version" "ziglang==$zig_version"
fi
PATH="$(cd "$tools/bin" && pwd):$PATH"

mkdir -p "$target/release"
for architecture in "${architectures[@]}"; do
    triple="${triples[$architecture]}"
    if command -v rustup >/dev/null; then
        rustup target add "$triple"
    fi
    cargo zigbuild --locked --release --bin pipectl-runtime --target "$triple.$glibc"
    install -m 755 "$target/$triple/release/pipectl-runtime" "$target/release/pipectl-runtime-$architecture"
    printf 'runtime: %s\n' "$target/release/pipectl-runtime-$architecture"
done
