"""What a restore of tables would do is said beforehand, and nothing is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from kleidia_backup.pipeline.reports.tables import TablesPlan
from kleidia_backup.pipeline.tables.dry_run import plan_tables
from kleidia_backup.pipeline.tables.request import TablesRequest
from kleidia_backup.stages.errors import ConfigurationError, RestoreFailed

from ...archive_format import both_formats
from ...databases import without_sessions
from .lab import PASSWORD, Lab

pytestmark = pytest.mark.anyio


async def planned(lab: Lab, *tables: str, **options: Any) -> TablesPlan:
    """The plan, after which everything is as before."""
    before = lab.dump()
    options = {"database": lab.postgres, "store": lab.store, "password": PASSWORD, **options}
    plan = await plan_tables(TablesRequest(name=lab.name, tables=tables, **options))
    assert (lab.dump(), lab.scratch()) == (before, [])
    return plan


def rows(plan: TablesPlan) -> dict[str, tuple[int, int | None]]:
    """In the archive, and now."""
    return {each.name.replace('"', ""): (each.rows_archive, each.rows_now) for each in plan.tables}


@both_formats
async def test_what_would_be_done(lab: Lab) -> None:
    """Rows then and now, and foreign keys; of a table that is another one, what is dropped and made again."""
    await lab.backup()
    lab.sql("DELETE FROM notes WHERE id > 150; CREATE MATERIALIZED VIEW moods AS SELECT mood FROM users")
    lab.sql("INSERT INTO users (name) VALUES ('new')")
    plan = await planned(lab, "users", "events")
    assert rows(plan) == {
        "public.events": (0, 0),
        "public.events_2024": (31, 31),
        "public.events_2025": (30, 30),
        "public.users": (50, 51),
    }
    assert plan.how == "rows replaced"
    assert plan.keys == (
        "notes_user_id_fkey of public.notes: FOREIGN KEY (user_id) REFERENCES public.users(id)",
        "users_boss_fkey of public.users: FOREIGN KEY (boss) REFERENCES public.users(id)",
    )
    assert (plan.remade, plan.blockers) == ((), ())
    assert [warning for warning in plan.warnings if "public.moods" in warning] == [*plan.warnings]
    lab.sql("ALTER TABLE users ADD COLUMN more text")
    lab.sql("CREATE FUNCTION loud(u users) RETURNS text LANGUAGE sql AS 'SELECT u.shout'")
    plan = await planned(lab, "users")
    remade = ("materialized view public.moods", "function public.loud(public.users)")
    assert (plan.how, plan.remade, plan.blockers) == ("replaced", remade, ())
    plan = await planned(lab, "users", copy="copied")
    assert (plan.how, [each.restored_as for each in plan.tables]) == ("made", ['"public"."copied"'])
    with pytest.raises(ConfigurationError, match=r"nearest names: public\.users"):
        await planned(lab, "usres")


async def test_what_stands_in_the_way(lab: Lab) -> None:
    """It is what the restore would fail at."""
    await lab.backup()
    lab.sql("ALTER TABLE users ADD COLUMN more text")
    lab.sql("CREATE FUNCTION fits(u users) RETURNS boolean LANGUAGE sql AS 'SELECT true'")
    lab.sql("ALTER TABLE users ADD CONSTRAINT fitting CHECK (fits(users))")
    (blocker,) = (await planned(lab, "users")).blockers
    assert "constraint fitting on table public.users depends on function public.fits(public.users)" in blocker
    with pytest.raises(RestoreFailed, match="constraint fitting"):
        await lab.restore("users")
    lab.sql("DROP FUNCTION fits CASCADE; CREATE TABLE child (own int) INHERITS (users)")
    (blocker,) = (await planned(lab, "users")).blockers
    assert "table public.child depends on table public.users" in blocker
    with pytest.raises(RestoreFailed, match="child"):
        await lab.restore("users")
    lab.sql("DROP TABLE users CASCADE; DROP TYPE mood; CREATE VIEW users AS SELECT 1 AS id")
    blockers = (await planned(lab, "users")).blockers
    assert ["type public.mood" in each for each in blockers] == [False, True]
    assert "Something else is called" in blockers[0]
    lab.sql("ALTER SEQUENCE notes_id_seq OWNED BY NONE; DROP TABLE notes; ALTER INDEX other_pkey RENAME TO notes_pkey")
    taken = [each for each in (await planned(lab, "notes")).blockers if "Something else is called" in each]
    assert [each.split('"')[3] for each in taken] == ["notes_id_seq", "notes_pkey"]
    with pytest.raises(RestoreFailed):
        await lab.restore("users")


async def test_what_a_role_may_not(lab: Lab) -> None:
    """It owns neither the table nor, of a partition, the one that it is a part of."""
    lab.sql("DROP ROLE IF EXISTS poor_one; CREATE ROLE poor_one LOGIN CREATEDB PASSWORD 'x'")
    try:
        lab.sql("ALTER TABLE notes OWNER TO poor_one; ALTER TABLE events_2024 OWNER TO poor_one")
        await lab.backup()
        lab.sql("ALTER TABLE notes OWNER TO CURRENT_USER; ALTER TABLE events DETACH PARTITION events_2024")
        lab.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor_one")
        lab.sql("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO poor_one")  # or pg_dump says nothing of them
        poor = replace(lab.postgres, conninfo=make_conninfo(lab.conninfo, user="poor_one", password="x"))
        for table, foreign in (("notes", "notes"), ("events_2024", "events")):
            found = {each.replace('"', "") for each in (await planned(lab, table, database=poor)).blockers}
            assert {each.partition(".")[2] for each in found if "does not own" in each} == {
                f"{foreign}. Restore as its owner, or as a superuser."
            }
    finally:
        lab.sql(without_sessions("poor_one"))
        lab.sql("REASSIGN OWNED BY poor_one TO CURRENT_USER; DROP OWNED BY poor_one; DROP ROLE poor_one")
