"""What archives of format V2 must reach. The times are those of the whole command, from its start to its end.

The short form's database is dumped in half a second, and starting the command takes as long: its guards are for that.
"""

from __future__ import annotations

from .limit import BARE_TWO, Limit

V2: dict[str, Limit] = {
    "backup_sum_v2": Limit(what="full backup", reference=BARE_TWO, unit="× its time", must=1.1, aim=1.05),
    "restore_sum_v2": Limit(
        what="full restore into an empty vault", reference=BARE_TWO, unit="× its time", must=1.15, aim=1.05
    ),
    "dump_zstd_v2": Limit(
        what="database backup, to a directory",
        reference="`pg_dump \\| zstd -1 \\| openssl enc -aes-256-ctr` to a file",
        unit="× its time",
        must=1.1,
        aim=0.95,
        guard=4,
    ),
    "dump_v2": Limit(
        what="the same",
        reference="`pg_dump >/dev/null`",
        unit="× its time",
        must=1.35,
        aim=1.2,
        guard=4.5,
    ),
    "pipe_v2": Limit(
        what="the same",
        reference="`pg_dump \\| gzip \\| openssl enc -aes-256-ctr` to a file",
        unit="× as fast",
        must=3.8,
        aim=5,
        at_least=True,
        guard=1,
    ),
    "pipe_size_v2": Limit(
        what="its archive", reference="the file of that pipe", unit="of its size", must=0.95, aim=0.85, room=1
    ),
    "psql_zstd_v2": Limit(
        what="database restore",
        reference="`openssl enc -d \\| zstd -d \\| psql -1`",
        unit="× its time",
        must=1.05,
        aim=0.95,
        guard=3,
    ),
    "psql_v2": Limit(
        what="the same",
        reference="`psql -1 -f` of the plain file",
        unit="× its time",
        must=1.15,
        aim=1,
        guard=3,
    ),
    "verify_v2": Limit(
        what="verify",
        reference="`openssl enc -d \\| gunzip >/dev/null`",
        unit="× as fast",
        must=2,
        aim=4,
        at_least=True,
        guard=0.3,
    ),
    "dry_run_v2": Limit(what="dry run of that archive, from a directory", unit="s", must=1, aim=0.3),
    "dry_run_s3_v2": Limit(what="dry run of that archive, over S3", unit="s", must=1, aim=0.3, guard=2),
    "table_v2": Limit(
        what="restore of one table of 1 MB out of a database of 1 GB, from a directory", unit="s", must=3, aim=1.5
    ),
    "table_s3_v2": Limit(
        what="restore of one table of 1 MB out of a database of 1 GB, over S3", unit="s", must=3, aim=1.5, guard=5
    ),
    "table_read_v2": Limit(
        what="what it reads of the archive, without the index and with the table", unit="MiB", must=4, aim=2, room=1
    ),
    "secret_v2": Limit(
        what="restore of one secret out of 1 GB and 50,000 secrets, from a directory", unit="s", must=1, aim=0.6
    ),
    "secret_s3_v2": Limit(
        what="restore of one secret out of 1 GB and 50,000 secrets, over S3", unit="s", must=1, aim=0.8, guard=2
    ),
    "secret_read_v2": Limit(what="what it reads of the archive, without the index", unit="MiB", must=2, aim=1, room=1),
    "parallel_v2": Limit(
        what="database backup by 4 jobs, 50 MB/s for each connection",
        reference="by one job, likewise",
        unit="× as fast",
        must=3,
        aim=3.8,
        at_least=True,
        guard=1.2,
    ),
    "incremental_leaves_requests_v2": Limit(
        what="incremental read of 50,000 secrets that did not change, in a folder each",
        reference="the requests of a full read",
        unit="of its requests",
        must=0.6,
        room=1,
    ),
    "incremental_leaves_v2": Limit(what="the same", reference="the full read", unit="× its time", must=0.6, guard=1.2),
    "incremental_folders_requests_v2": Limit(
        what="incremental read of 50,000 secrets that did not change, in folders of 1,000",
        reference="the requests of a full read",
        unit="of its requests",
        must=0.1,
        room=1,
    ),
    "incremental_folders_v2": Limit(what="the same", reference="the full read", unit="× its time", must=0.1, guard=0.5),
    "memory_backup_v2": Limit(what="peak RSS of a backup", unit="MiB", must=160, aim=130, room=1),
    "memory_restore_v2": Limit(what="peak RSS of a restore", unit="MiB", must=160, aim=130, room=1),
    "growth_backup_v2": Limit(
        what="growth of a backup's peak RSS with ten times the SQL and the secrets", unit="MiB", must=8, aim=0, room=1
    ),
    "growth_restore_v2": Limit(
        what="growth of a restore's peak RSS with ten times the SQL and the secrets", unit="MiB", must=8, aim=0, room=1
    ),
    "million_memory_v2": Limit(
        what="backup of one million secrets: growth of peak RSS",
        reference="50,000 secrets",
        unit="MiB",
        must=8,
        aim=0,
        room=1,
    ),
    "million_rate_v2": Limit(
        what="its rate in the second half",
        reference="its rate in the first half",
        unit="of the first half's",
        must=0.95,
        at_least=True,
        room=1.1,
    ),
    "million_restore_memory_v2": Limit(
        what="restore of one million secrets: growth of peak RSS",
        reference="50,000 secrets",
        unit="MiB",
        must=8,
        aim=0,
        room=1,
    ),
    "million_restore_rate_v2": Limit(
        what="its rate in the second half",
        reference="its rate in the first half",
        unit="of the first half's",
        must=0.95,
        at_least=True,
        room=1.1,
    ),
}
