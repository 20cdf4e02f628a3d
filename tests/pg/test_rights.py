"""What a role may not read: found before a dump, named with the cure, and readable once the cure was taken."""

from __future__ import annotations

from typing import Any

import pytest

from kleidia_backup.stages.errors import DatabaseForbidden
from kleidia_backup.stages.pg.server.preflight import check_backup

pytestmark = pytest.mark.anyio

#: A table and a sequence that belong to an extension and whose rows a dump takes: what pg_cron and others do.
CONFIGURATION = (
    "CREATE EXTENSION citext",
    "CREATE SCHEMA jobs",
    "CREATE TABLE jobs.job (id int, note text)",
    "CREATE SEQUENCE jobs.job_id",
    "INSERT INTO jobs.job VALUES (1, 'configured')",
    "ALTER EXTENSION citext ADD TABLE jobs.job",
    "ALTER EXTENSION citext ADD SEQUENCE jobs.job_id",
    (
        "UPDATE pg_extension SET extconfig = ARRAY['jobs.job'::regclass, 'jobs.job_id'::regclass], "
        "extcondition = ARRAY['', ''] WHERE extname = 'citext'"
    ),
)


async def test_large_objects_of_others_are_named_and_the_cure_works(db: Any, make_role: Any) -> None:
    """pg_read_all_data does not cover them; the setting for the role does."""
    name, theirs = make_role(db)
    db.execute(f"GRANT pg_read_all_data TO {name}")
    await check_backup(theirs.settings)
    numbers = [row[0] for row in db.query("SELECT lo_from_bytea(0, 'canary') FROM generate_series(1, 7)")]
    db.execute(f"GRANT SELECT ON LARGE OBJECT {numbers[0]} TO PUBLIC")
    with pytest.raises(DatabaseForbidden) as caught:
        await check_backup(theirs.settings)
    shown = ", ".join(map(str, sorted(numbers[1:])[:5]))
    assert f'The role "{name}" cannot read 6 large objects ({shown}, …).' in caught.value.message
    assert f'ALTER ROLE "{name}" SET lo_compat_privileges = on' in caught.value.hint
    assert "pg_read_all_data TO" not in caught.value.hint  # that is there
    db.execute(f"ALTER ROLE {name} SET lo_compat_privileges = on")
    await check_backup(theirs.settings)
    assert b"lo_open" in b"".join(await theirs.dump())


async def test_granting_each_large_object_is_enough(db: Any, make_role: Any) -> None:
    """To the role itself or to one that it is a member of."""
    name, theirs = make_role(db)
    number = db.value("SELECT lo_from_bytea(0, 'canary')")
    with pytest.raises(DatabaseForbidden, match=rf"1 large object \({number}\)\."):
        await check_backup(theirs.settings)
    db.execute(f"GRANT SELECT ON LARGE OBJECT {number} TO {name}")
    await check_backup(theirs.settings)
    assert b"lo_open" in b"".join(await theirs.dump())


async def test_configuration_of_extensions_is_read_and_so_its_rights_are_asked(db: Any, make_role: Any) -> None:
    """Tables and sequences that an extension marks for dumping; other members are nobody's business."""
    name, theirs = make_role(db)
    db.execute(*CONFIGURATION)
    with pytest.raises(DatabaseForbidden) as caught:
        await check_backup(theirs.settings)
    for missing in ("schema jobs", "table jobs.job", "sequence jobs.job_id"):
        assert missing in caught.value.message
    db.execute(f"GRANT pg_read_all_data TO {name}")
    await check_backup(theirs.settings)
    assert b"configured" in b"".join(await theirs.dump())


async def test_rows_of_a_configuration_table_behind_row_security(db: Any, make_role: Any) -> None:
    """As pg_cron's table of jobs has it."""
    name, theirs = make_role(db)
    db.execute(*CONFIGURATION, "ALTER TABLE jobs.job ENABLE ROW LEVEL SECURITY", f"GRANT pg_read_all_data TO {name}")
    with pytest.raises(DatabaseForbidden, match=rf'jobs.job \(row security\).*ALTER ROLE "{name}" BYPASSRLS'):
        await check_backup(theirs.settings)
    db.execute(f"ALTER ROLE {name} BYPASSRLS")
    await check_backup(theirs.settings)
    assert b"configured" in b"".join(await theirs.dump())


async def test_row_security_of_tables_whose_rows_are_not_read_is_no_matter(db: Any, make_role: Any) -> None:
    """Preserved tables, the audit log when it is left out, their partitions; and a partitioned table has no rows."""
    name, theirs = make_role(db)
    db.execute(
        f"GRANT CREATE ON SCHEMA public TO {name}",
        f"SET ROLE {name}; CREATE TABLE backup_jobs (id int); ALTER TABLE backup_jobs ENABLE ROW LEVEL SECURITY;"
        "ALTER TABLE backup_jobs FORCE ROW LEVEL SECURITY;"
        "CREATE TABLE audit_logs (at date) PARTITION BY RANGE (at); ALTER TABLE audit_logs FORCE ROW LEVEL SECURITY;"
        "ALTER TABLE audit_logs ENABLE ROW LEVEL SECURITY;"
        "CREATE TABLE audit_1 PARTITION OF audit_logs DEFAULT; INSERT INTO audit_1 VALUES ('2026-01-01')",
    )
    await check_backup(theirs.settings)
    assert b"2026-01-01" in b"".join(await theirs.dump())
    db.execute("ALTER TABLE audit_1 ENABLE ROW LEVEL SECURITY", "ALTER TABLE audit_1 FORCE ROW LEVEL SECURITY")
    with pytest.raises(DatabaseForbidden, match=r"cannot read table public.audit_1 \(row security\)"):
        await check_backup(theirs.settings)
    await check_backup(theirs.settings, include_audit=False)
    assert b"2026-01-01" not in b"".join(await theirs.dump(include_audit=False))
