#!/usr/bin/env bash
# Unpacks an older MySQL with the libraries it needs from Ubuntu's archive, and runs the tests of the runtime against it,
# and the random workload into the local Snowflake:
#
#     scripts/older-mysql.sh 5.7
#     scripts/older-mysql.sh 8.0
#
# `make test` runs them against the newest MySQL and MariaDB; this is not part of it, since it needs another archive than
# Debian's. The packages are named with their sha256 in tests/servers/mysql-*.sha256.
set -euo pipefail
cd "$(dirname "$0")/.."

version=${1:?"which one: 5.7 or 8.0"}
packages="$PWD/tests/servers/mysql-$version.sha256"
mirror="${PIPECTL_UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/pipectl/mysql-$version"

unpack() {
    local sum path
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    echo "older-mysql: unpacking MySQL $version from $mirror into $cache"
    while read -r sum path; do
        curl --fail --silent --show-error --retry 3 --output "$work/package.deb" "$mirror/$path"
        echo "$sum  $work/package.deb" | sha256sum --check --quiet
        dpkg-deb --extract "$work/package.deb" "$work/root"
    done <"$packages"
    # As on systems of today, all libraries are in one folder.
    cp -a "$work/root/lib/." "$work/root/usr/lib/"
    rm -rf "$work/root/lib" "$work/root/lib64"
    mkdir -p "$(dirname "$cache")"
    mv "$work/root" "$cache"
}

[[ $(uname -m) == x86_64 ]] || { echo "older-mysql: these packages are for x86_64" >&2; exit 1; }
[[ -d $cache ]] || unpack
scripts/setup.sh
export PIPECTL_TEST_MYSQL=$version
cargo test --locked --test cli workload::tables_equal_their_mysql
cargo test --locked --no-fail-fast --test runtime_extract --test runtime_binlog -- --skip mariadb
