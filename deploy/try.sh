#!/usr/bin/env bash
# Builds the image and tries it, as CI does, where no registry of images is needed nor asked:
#
#     deploy/try.sh [PYTHON]
#
# PYTHON has the test dependencies (default: .venv/bin/python). The base is a Debian that debootstrap makes, with Debian's own
# PostgreSQL, and podman runs everything, with its images in a directory that is removed at the end. Two replicas run as in
# kubernetes/base, against servers in containers too, and one of them is killed (tests/images); then some tests of the
# suite run against servers in containers (tests/containers.py). It needs root, and installs what is missing, on Debian and
# Ubuntu. Where no container runs at all it says so and ends with 3: that is the machine's, and says nothing of the image. What pip is configured with here counts for the build too: it is mounted there, and is no part of the image.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}

if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then exec sudo -n --preserve-env "$PWD/deploy/try.sh" "$python"; fi
    echo "THE IMAGE WAS NOT TRIED: that needs root (or KLEIDIA_TEST_WITHOUT_CONTAINERS=1 for .ci/run, which then says so)" >&2
    exit 1
fi
missing=()
for program in podman runc conmon iptables debootstrap; do
    command -v "$program" >/dev/null || missing+=("$program")
done
[ -d /usr/lib/cni ] || [ -d /usr/libexec/podman ] || missing+=(containernetworking-plugins)
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || { echo "THE IMAGE WAS NOT TRIED: install ${missing[*]}" >&2; exit 1; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        "${missing[@]}" containernetworking-plugins debian-archive-keyring >/dev/null ||
        { echo "THE IMAGE WAS NOT TRIED: ${missing[*]} cannot be installed" >&2; exit 3; }
fi

suite=trixie major=17 # the release of the Dockerfile's own base, and its PostgreSQL
work=$(mktemp -d)
service=
cleanup() {
    status=$?
    set +e
    [ -z "$service" ] || kill "$service"
    "${podman[@]}" rm -af >/dev/null 2>&1
    "${podman[@]}" network prune -f >/dev/null 2>&1
    # Who watched over commands inside of containers would stay for minutes.
    for each in /proc/[0-9]*; do
        if tr '\0' ' ' 2>/dev/null <"$each/cmdline" | grep -q "conmon .*$work/"; then kill "${each#/proc/}"; fi
    done
    # The innermost mounts first. One that is still in use for a moment goes away when it is not.
    awk -v below="$work/" 'index($2, below) == 1 { print $2 }' /proc/mounts | tac | while read -r each; do
        umount "$each" 2>/dev/null || umount --lazy "$each"
    done
    rm -rf "$work" || { sleep 5 && rm -rf "$work"; }
    # What is left of a directory says nothing of the image.
    exit "$status"
}
podman=(podman --root "$work/store" --runroot "$work/run")
trap cleanup EXIT
cat >"$work/containers.conf" <<'END'
[containers]
default_ulimits = []
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
END
export CONTAINERS_CONF=$work/containers.conf

# The base, which has "python" as the official image does.
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$work/root" >"$work/debootstrap.log" ||
    { tail -20 "$work/debootstrap.log" >&2; echo "THE IMAGE WAS NOT TRIED: there is no Debian for its base" >&2; exit 3; }
ln -s /usr/bin/python3 "$work/root/usr/local/bin/python"
tar -C "$work/root" -c . | "${podman[@]}" import - localhost/base >/dev/null 2>&1
rm -rf "$work/root"
"${podman[@]}" run --rm --network none localhost/base true ||
    { echo "THE IMAGE WAS NOT TRIED: podman runs no container on this machine" >&2; exit 3; }

# pip's configuration in a file of its own, and the files and directories that it names; both are mounted for the build alone.
"$python" -m pip config list >"$work/pip.list"
"$python" - "$work" <<'END'
import ast, collections, pathlib, re, sys
work = pathlib.Path(sys.argv[1])
said = collections.defaultdict(dict)
for line in (work / "pip.list").read_text().splitlines():
    name, _, value = line.partition("=")
    said["global" if name.startswith(":env:") else name.partition(".")[0]][name.rpartition(".")[2]] = ast.literal_eval(value)
text = [f"[{section}]\n" + "".join(f"{k} = {' '.join(v.split())}\n" for k, v in keys.items()) for section, keys in said.items()]
(work / "pip.conf").write_text("".join(text))
paths = {part.removeprefix("file://") for keys in said.values() for v in keys.values() for part in v.split()}
there = {pathlib.Path(path) for path in paths if path.startswith("/") and pathlib.Path(path).exists()}
# An index in a directory may refer to files beside it.
there = {each.parent if each.is_dir() and each.name == "simple" else each for each in there}
(work / "mounts").write_text("".join(f"--volume={each}:{each}:ro\n" for each in sorted(there)))
END
mapfile -t mounts <"$work/mounts"

build=("${podman[@]}" build --format docker --isolation=chroot --quiet --jobs 3 --build-arg BASE=localhost/base)
"${build[@]}" --volume "$work/pip.conf:/etc/pip.conf:ro" "${mounts[@]}" --build-arg PG_MAJOR=$major --build-arg PGDG= \
    --ignorefile deploy/Dockerfile.dockerignore -f deploy/Dockerfile -t localhost/kleidia-backup . >"$work/image.log" 2>&1 &
image=$!
mkdir "$work/servers"
cp tests/images/Dockerfile tests/images/servers.sh "$work/servers"
"$python" - "$work/servers" <<'END'
import shutil, sys
from kleidia_backup.demo.servers import openbao, s3
shutil.copy(openbao.binary(), f"{sys.argv[1]}/bao")
shutil.copy(s3.binary(), f"{sys.argv[1]}/rclone")
END
"${build[@]}" -t localhost/servers "$work/servers" >"$work/servers.log" 2>&1 || { tail -50 "$work/servers.log" >&2; exit 1; }
wait $image || { tail -50 "$work/image.log" >&2; exit 1; }

socket=$work/podman.sock
"${podman[@]}" system service --time=0 "unix://$socket" 2>"$work/service.log" &
service=$!
for _ in $(seq 300); do [ ! -S "$socket" ] || break; sleep 0.1; done
export DOCKER_HOST=unix://$socket TESTCONTAINERS_RYUK_DISABLED=true TESTCONTAINERS_CONNECTION_MODE=docker_host
export KLEIDIA_TEST_IMAGE=localhost/kleidia-backup KLEIDIA_TEST_SERVERS_IMAGE=localhost/servers
export KLEIDIA_TEST_POSTGRES_IMAGE=localhost/servers KLEIDIA_TEST_OPENBAO_IMAGE=localhost/servers
export PYTHONDONTWRITEBYTECODE=1 # nothing of root's stays in the checkout
"$python" -m pytest -q -p no:cacheprovider -m containers tests/images
# PostgreSQL and OpenBao in containers, S3 as always: whole backups and restores.
KLEIDIA_TEST_CONTAINERS=postgres,openbao "$python" -m pytest -q -p no:cacheprovider tests/pipelines/test_round_trip.py
echo "the image was built and tried"
