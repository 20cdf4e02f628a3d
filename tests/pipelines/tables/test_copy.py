"""A copy of a table beside the one that is there."""

from __future__ import annotations

import pytest

from kleidia_backup.stages.errors import ConfigurationError

from ...archive_format import both_formats
from .lab import Lab

pytestmark = pytest.mark.anyio


@both_formats
async def test_a_copy_touches_nothing(lab: Lab) -> None:
    """It has its own sequence and indexes, and what was there is as before to the last byte of a dump."""
    await lab.backup()
    lab.sql("UPDATE users SET mood = 'good'")
    before = lab.dump()
    report = await lab.restore("public.users", copy="public.users_restored")
    assert (report.how, report.rows, report.warnings) == ("made", 50, ())
    assert lab.sql("SELECT DISTINCT mood FROM users_restored") == [("bad",)]
    indexes = "SELECT indexname::text FROM pg_indexes WHERE tablename = 'users_restored' ORDER BY 1"
    assert lab.sql(indexes) == [("users_restored_name_idx",), ("users_restored_pkey",)]
    assert lab.sql("INSERT INTO users_restored (name) VALUES ('next') RETURNING id") == [(350,)]
    keys = "SELECT confrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND conrelid = %s::regclass"
    assert lab.sql(keys, "users_restored") == [("users_restored",)]
    lab.sql("DROP TABLE users_restored")
    assert lab.dump() == before


@both_formats
async def test_a_copy_without_ties(lab: Lab) -> None:
    """It has no foreign keys to other tables, and says so; a number is added to names that are taken."""
    await lab.backup()
    lab.sql("CREATE TABLE copies_pkey (); CREATE TABLE app.users ()")
    before = lab.dump()
    report = await lab.restore("notes", copy="copies")
    assert report.warnings == (
        "The copy has no foreign key notes_user_id_fkey: it would bind the table that it refers to.",
    )
    index = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'copies'::regclass"
    assert lab.sql(index) == [("copies_pkey_1",)]
    assert lab.sql("INSERT INTO copies (body) VALUES ('next') RETURNING id") == [(201,)]
    await lab.restore("users", copy="app.people")
    assert lab.sql("SELECT count(*) FROM app.people") == [(50,)]
    lab.sql("DROP TABLE copies, app.people")
    assert lab.dump() == before


@both_formats
async def test_copies_of_partitions(lab: Lab) -> None:
    """Of a partitioned table with all of them, and of one alone."""
    await lab.backup()
    before = lab.dump()
    report = await lab.restore("events", copy="app.events")
    assert {each.restored_as: each.rows for each in report.tables} == {
        '"app"."events"': 0,
        '"app"."events_2024"': 31,
        '"app"."events_2025"': 30,
    }
    await lab.restore("events_2025", copy="public.alone")
    assert lab.sql("SELECT count(*) FROM app.events") == [(61,)]
    assert lab.sql("SELECT count(*) FROM alone") == [(30,)]
    lab.sql("DROP TABLE app.events, alone")
    assert lab.dump() == before


async def test_a_name_that_the_archive_has(lab: Lab) -> None:
    """Whatever the archive has under the copy's name, or that of its parts, is none of its business."""
    lab.sql("CREATE VIEW users_restored AS SELECT 1; CREATE TABLE users_restored_pkey ()")
    await lab.backup()
    lab.sql("DROP VIEW users_restored; DROP TABLE users_restored_pkey")
    await lab.restore("users", copy="users_restored")
    assert lab.sql("SELECT count(*) FROM users_restored") == [(50,)]


@pytest.mark.parametrize(
    ("copy", "said"),
    [
        ("public.notes", "already"),
        ("nowhere.users", "no schema"),
        ("kleidia_backup.users", "no schema"),
        ("a.b.c", "not the name"),
    ],
)
async def test_no_place_for_it(lab: Lab, copy: str, said: str) -> None:
    """It replaces nothing."""
    await lab.backup()
    before = lab.dump()
    with pytest.raises(ConfigurationError, match=said) as caught:
        await lab.restore("users", copy=copy)
    assert caught.value.effect in {"nothing", None}
    assert lab.dump() == before


async def test_a_copy_of_a_partition_with_keys(lab: Lab) -> None:
    """The foreign keys that it had of its table would bind others, and are left out too."""
    lab.sql("CREATE TABLE p (id int PRIMARY KEY, o int REFERENCES other, up int REFERENCES p) PARTITION BY RANGE (id)")
    lab.sql("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10); INSERT INTO p VALUES (1, 1, 1)")
    await lab.backup()
    report = await lab.restore("p1", copy="copy_of_it")
    assert [key for key in ("p_o_fkey", "p_up_fkey") if any(key in each for each in report.warnings)] == [
        "p_o_fkey",
        "p_up_fkey",
    ]
    assert lab.sql("SELECT FROM pg_constraint WHERE contype = 'f' AND conrelid = 'copy_of_it'::regclass") == []


async def test_a_name_that_the_server_would_cut(lab: Lab) -> None:
    """The copy would not have the name that it was asked to have."""
    await lab.backup()
    before = lab.dump()
    with pytest.raises(ConfigurationError, match="keeps 63 bytes of a name"):
        await lab.restore("other", copy="é" * 32)
    assert lab.dump() == before
    assert (await lab.restore("other", copy="é" * 31 + "e")).rows == 1000
