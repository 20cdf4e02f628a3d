"""Foreign keys after a restore: whatever belongs to one comes back, and rows that break one do not end it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kleidia_backup.stages.errors import RestoreFailed

from .test_preserve import JOBS, USERS, kept, valid

pytestmark = pytest.mark.anyio

BROKEN = (
    "CREATE TABLE parent (id int PRIMARY KEY)",
    "CREATE TABLE child (id int, p int CONSTRAINT child_p REFERENCES parent ON DELETE CASCADE DEFERRABLE)",
    "INSERT INTO parent VALUES (1)",
    "SET session_replication_role = replica",
    "INSERT INTO child VALUES (1, 1), (2, 2)",
    "COMMENT ON CONSTRAINT child_p ON child IS 'why'",
    "CREATE TABLE fine (p int CONSTRAINT fine_p REFERENCES parent)",
    "INSERT INTO fine VALUES (1)",
    "CREATE TABLE loose (p int)",
    "ALTER TABLE loose ADD CONSTRAINT loose_p FOREIGN KEY (p) REFERENCES parent NOT VALID",
    "ALTER TABLE loose ADD CONSTRAINT never FOREIGN KEY (p) REFERENCES parent NOT ENFORCED",
)
COMMENTS = "SELECT conname, obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE contype = 'f' ORDER BY 1"


@pytest.mark.parametrize("where", ["over itself", "into an empty database"])
async def test_rows_that_break_a_key_of_the_archive(db: Any, other: Any, where: str) -> None:
    """The catalog called it valid: it comes back NOT VALID, with all rows and a warning that names table and key."""
    db.execute(*BROKEN)
    target = db if where == "over itself" else other
    chunks, text = await db.dump(), db.text("-s")
    session = await target.restore(chunks)
    assert target.query("SELECT id, p FROM child ORDER BY 1") == [(1, 1), (2, 2)]
    assert valid(target) == {"child_p": False, "fine_p": True, "loose_p": False, "never": False}
    assert dict(target.query(COMMENTS))["child_p"] == "why"
    (warning,) = session.report.warnings
    assert warning.startswith("The foreign key child_p of public.child is NOT VALID now: some rows refer to")
    assert "ALTER TABLE public.child VALIDATE CONSTRAINT child_p" in warning
    assert target.text("-s") == re.sub(r"(child_p FOREIGN KEY .*);", r"\1 NOT VALID;", text)


async def test_rows_that_break_a_key_of_a_partitioned_table(db: Any, other: Any) -> None:
    """From version 18 on as with any; before, such a key can only be valid, and the warning says how to make it."""
    db.execute(
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "CREATE TABLE child (id int, p int) PARTITION BY RANGE (id)",
        "CREATE TABLE child1 PARTITION OF child FOR VALUES FROM (0) TO (10)",
        "ALTER TABLE child ADD CONSTRAINT child_p FOREIGN KEY (p) REFERENCES parent",
        "SET session_replication_role = replica",
        "INSERT INTO child VALUES (1, 1)",
    )
    session = await other.restore(await db.dump())
    assert other.query("SELECT * FROM child") == [(1, 1)]
    (warning,) = session.report.warnings
    assert warning.startswith("The foreign key child_p of public.child is ")
    if other.value("SHOW server_version_num") >= "180000":
        assert valid(other) == {"child_p": False}
    else:
        assert "ALTER TABLE public.child ADD CONSTRAINT child_p" in warning


async def test_a_key_of_the_archive_that_cannot_be_made_ends_the_restore(db: Any) -> None:
    """For another reason than its rows: what the archive has must come back."""
    db.execute("CREATE TABLE parent (id int)", "CREATE TABLE child (p int)")
    chunks = await db.dump()
    key = b"ALTER TABLE ONLY public.child ADD CONSTRAINT k FOREIGN KEY (p) REFERENCES public.parent(id);\n"
    with pytest.raises(RestoreFailed, match="no unique constraint"):
        await db.restore([*chunks, key])


@pytest.mark.parametrize("name", ["f_fk", "Ünï; 'k' \"x\"\\"], ids=["plain", "odd"])
async def test_what_belongs_to_a_key_into_a_preserved_table(db: Any, other: Any, name: str) -> None:
    """Its comment, in every place that a restore can go to."""
    quoted = '"' + name.replace('"', '""') + '"'
    db.execute(
        "CREATE TABLE backup_jobs (id int PRIMARY KEY)",
        f"CREATE TABLE f (j int CONSTRAINT {quoted} REFERENCES backup_jobs)",
        f"COMMENT ON CONSTRAINT {quoted} ON f IS 'it''s \\ why'",
    )
    chunks, text = await db.dump(), db.text("-s")
    for target in (db, other, db):
        session = await target.restore(chunks)
        assert session.report.warnings == []
        assert target.text("-s") == text


async def test_what_belongs_to_a_key_of_a_preserved_table(db: Any) -> None:
    """Today's comment stays, not the archive's; the audit table's as well when the archive has no audit log."""
    db.execute(
        *USERS,
        JOBS.format(""),
        "CREATE TABLE audit_logs (id int PRIMARY KEY, who int CONSTRAINT audit_who REFERENCES users)",
        "COMMENT ON CONSTRAINT audit_who ON audit_logs IS 'old'",
        "COMMENT ON CONSTRAINT backup_jobs_triggered_by_fkey ON backup_jobs IS 'old'",
        "CREATE TABLE audit_notes (a int CONSTRAINT note_of REFERENCES audit_logs)",
        "COMMENT ON CONSTRAINT note_of ON audit_notes IS 'a note'",
    )
    chunks = await db.dump(include_audit=False)
    db.execute(
        "COMMENT ON CONSTRAINT audit_who ON audit_logs IS 'new'",
        "COMMENT ON CONSTRAINT backup_jobs_triggered_by_fkey ON backup_jobs IS NULL",
    )
    before = kept(db, "audit_logs"), kept(db, "backup_jobs")
    session = await db.restore(chunks, preserve=(*db.settings.preserve, *db.settings.audit))
    assert (kept(db, "audit_logs"), kept(db, "backup_jobs")) == before
    assert db.query(COMMENTS) == [
        ("audit_who", "new"),
        ("backup_jobs_triggered_by_fkey", None),
        ("note_of", "a note"),
    ]
    assert session.report.warnings == []


