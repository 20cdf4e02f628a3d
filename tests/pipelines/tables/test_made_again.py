"""What depends on a table that is made anew, and partitions that come back without their table."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from kleidia_backup.stages.errors import RestoreFailed

from ...archive_format import both_formats, v2_thorough
from ...databases import without_sessions
from .lab import Lab
from .test_dry_run import planned

pytestmark = pytest.mark.anyio

BODY = "SELECT array_agg(u) FROM public.users u, app.all_computed() a WHERE a.id = u.id"
#: Which versions before 14 do not know.
ATOMIC = f"BEGIN ATOMIC {BODY}; END"
VIEWS = f"""
CREATE VIEW shouting WITH (security_barrier) AS SELECT id, shout FROM users WHERE mood = 'bad';
COMMENT ON VIEW shouting IS 'loud ones'; COMMENT ON COLUMN shouting.shout IS 'in capitals';
GRANT SELECT ON shouting TO pg_monitor;
CREATE MATERIALIZED VIEW "Loud" AS SELECT s.id, n.body FROM shouting s JOIN notes n ON n.user_id = s.id;
CREATE UNIQUE INDEX loud_idx ON "Loud" (body, id);
CREATE MATERIALIZED VIEW unfilled AS SELECT count(*) FROM "Loud" WITH NO DATA;
CREATE VIEW grouped AS SELECT id, name, count(*) FROM users GROUP BY id;
CREATE FUNCTION insert_user() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER inserting INSTEAD OF INSERT ON shouting FOR EACH ROW EXECUTE FUNCTION insert_user();
CREATE FUNCTION loudly(u users) RETURNS text LANGUAGE sql STABLE AS 'SELECT upper(u.shout)';
COMMENT ON FUNCTION loudly IS 'a column; computed'; REVOKE ALL ON FUNCTION loudly FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loudly TO pg_monitor WITH GRANT OPTION;
CREATE VIEW computed AS SELECT id, loudly(u) FROM users u;
CREATE FUNCTION app.all_computed() RETURNS SETOF computed LANGUAGE sql AS 'SELECT * FROM public.computed';
CREATE FUNCTION few(text, n int DEFAULT 3) RETURNS users[] LANGUAGE sql
    {ATOMIC};
