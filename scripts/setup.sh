#!/usr/bin/env bash
# Installs what the tests need and this machine lacks: Debian packages, the Python environment .venv, and cargo-deny.
# What is there stays as it is, so a second run takes no time.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo_deny_version=0.20.2
tools="${XDG_CACHE_HOME:-$HOME/.cache}/pipectl/tools"

say() { printf 'setup: %s\n' "$*"; }
fail() {
    say "$*" >&2
    exit 1
}

install_packages() {
    local packages=()
    command -v cc >/dev/null || packages+=(gcc libc6-dev)
    if ! command -v python3 >/dev/null; then
        packages+=(python3 python3-venv)
    elif ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        packages+=(python3-venv)
    fi
    # The tests of the CI examples stand in for GitHub, whose command line has jq built in.
    command -v jq >/dev/null || packages+=(jq)
    command -v git >/dev/null || packages+=(git)
    # In the local cloud a server of this machine stands in for RDS. These two packages start no service.
    command -v mariadbd >/dev/null || packages+=(mariadb-server-core)
    command -v mariadb >/dev/null || packages+=(mariadb-client-core)
    ((${#packages[@]})) || return 0
    command -v apt-get >/dev/null || fail "please install: ${packages[*]}"
    local as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail "please install as root: apt-get install ${packages[*]}"
        as_root=(sudo)
    fi
    say "installing ${packages[*]} with apt"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
}

check_rust() {
    command -v cargo >/dev/null || fail "cargo is missing; install Rust from https://rustup.rs"
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return
    command -v rustup >/dev/null || fail "cargo fmt or cargo clippy is missing; install both components of your Rust"
    say "adding rustfmt and clippy with rustup"
    rustup component add rustfmt clippy
}

# The environment is made anew when the pinned packages or Python change.
make_environment() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed"
    local pinned=(local/requirements.txt local/requirements-test.txt) stamp
    stamp="$(python3 --version) $(cat "${pinned[@]}" | sha256sum)"
    [[ -f .venv/stamp && "$(<.venv/stamp)" == "$stamp" ]] && return
    say "making .venv from ${pinned[*]}"
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
        "${pinned[@]/#/--requirement=}"
    printf '%s\n' "$stamp" >.venv/stamp
}

# Built with little optimisation: it takes a minute instead of several, and then half a second per check.
install_cargo_deny() {
    local root="$tools/cargo-deny-$cargo_deny_version"
    if [[ ! -x "$root/bin/cargo-deny" ]]; then
        say "building cargo-deny $cargo_deny_version (about a minute, once)"
        CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
            cargo install --quiet --locked --root "$root" --version "$cargo_deny_version" cargo-deny
    fi
    mkdir -p target/tools
    ln -sfn "$root/bin/cargo-deny" target/tools/cargo-deny
}

install_packages
check_rust
make_environment
install_cargo_deny
scripts/mysql.sh
