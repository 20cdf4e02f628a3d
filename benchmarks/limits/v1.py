"""What archives of format V1 must reach, and what has no format: the vault, the service, the command, the engine."""

from __future__ import annotations

from .limit import BARE_TWO, Limit

_BARE_LOOP = "the same requests in a bare aiohttp loop, 20 workers, nothing kept"

V1: dict[str, Limit] = {
    "backup_50000": Limit(
        what="full backup, 50,000 keys",
        reference="the specification: 5–7 min",
        unit="s",
        must=60,
        full_only=True,
    ),
    "backup_sum": Limit(what="full backup", reference=BARE_TWO, unit="× its time", must=1.3, aim=1.15),
    "restore_50000": Limit(
        what="full restore into an empty vault, 50,000 keys",
        reference="the specification: 7–10 min",
        unit="s",
        must=120,
        full_only=True,
    ),
    "restore_sum": Limit(
        what="full restore into an empty vault", reference=BARE_TWO, unit="× its time", must=1.3, aim=1.15
    ),
    "backup_1000": Limit(
        what="full backup, 1,000 keys", reference="the specification: 15–20 s", unit="s", must=15 / 4, aim=1.5, room=1
    ),
    "restore_1000": Limit(
        what="full restore, 1,000 keys", reference="the specification: 20–30 s", unit="s", must=5, aim=2, room=1
    ),
    "backup_10000": Limit(
        what="full backup, 10,000 keys", reference="the specification: 1–2 min", unit="s", must=15, aim=6, room=1
    ),
    "restore_10000": Limit(
        what="full restore, 10,000 keys", reference="the specification: 2–3 min", unit="s", must=30, aim=12, room=1
    ),
    "vault_read": Limit(
        what="vault read (LIST and GET of the whole tree)",
        reference=_BARE_LOOP,
        unit="of its rate",
        must=0.85,
        aim=0.95,
        at_least=True,
    ),
    "vault_write": Limit(
        what="vault write into an empty mount",
        reference=_BARE_LOOP.replace("requests", "writes"),
        unit="of its rate",
        must=0.85,
        aim=0.95,
        at_least=True,
    ),
    "unchanged": Limit(
        what="restore over an unchanged vault",
        reference="restore into an empty one",
        unit="× as fast",
        must=2.3,
        at_least=True,
        guard=1.9,
    ),
    "dump": Limit(
        what="database backup, to a directory",
        reference="`pg_dump >/dev/null`",
        unit="× its time",
        must=1.6,
        guard=1.95,
    ),
    "pipe": Limit(
        what="the same",
        reference="`pg_dump \\| gzip \\| openssl enc -aes-256-ctr` to a file",
        unit="× as fast",
        must=3,
        at_least=True,
        guard=2,
    ),
    "pipe_size": Limit(what="its archive", reference="the file of that pipe", unit="of its size", must=1.1, room=1),
    "psql": Limit(
        what="database restore",
        reference="`psql -1 -f` of the plain file",
        unit="× its time",
        must=1.5,
        guard=2,
    ),
    "verify": Limit(
        what="verify",
        reference="`openssl enc -d \\| gunzip >/dev/null`",
        unit="× as fast",
        must=1,
        aim=2,
        at_least=True,
    ),
    "memory_backup": Limit(what="peak RSS of a backup", unit="MiB", must=200, aim=160, room=1),
    "memory_restore": Limit(what="peak RSS of a restore", unit="MiB", must=200, aim=160, room=1),
    "growth_sql_backup": Limit(
        what="growth of a backup's peak RSS with ten times the SQL", unit="MiB", must=16, aim=0, room=1
    ),
    "growth_sql_restore": Limit(
        what="growth of a restore's peak RSS with ten times the SQL", unit="MiB", must=16, aim=0, room=1
    ),
    "growth_keys_backup": Limit(
        what="growth of a backup's peak RSS with fifty times the secrets", unit="MiB", must=16, aim=0, room=1
    ),
    "growth_keys_restore": Limit(
        what="growth of a restore's peak RSS with fifty times the secrets", unit="MiB", must=16, aim=0, room=1
    ),
    "million_memory": Limit(
        what="backup of one million secrets: growth of peak RSS",
        reference="50,000 secrets",
        unit="MiB",
        must=16,
        room=1,
    ),
    "million_rate": Limit(
        what="its rate in the second half",
        reference="its rate in the first half",
        unit="of the first half's",
        must=0.95,
        at_least=True,
        room=1.1,
    ),
    "million_restore_memory": Limit(
        what="restore of one million secrets: growth of peak RSS",
        reference="50,000 secrets",
        unit="MiB",
        must=16,
        room=1,
    ),
    "million_restore_rate": Limit(
        what="its rate in the second half",
        reference="its rate in the first half",
        unit="of the first half's",
        must=0.95,
        at_least=True,
        room=1.1,
    ),
    "polling": Limit(
        what="backup while 200 clients ask, each every second, for the running jobs or for this one",
        reference="the same backup by the same service, nobody asking",
        unit="× its time",
        must=1.1,
        room=1,
    ),
    "page_first": Limit(
        what="the page's first view: History of 10,000 jobs, and its four files after it",
        unit="ms",
        must=100,
        aim=50,
        room=1,
    ),
    "page_many": Limit(
        what="History of 10,000 jobs, its newest page and one in the middle",
        reference="the newest page of 200 jobs, which shows as much",
        unit="× its time",
        must=1.2,
        room=1.1,
    ),
    "page_ten": Limit(
        what="the same",
        reference="the page of ten jobs, which shows ten rows instead of 50, and ten bars instead of 90",
        unit="× its time",
        must=1.4,
        aim=1.2,
        room=1.1,
    ),
    "neighbour_vault": Limit(
        what="another client's p99 at the vault during a backup",
        reference="the same with `adaptive = false`",
        unit="× its time",
        must=1,
        aim=0.6,
        room=1.1,
    ),
    "neighbour_vault_rate": Limit(
        what="the same with `max_rate`, for a backup of 50 seconds",
        reference="the same while nothing runs",
        unit="× its time",
        must=4,
        aim=2,
    ),
    "adaptive": Limit(
        what="backup of the vault with as many requests at once as the server works on",
        reference="the same with `adaptive = false`",
        unit="× its time",
        must=1.25,  # our own process needs the same two processors as the server, and waits for them as for it
        room=1.1,
    ),
    "neighbour_database": Limit(
        what="another client's p99 at the database during a backup with `nice = 19` and `max_rate`, of 15 seconds",
        reference="the same without",
        unit="× its time",
        must=1,
        aim=0.6,
        room=1.1,
    ),
    "help": Limit(
        what="`kleidia-backup --help`, beyond", reference="`python -c pass`", unit="s", must=0.25, aim=0.1, room=1.3
    ),
    "engine": Limit(
        what="engine: 10 GB of 1 MiB chunks through five stages that do nothing",
        unit="GB/s",
        must=5,
        aim=10,
        at_least=True,
    ),
}
