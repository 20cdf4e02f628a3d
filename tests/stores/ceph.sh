#!/usr/bin/env bash
# A Ceph of one monitor, one disk in memory and one gateway (radosgw), for `pytest tests/stores -m endpoint`:
#
#     apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common ceph-base openssl
#     tests/stores/ceph.sh start DIRECTORY && source DIRECTORY/environment
#     .venv/bin/python -m pytest tests/stores -m endpoint
#     tests/stores/ceph.sh stop DIRECTORY
#
# As root, on loopback, with TLS from a CA of its own. Nothing that it stores outlives it.
set -euo pipefail
[ $# = 2 ] || { echo "usage: $0 start|stop DIRECTORY" >&2; exit 2; }

if [ "$1" = stop ]; then
    for file in "$2"/*.pid; do [ -e "$file" ] && kill "$(cat "$file")" 2>/dev/null || true; done
    exit 0
fi

umask 077
mkdir -p "$2"
here=$(cd "$2" && pwd)
[ -z "$(ls -A "$here")" ] || { echo "$here is not empty" >&2; exit 2; }
read -r monitor plain tls < <(python3 - <<'END'
import socket
taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(each.getsockname()[1] for each in taken))
END
)
id=$(cat /proc/sys/kernel/random/uuid)
key=$(openssl rand -hex 10) secret=$(openssl rand -hex 20)
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ceph -addext subjectAltName=IP:127.0.0.1 \
    -keyout "$here/key.pem" -out "$here/ca.pem" 2>/dev/null
cat "$here/key.pem" "$here/ca.pem" >"$here/server.pem"
export CEPH_CONF=$here/ceph.conf
cat >"$CEPH_CONF" <<END
[global]
fsid = $id
mon host = v2:127.0.0.1:$monitor
ms bind msgr1 = false
# The gateway asks for encryption to the monitor, which takes keys of Ceph's own, unless it is told otherwise.
ms mon client mode = crc
auth cluster required = none
auth service required = none
auth client required = none
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = $here
admin socket = $here/\$name.asok
pid file = $here/\$name.pid
log file = $here/\$name.log
crash dir = $here
mon data = $here/mon
mon allow pool size one = true
mon data avail crit = 1
osd data = $here/osd
osd objectstore = memstore
memstore device bytes = 8589934592
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
rgw data = $here/rgw
rgw frontends = beast endpoint=127.0.0.1:$plain ssl_endpoint=127.0.0.1:$tls ssl_certificate=$here/server.pem
END
mkdir "$here/mon" "$here/osd" "$here/rgw"
trap '"$0" stop "$here"' ERR
monmaptool --create --fsid "$id" --addv a "[v2:127.0.0.1:$monitor]" "$here/monmap" >/dev/null
ceph-mon --mkfs -i a --monmap "$here/monmap"
ceph-mon -i a
disk=$(cat /proc/sys/kernel/random/uuid)
timeout 60 ceph osd new "$disk" >/dev/null
ceph-osd -i 0 --mkfs --osd-uuid "$disk"
ceph-osd -i 0
radosgw -n client.rgw.a
until curl --silent --fail --cacert "$here/ca.pem" "https://127.0.0.1:$tls/" >/dev/null; do sleep 1; done
timeout 60 radosgw-admin user create --uid=tests --display-name=tests --access-key="$key" --secret-key="$secret" >/dev/null
cat >"$here/environment" <<END
export KLEIDIA_TEST_ENDPOINT=https://127.0.0.1:$tls KLEIDIA_TEST_ENDPOINT_CA_FILE=$here/ca.pem
export KLEIDIA_TEST_ENDPOINT_ACCESS_KEY=$key KLEIDIA_TEST_ENDPOINT_SECRET_KEY=$secret
export KLEIDIA_TEST_ENDPOINT_BUCKET=tests KLEIDIA_TEST_ENDPOINT_LOCK_BUCKET=locked
export KLEIDIA_TEST_ENDPOINT_NAME=ceph KLEIDIA_TEST_ENDPOINT_VERSION=$(radosgw --version | cut -d' ' -f3)
END
source "$here/environment"
"${PYTHON:-.venv/bin/python}" - <<'END'
from tests.stores import endpoint

for bucket in (endpoint.bucket(), endpoint.lock_bucket()):
    bucket.server.create_bucket(bucket.name, locks=bucket.name == "locked")
END
echo "ready: source $here/environment"
