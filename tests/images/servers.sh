# One server, named by the first word: postgres (with POSTGRES_PASSWORD), server (OpenBao with BAO_LOCAL_CONFIG), or s3 (rclone
# with RCLONE_AUTH_KEY, over /data, where every further word is a bucket).
set -eu
case $1 in
postgres)
    PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
    as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
    data=/var/lib/postgresql/data
    echo "$POSTGRES_PASSWORD" >/tmp/password
    as initdb -D $data -U postgres --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 --pwfile=/dev/stdin </tmp/password >/dev/null
    rm /tmp/password
    echo "host all all all scram-sha-256" >>$data/pg_hba.conf
    cd /
    # Once without TCP, as the official image does to set it up; who waits for the server waits for the second time.
    as pg_ctl -D $data -w -o "-c listen_addresses=" start
    as pg_ctl -D $data -w -m fast stop
    exec setpriv --reuid=postgres --regid=postgres --init-groups \
        "$(command -v postgres)" -D $data -c listen_addresses='*' -c fsync=off
    ;;
server)
    mkdir -p /openbao/file
    echo "$BAO_LOCAL_CONFIG" >/openbao/local.json
    exec bao server -config=/openbao/local.json
    ;;
s3)
    shift
    for bucket; do mkdir -p "/data/$bucket"; done
    exec rclone serve s3 --addr :9000 --config /tmp/rclone.conf /data
    ;;
esac
