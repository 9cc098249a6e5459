#!/usr/bin/env bash
# Installs the database servers that the tests start: MariaDB from this Debian, and a real MySQL (8.4 or newer), which
# Debian has in `unstable` only. That one is unpacked with every library it needs into a cache folder and runs with its
# own loader, so that nothing of this system changes. What is there stays as it is.
#
# Every package's sha256 is checked by apt against the archive's signed index. The version is not pinned: `unstable`
# keeps one version at a time, so a pin breaks within days. The folder's file `versions` says what was unpacked.
set -euo pipefail

say() { printf 'mysql: %s\n' "$*"; }
fail() {
    say "$*" >&2
    exit 1
}

cache="${XDG_CACHE_HOME:-$HOME/.cache}/pipectl/mysql"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror="${PIPECTL_DEBIAN_MIRROR:-http://deb.debian.org/debian}"

install_mariadb() {
    [[ -x /usr/sbin/mariadbd ]] && return
    command -v apt-get >/dev/null || fail "please install MariaDB's server (mariadbd)"
    local as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail "please install as root: apt-get install mariadb-server"
        as_root=(sudo)
    fi
    say "installing mariadb-server with apt; no service is started"
    "${as_root[@]}" apt-get update -qq
    # A policy that forbids starting services, for this installation only.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends mariadb-server-core mariadb-client-core >/dev/null
}

# An apt of its own: its lists, its cache and its (empty) idea of what is installed are all under $1.
apt_of_its_own() {
    local root=$1 architecture
    architecture=$(dpkg --print-architecture)
    mkdir -p "$root"/{state/lists/partial,cache/archives/partial}
    : >"$root/state/status"
    echo "deb [signed-by=$keyring] $mirror unstable main" >"$root/sources.list"
    cat >"$root/apt.conf" <<CONFIG
Dir::State "$root/state";
Dir::State::status "$root/state/status";
Dir::Cache "$root/cache";
Dir::Etc::sourcelist "$root/sources.list";
Dir::Etc::sourceparts "-";
APT::Architecture "$architecture";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
CONFIG
}

install_mysql() {
    [[ -n ${PIPECTL_TEST_MYSQLD:-} || -f "$cache/versions" ]] && return
    command -v apt-get >/dev/null && [[ -f $keyring ]] ||
        fail "a real MySQL comes from Debian's archive, which needs apt and debian-archive-keyring; install MySQL 8.4 or newer and set PIPECTL_TEST_MYSQLD to its mysqld"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    apt_of_its_own "$work/apt"
    say "unpacking Debian unstable's mysql-server-core into $cache (about 60 MB to download, once)"
    export APT_CONFIG="$work/apt/apt.conf"
    apt-get update -qq || fail "the index of $mirror unstable cannot be read; set PIPECTL_DEBIAN_MIRROR to a mirror that can"
    apt-get install -qq -y --no-install-recommends --download-only mysql-server-core >/dev/null ||
        fail "mysql-server-core cannot be downloaded from $mirror"
    mkdir -p "$work/root"
    local package
    for package in "$work"/apt/cache/archives/*.deb; do
        case "${package##*/}" in perl* | libperl* | gcc-* | libc-gconv*) continue ;; esac
        dpkg-deb --extract "$package" "$work/root"
        dpkg-deb --show "$package" >>"$work/root/versions"
    done
    unset APT_CONFIG
    rm -rf "$cache"
    mkdir -p "$(dirname "$cache")"
    mv "$work/root" "$cache"
}

install_mariadb
install_mysql