CREATE PROCEDURE forget(INOUT u users) LANGUAGE plpgsql AS $$ BEGIN DELETE FROM users WHERE id = u.id; END $$;
CREATE VIEW app.deep AS SELECT * FROM "Loud" UNION ALL SELECT id, name FROM grouped;
CREATE STATISTICS loud_stats ON id, body FROM "Loud"; COMMENT ON STATISTICS loud_stats IS 'of a view';
REVOKE ALL ON FUNCTION few FROM CURRENT_USER;
"""
#: By somebody who was granted the right to. The other table's name looks like another kind of grant.
PASSED_ON = """
DROP ROLE IF EXISTS passing; CREATE ROLE passing; CREATE TABLE "x on database y" (id int, "c on type t" int);
GRANT SELECT ON "x on database y", users, shouting TO passing WITH GRANT OPTION;
GRANT UPDATE ("c on type t") ON "x on database y" TO passing;
GRANT EXECUTE ON FUNCTION loudly TO passing WITH GRANT OPTION;
SET SESSION AUTHORIZATION passing; GRANT SELECT ON "x on database y", users, shouting TO PUBLIC, pg_monitor;
GRANT EXECUTE ON FUNCTION loudly TO PUBLIC;
"""


@both_formats
async def test_views_and_functions_are_made_again(lab: Lab) -> None:
    """With all that belongs to them, in their order; materialized ones are filled with the rows that came back."""
    await lab.backup()
    old = lab.sql("SELECT current_setting('server_version_num')::int < 140000") == [(True,)]
    lab.sql(VIEWS.replace(ATOMIC, f"AS '{BODY}'") if old else VIEWS)
    before = lab.dump()
    loud = lab.sql('SELECT * FROM "Loud" ORDER BY 1, 2')
    lab.sql("ALTER TABLE users ADD COLUMN more text; UPDATE users SET mood = 'good'")
    lab.sql('REFRESH MATERIALIZED VIEW "Loud"; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC')
    lab.sql("ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO pg_monitor")
    assert lab.sql('SELECT count(*) FROM "Loud"') == [(0,)]
    report = await lab.restore("users")
    assert (report.how, report.rows, report.warnings) == ("replaced", 50, ())
    lab.sql("ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC")
    lab.sql("ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM pg_monitor")
    assert lab.dump() == before
    assert lab.sql('SELECT * FROM "Loud" ORDER BY 1, 2') == loud


async def test_grants_by_others_than_the_owner(lab: Lab) -> None:
    """They come back as by those; tables without them need no such role."""
    lab.sql(VIEWS.replace(ATOMIC, f"AS '{BODY}'"))
    lab.sql(PASSED_ON)
    try:
        await lab.backup()
        before = lab.dump()
        lab.sql('ALTER TABLE users ADD COLUMN more text; DROP TABLE "x on database y"')
        report = await lab.restore("users", '"x on database y"')
        assert (report.how, report.rows, report.warnings) == ("replaced", 50, ())
        assert lab.dump() == before
        kept = await lab.restore('"x on database y"')
        assert kept.how == "rows replaced"
    finally:
        lab.sql("DROP OWNED BY passing CASCADE; DROP ROLE passing")
    assert (await lab.restore("other")).rows == 1000
    lab.sql('DROP TABLE "x on database y"')
    with pytest.raises(RestoreFailed, match=r'x on database y.*role "passing" does not exist'):
        await lab.restore('"x on database y"')


@v2_thorough
async def test_a_partition_alone(lab: Lab) -> None:
    """In its place, made anew, and made; the other partitions and the table stay."""
    lab.sql("CREATE TABLE seen (at date, n bigint, FOREIGN KEY (at, n) REFERENCES events (at, n))")
    lab.sql("ALTER TABLE events ADD COLUMN who bigint REFERENCES users (id) DEFAULT 100")
    lab.sql("CREATE TRIGGER touched BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION touch()")
    lab.sql("ALTER TABLE events_2024 DISABLE TRIGGER touched; ALTER TABLE events_2025 DISABLE TRIGGER touched")
    lab.sql("INSERT INTO seen SELECT at, n FROM events")
    await lab.backup()
    before, other = lab.dump(), lab.sql("SELECT 'events_2025'::regclass::oid")
    lab.sql("DELETE FROM seen; DELETE FROM events_2024; INSERT INTO events VALUES ('2024-02-02', 'new', 900)")
    lab.sql("INSERT INTO seen SELECT at, n FROM events")
    kept = await lab.restore("events_2024")
    assert (kept.how, kept.rows) == ("rows replaced", 31)
    assert [each for each in kept.warnings if "seen_at_n_fkey of public.seen is NOT VALID" in each] == [*kept.warnings]
    again = "TRUNCATE seen; INSERT INTO seen SELECT at, n FROM events ORDER BY n"
    lab.sql(f"{again}; ALTER TABLE seen VALIDATE CONSTRAINT seen_at_n_fkey")
    assert lab.dump() == before
    gone = "TRUNCATE seen; ALTER TABLE events DETACH PARTITION events_2024"
    altered = f"{gone}; ALTER TABLE events_2024 ADD COLUMN more int"
    for change, how in ((altered, "replaced"), (f"{gone}; DROP TABLE events_2024", "made")):
        lab.sql(change)
        report = await lab.restore("events_2024")
        assert (report.how, report.rows, report.warnings) == (how, 31, ())
        lab.sql(again)
        assert lab.dump() == before
    assert lab.sql("SELECT 'events_2025'::regclass::oid") == other


async def test_a_partition_that_does_not_fit(lab: Lab) -> None:
    """Rows whose foreign key leads nowhere now, a place that another partition has, a table that is gone."""
    lab.sql("ALTER TABLE events ADD COLUMN who bigint REFERENCES users (id) DEFAULT 100")
    await lab.backup()
    lab.sql(
        "UPDATE users SET boss = NULL; DELETE FROM notes; UPDATE events SET who = 105; DELETE FROM users WHERE id = 100"
    )
    before = lab.dump()
    with pytest.raises(RestoreFailed, match="events_who_fkey"):
        await lab.restore("events_2024")
    assert lab.dump() == before
    lab.sql("DROP TABLE events_2024")
    with pytest.raises(RestoreFailed, match=r"does not fit the table.*events_who_fkey"):
        await lab.restore("events_2024")
    lab.sql("CREATE TABLE others PARTITION OF events FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')")
    with pytest.raises(RestoreFailed, match=r"does not fit the table.*overlap"):
        await lab.restore("events_2024")
    lab.sql("DROP TABLE events")
    with pytest.raises(RestoreFailed, match=r"public\.events is not there") as caught:
        await lab.restore("events_2024")
    assert caught.value.effect == "nothing"


async def test_policies_that_hold_for_the_owner(lab: Lab) -> None:
    """FORCE ROW LEVEL SECURITY is taken away for the rows and comes back; the role is no superuser."""
    lab.sql("DROP ROLE IF EXISTS forced_owner; CREATE ROLE forced_owner LOGIN CREATEDB PASSWORD 'x'")
    try:
        lab.sql("ALTER TABLE other OWNER TO forced_owner; GRANT CREATE ON SCHEMA public TO forced_owner")
        lab.sql("ALTER TABLE other ENABLE ROW LEVEL SECURITY; ALTER TABLE other FORCE ROW LEVEL SECURITY")
        lab.sql("CREATE POLICY mine ON other USING (id < 10)")
        await lab.backup()
        before = lab.dump()
        own = replace(lab.postgres, conninfo=make_conninfo(lab.conninfo, user="forced_owner", password="x"))
        lab.sql("CREATE FUNCTION foreign_to_it(o other) RETURNS int LANGUAGE sql AS 'SELECT 1'")
        lab.sql("ALTER TABLE other ADD COLUMN more int")
        assert "does not own foreign_to_it" in "".join((await planned(lab, "other", database=own)).blockers).replace(
            "public.", ""
        )
        lab.sql("DROP FUNCTION foreign_to_it; ALTER TABLE other DROP COLUMN more")
        for change, how in (("DELETE FROM other WHERE id > 5", "rows replaced"), ("DROP TABLE other", "made")):
            lab.sql(change)
            report = await lab.restore("other", database=own)
            assert (report.how, report.rows, report.warnings) == (how, 1000, ())
            assert lab.dump() == before
    finally:
        lab.sql(without_sessions("forced_owner"))
        lab.sql("REASSIGN OWNED BY forced_owner TO CURRENT_USER; DROP OWNED BY forced_owner; DROP ROLE forced_owner")


async def test_a_tablespace_that_is_not_there(lab: Lab) -> None:
    """What the archive has there goes to the default one, with a warning; other tables get none."""
    before = lab.dump("other")
    inside = make_conninfo(lab.conninfo, options="-c allow_in_place_tablespaces=on")
    with psycopg.connect(inside, autocommit=True) as connection:
        connection.execute("CREATE TABLESPACE kleidia_away LOCATION ''")
    try:
        lab.sql("ALTER TABLE other SET TABLESPACE kleidia_away; ALTER INDEX notes_pkey SET TABLESPACE kleidia_away")
        await lab.backup()
        lab.sql("DROP TABLE other; DROP TABLE notes")
    finally:
        lab.sql("DROP TABLESPACE IF EXISTS kleidia_away")
    report = await lab.restore("other")
    assert (report.how, report.rows, len(report.warnings)) == ("made", 1000, 1)
    assert "tablespace kleidia_away is not on this server" in report.warnings[0]
    assert lab.dump("other") == before
    assert len((await lab.restore("notes")).warnings) == 1
    assert (await lab.restore("users")).warnings == ()