async def test_what_belongs_to_a_key_of_a_table_that_the_archive_lacks(db: Any) -> None:
    """Comment, what it does on a delete, when it is checked, and triggers that are off: all as before."""
    db.execute(*USERS)
    chunks = await db.dump()
    db.execute(
        "CREATE TABLE later (id int PRIMARY KEY, u int CONSTRAINT later_u REFERENCES users ON DELETE SET NULL)",
        "COMMENT ON CONSTRAINT later_u ON later IS 'why'",
        "ALTER TABLE later ALTER CONSTRAINT later_u DEFERRABLE INITIALLY DEFERRED",
        "CREATE TABLE quiet (u int CONSTRAINT quiet_u REFERENCES later)",
        "ALTER TABLE quiet DISABLE TRIGGER ALL",
        "ALTER TABLE later DISABLE TRIGGER ALL",
    )
    states = (
        "SELECT f.conname, t.tgrelid::regclass::text, t.tgfoid::regproc::text, t.tgenabled FROM pg_constraint f"
        " JOIN pg_trigger t ON t.tgconstraint = f.oid WHERE f.contype = 'f' ORDER BY 1, 2, 3"
    )
    before, text = db.query(states), db.text("-s", "-t", "later", "-t", "quiet")
    assert {state for *_, state in before} == {"D", "O"}
    session = await db.restore(chunks)
    assert db.query(states) == before
    assert db.text("-s", "-t", "later", "-t", "quiet") == text
    assert session.report.warnings == []


async def test_a_partition_with_its_keys_triggers_off(db: Any, other: Any) -> None:
    """pg_dump names such a trigger by a number of the old database: it is told, and no reason to fail."""
    db.execute(
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "CREATE TABLE child (id int, p int REFERENCES parent) PARTITION BY RANGE (id)",
        "CREATE TABLE child1 PARTITION OF child FOR VALUES FROM (0) TO (10)",
        "ALTER TABLE child1 DISABLE TRIGGER ALL",
    )
    chunks = await db.dump()
    session = await other.restore(chunks)
    if b"RI_ConstraintTrigger" in b"".join(chunks):
        (warning,) = session.report.warnings
        assert 'trigger on "public"."child1" was switched off' in warning
    assert valid(other) == {"child_p_fkey": True}


async def test_a_key_is_tried_again(db: Any) -> None:
    """One that a restore left NOT VALID is valid after another whose rows fit; one that was always so stays so."""
    db.execute(*USERS, JOBS.format(""), "CREATE TABLE loose (u int)")
    db.execute("ALTER TABLE loose ADD CONSTRAINT loose_u FOREIGN KEY (u) REFERENCES users NOT VALID")
    chunks = await db.dump()
    db.execute("INSERT INTO users VALUES (77, 'new')", "INSERT INTO backup_jobs (triggered_by) VALUES (77)")
    await db.restore(chunks)
    assert valid(db) == {"backup_jobs_triggered_by_fkey": False, "loose_u": False}
    session = await db.restore(chunks)
    assert valid(db) == {"backup_jobs_triggered_by_fkey": False, "loose_u": False}
    assert session.report.warnings == []  # it was so before
    db.execute("UPDATE backup_jobs SET triggered_by = 1")
    session = await db.restore(chunks)
    assert valid(db) == {"backup_jobs_triggered_by_fkey": True, "loose_u": False}
    assert session.report.warnings == []
