"""The dry run: what it says is what a restore then does, and it writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from kleidia_backup import (
    ConfigurationError,
    DamagedArchive,
    DatabaseError,
    Progress,
    RestoreReport,
    Root,
    TokenAuth,
    WrongPassword,
    restore,
)
from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.pipeline.engine import in_thread
from kleidia_backup.pipeline.plan import plan_restore
from kleidia_backup.pipeline.reports.estimate import SQL_PER_SECOND, estimate
from kleidia_backup.pipeline.reports.plan import RestorePlan
from kleidia_backup.pipeline.reports.words import as_json
from kleidia_backup.stages.errors import UnfinishedRestore, VaultThreshold, VaultUnreachable
from kleidia_backup.stages.pg.server.lock import hold_database
from kleidia_backup.stages.vault.compare import CompareReport
from kleidia_backup.stages.vault.reports import Named
from kleidia_backup.stages.vault.sink import Change
from kleidia_backup.stages.vault.undo.journal import Journal

from ..archive_format import backup, v2_thorough
from ..databases import without_sessions
from ..formats import second_writer
from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio


async def plan(system: System, name: str, **changes: Any) -> RestorePlan:
    """Plan a restore; whatever that finds, everything is as it was."""
    options: dict[str, Any] = {
        "database": system.postgres,
        "vault": system.vault,
        "store": system.store,
        "password": PASSWORD,
    }
    before = system.rows(), system.secrets(), system.archives()
    found = await plan_restore(name, **options | changes)
    assert (system.rows(), system.secrets(), system.archives()) == before
    return found


async def bring_back(system: System, name: str, **changes: Any) -> RestoreReport:
    options: dict[str, Any] = {"database": system.postgres, "vault": system.vault}
    return await restore(name, **options | {"store": system.store, "password": PASSWORD} | changes)


async def archive(system: System, **changes: Any) -> str:
    options: dict[str, Any] = {"database": system.postgres, "vault": system.vault}
    made = await backup(**options | {"store": system.store, "password": PASSWORD} | changes)
    return made.name


def named(found: RestorePlan) -> dict[str, tuple[Any, ...]]:
    """The tables of a plan, by name without the schema that all of them are in."""
    assert found.database is not None
    return {
        each.name.removeprefix("public."): (each.action, each.rows_archive, each.rows_now)
        for each in found.database.tables
    }


# What would happen ------------------------------------------------------------------------------------------------


@v2_thorough
async def test_what_it_says_is_what_happens(system: System) -> None:
    """Tables with their rows then and now, secrets by what would become of them; the restore does just that."""
    name = await archive(system)
    wreck(system)
    system.sql("CREATE TABLE later AS SELECT generate_series(1, 7) AS n")
    system.sql("INSERT INTO backup_jobs (status) VALUES ('running')")
    system.application.put("kleidia/later", {"a": 1})
    found = await plan(system, name)
    assert (found.blockers, found.warnings, found.left_alone) == ((), (), ())
    assert named(found) == {
        "audit_logs": ("replace", 100, 100),
        "backup_jobs": ("preserve", None, 3),
        "later": ("stay", None, 7),
        "notes": ("create", 500, None),
        "users": ("replace", 50, 10),
    }
    assert found.database is not None
    assert all(each.exact for each in found.database.tables)
    vault = found.vault
    assert vault is not None
    assert (vault.new, vault.changed, vault.unchanged, vault.unreadable, vault.extra) == (11, 1, 21, 0, 1)
    assert vault.new_paths == ("jwt-secret", *(f"yubikeys/{n:04d}/piv" for n in range(10)))
    assert (vault.changed_paths, vault.extra_paths) == (("yubikeys/0020/piv",), ("later",))
    assert (vault.rights_missing, vault.final) == ((), ())
    assert (found.tables, found.rows, found.secrets) == (4, 650, 33)
    assert found.expected.total > 0
    assert found.seconds.keys() == {"prepare", "verify", "plan", "total"}

    done = await bring_back(system, name)
    assert (done.written, done.unchanged) == (vault.new + vault.changed, vault.unchanged)
    for table, (action, stored, now) in named(found).items():
        rows = system.sql(f"SELECT count(*) FROM {table}")[0][0]
        assert rows == (stored if action in ("create", "replace") else now)
    assert system.application.get("kleidia/later") == {"a": 1}
    again = await plan(system, name)
    assert again.vault is not None
    assert (again.vault.new, again.vault.changed, again.vault.unchanged) == (0, 0, 33)


@v2_thorough
async def test_nothing_that_could_be_written_is_asked_for(system: System) -> None:
    """A database session that cannot write and a token that may only read and list are enough for it."""
    name = await archive(system)
    wreck(system)
    read_only = make_conninfo(system.conninfo, options="-c default_transaction_read_only=on")
    system.application.server.request("PUT", "sys/policies/acl/looker", {"policy": looker(system)})
    _, answer = system.application.server.request("POST", "auth/token/create", {"policies": ["looker"]})
    found = await plan(
        system,
        name,
        database=replace(system.postgres, conninfo=read_only),
        vault=replace(system.vault, auth=TokenAuth(answer["auth"]["client_token"])),
        prune=True,
    )
    assert found.vault is not None
    assert (found.vault.new, found.vault.changed, found.vault.extra) == (11, 1, 0)
    assert {right.verb for right in found.vault.rights_missing} == {"create", "update", "delete"}
    (blocker,) = found.blockers
    assert "token lacks" in blocker


def looker(system: System) -> str:
    paths = {"data": ["read"], "metadata": ["list"]}
    return "\n".join(
        f'path "{mount.path}/{kind}/*" {{ capabilities = {json.dumps(rights)} }}'
        for mount in (system.application, system.yubikeys)
        for kind, rights in paths.items()
    )


@v2_thorough
async def test_json_and_no_value_of_a_secret(system: System) -> None:
    """A plan is plain data; no value, old or new, of a secret or of a row is in it."""
    name = await archive(system)
    wreck(system)
    system.yubikeys.put("0021/piv", {"pin": "canary-now"})
    text = json.dumps(as_json(await plan(system, name)))
    for value in ("canary-now", "ünï", "123456", "management_key", "user 1", PASSWORD):
        assert value not in text
    assert '"action": "create"' in text


@v2_thorough
async def test_names_are_bounded_and_counts_are_not(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many secrets there are, so many are named."""
    name = await archive(system)
    wreck(system)
    for n in range(5):
        system.application.put(f"kleidia/more/{n}", {"n": n})
    monkeypatch.setattr("kleidia_backup.stages.vault.reports.NAMED", 3)
    vault = (await plan(system, name)).vault
    assert vault is not None
    assert (vault.new, len(vault.new_paths), vault.extra, len(vault.extra_paths)) == (11, 3, 5, 3)


@v2_thorough
@pytest.mark.parametrize("only", ["database", "vault"])
async def test_one_part(system: System, only: str) -> None:
    """``only`` and a part that is not configured: the other one is not asked anything."""
    name = await archive(system)
    found = await plan(system, name, only=only)
    assert (found.database is None, found.vault is None) == (only == "vault", only == "database")
    assert (found.warnings, found.left_alone) == ((), ())
    other = {"vault": "database", "database": "vault"}[only]
    found = await plan(system, name, **{other: None})
    assert found.left_alone == (other,)
    assert f"The archive's {other} part would be left alone" in found.warnings[0]


@v2_thorough
async def test_progress(system: System) -> None:
    """It is reported like that of any job."""
    seen: list[Progress] = []
    await plan(system, await archive(system), on_progress=seen.append)
    assert [phase for n, phase in enumerate(each.phase for each in seen) if not n or seen[n - 1].phase != phase] == [
        "verify",
        "plan",
    ]
    assert max(each.secrets for each in seen) == 33


@v2_thorough
async def test_an_archive_that_cannot_be_restored_has_no_plan(system: System) -> None:
    """It is verified to its last byte, and refused as a restore would refuse it."""
    name = await archive(system)
    with pytest.raises(WrongPassword):
        await plan(system, name, password="another")
    path = system.directory / name
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedArchive):
        await plan(system, name)


# What is in the way -----------------------------------------------------------------------------------------------

RICH = """
CREATE EXTENSION citext;
CREATE SCHEMA app;
CREATE TYPE status AS ENUM ('on', 'off');
CREATE DOMAIN short AS text CHECK (length(VALUE) < 10);
CREATE TYPE pair AS (a int, b text);
CREATE TYPE app.span AS RANGE (subtype = float8);
CREATE SEQUENCE numbers;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION body() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM users; END;
CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int);
CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq);
CREATE TABLE app.things (
    id int GENERATED ALWAYS AS IDENTITY, s status[], d short, p pair, r app.span, m citext, u int REFERENCES users,
    n int DEFAULT nextval('numbers'), g int GENERATED ALWAYS AS (twice(1)) STORED
);
CREATE INDEX ON app.things ((twice(n)));
CREATE TABLE app.days (id int PRIMARY KEY, d int) PARTITION BY RANGE (id);
CREATE TABLE app.days1 PARTITION OF app.days FOR VALUES FROM (1) TO (10);
CREATE TABLE parent (a int, b int);
CREATE TABLE child () INHERITS (parent);
CREATE STATISTICS together ON a, b FROM parent;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM users;
CREATE VIEW seen AS SELECT * FROM counted;
CREATE VIEW jobs AS SELECT j.id, u.name FROM backup_jobs j JOIN users u ON u.id = j.triggered_by;
CREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
CREATE RULE nothing AS ON DELETE TO parent DO INSTEAD NOTHING;
CREATE POLICY everybody ON users USING (EXISTS (SELECT FROM parent));
CREATE PUBLICATION changes FOR TABLE users;
ALTER TABLE backup_jobs ADD state status;
"""

#: What somebody made after the backup; what of it is in the way; how it is removed.
OBSTACLES = [
    ("CREATE VIEW later AS SELECT * FROM users", "view public.later depends on table public.users", "VIEW later"),
    ("CREATE VIEW later AS SELECT * FROM seen", "view public.later depends on view public.seen", "VIEW later"),
    (
        "CREATE TABLE later (s status)",
        "column s of table public.later depends on type public.status",
        "TABLE later",
    ),
    ("CREATE TABLE later (m citext)", "column m of table public.later depends on type public.citext", "TABLE later"),
    (
        "CREATE TABLE later (n int DEFAULT nextval('numbers'))",
        "default value for column n of table public.later depends on sequence public.numbers",
        "TABLE later",
    ),
    (
        "CREATE TABLE later (n int CHECK (twice(n) > 1))",
        "constraint later_n_check on table public.later depends on function public.twice(integer)",
        "TABLE later",
    ),
    (
        "CREATE FUNCTION later(users) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "function public.later(public.users) depends on type public.users",
        "FUNCTION later",
    ),
    ("CREATE TABLE app.later (n int)", "table app.later depends on schema app", "TABLE app.later"),
    ("CREATE TABLE later () INHERITS (parent)", "table public.later depends on table public.parent", "TABLE later"),
]


@v2_thorough
async def test_what_the_archive_does_not_know_and_what_it_replaces(system: System) -> None:
    """Objects of any kind that came later and depend on what would be dropped are named.

    What has rows is not dropped, and the restore fails; what has none is. A part of a table that stays is made again.
    """
    for statement in RICH.strip().split(";\n"):
        system.sql(statement)
    name = await archive(system, vault=None)
    assert (await plan(system, name)).blockers == ()

    def shape() -> object:
        return system.sql(
            "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'later'::regclass UNION ALL"
            " SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'later'::regclass AND contype = 'c'"
        )

    for make, text, drop in OBSTACLES:
        system.sql(make)
        found = await plan(system, name, vault=None)
        assert found.database is not None
        if text.startswith(("column", "table")):
            assert found.database.obstacles == (text,), make
            assert len(found.blockers) == 1
            assert text in found.blockers[0]
            with pytest.raises(DatabaseError, match="depend"):
                await bring_back(system, name, vault=None)
            system.sql(f"DROP {drop}")
        else:
            again = text.startswith(("default", "constraint"))
            assert found.database.dropped == (() if again else (text,)), make
            assert found.blockers == ()
            before = shape() if again else []
            report = await bring_back(system, name, vault=None)
            assert any(text in warning for warning in report.warnings) is not again
            if again:
                assert shape() == before
                system.sql(f"DROP {drop}")
    await bring_back(system, name, vault=None)
    assert (await plan(system, name, vault=None)).blockers == ()


@v2_thorough
async def test_what_stands_beside_it_is_not_in_the_way(system: System) -> None:
    """A later table with a key into a restored one, and a later view on a preserved table, live through a restore."""
    name = await archive(system, vault=None)
    system.sql("CREATE TABLE later (u int REFERENCES users)")
    system.sql("INSERT INTO later VALUES (50)")
    system.sql(
        "CREATE VIEW history AS SELECT j.id, u.name FROM backup_jobs j LEFT JOIN users u ON u.id = j.triggered_by"
    )
    found = await plan(system, name)
    assert found.blockers == ()
    assert named(found)["later"] == ("stay", None, 1)
    await bring_back(system, name, vault=None)
    assert system.sql("SELECT u FROM later") == [(50,)]
    assert len(system.sql("SELECT * FROM history")) == 2


@v2_thorough
async def test_a_partition_that_came_later_would_be_lost(system: System) -> None:
    """PostgreSQL drops it with its parent, without a word: the plan warns."""
    system.sql("CREATE TABLE days (n int) PARTITION BY RANGE (n)")
    system.sql("CREATE TABLE days1 PARTITION OF days FOR VALUES FROM (1) TO (10)")
    name = await archive(system, vault=None)
    system.sql("CREATE TABLE days2 PARTITION OF days FOR VALUES FROM (10) TO (20)")
    system.sql("INSERT INTO days VALUES (1), (11), (12)")
    found = await plan(system, name, vault=None)
    assert named(found)["days2"] == ("drop", None, 2)
    assert found.warnings[0].startswith("Tables unknown to the archive would be lost")
    assert "public.days2" in found.warnings[0]
    await bring_back(system, name, vault=None)
    assert system.sql("SELECT to_regclass('days2')") == [(None,)]


@pytest.fixture
def roles(system: System) -> Iterator[Callable[..., str]]:
    """Makes roles, with these options; gone at the end."""
    made: list[str] = []

    def make(options: str = "") -> str:
        name = f"plan_{len(made)}_{system.application.path[-6:]}"
        system.sql(f"CREATE ROLE {name} {options}")
        made.append(name)
        return name

    yield make
    for name in made:
        system.sql(without_sessions(name))
        if system.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", name):
            system.sql(f"REASSIGN OWNED BY {name} TO CURRENT_USER")
            system.sql(f"DROP OWNED BY {name}")
            system.sql(f"DROP ROLE {name}")


@v2_thorough
async def test_roles_that_the_server_lacks(system: System, roles: Callable[..., str]) -> None:
    """An owner and a grantee that are gone are named, and the restore does fail."""
    owner, reader = roles(), roles()
    system.sql(f"ALTER TABLE notes OWNER TO {owner}")
    system.sql(f"GRANT SELECT ON users TO {reader}")
    name = await archive(system, vault=None)
    assert (await plan(system, name)).blockers == ()
    system.sql(f"ALTER TABLE notes OWNER TO CURRENT_USER; REVOKE ALL ON users FROM {reader}")
    system.sql(f"DROP ROLE {owner}, {reader}")
    found = await plan(system, name)
    assert found.database is not None
    assert found.database.roles_missing == tuple(sorted((owner, reader)))
    assert owner in found.blockers[0]
    with pytest.raises(DatabaseError, match="does not exist"):
        await bring_back(system, name)


@v2_thorough
async def test_rights_that_the_role_lacks(system: System, roles: Callable[..., str]) -> None:
    """A role that owns next to nothing: what it would need is listed, and the restore does fail."""
    login = roles("LOGIN PASSWORD 'role-password'")
    system.sql("CREATE SCHEMA app")
    system.sql("CREATE EXTENSION citext")
    system.sql("CREATE EXTENSION pageinspect")
    name = await archive(system, vault=None)
    conninfo = make_conninfo(system.conninfo, user=login, password="role-password")
    limited = replace(system.postgres, conninfo=conninfo)
    system.sql(f"ALTER TABLE notes OWNER TO {login}")
    found = await plan(system, name, database=limited, vault=None)
    assert found.database is not None
    owner = system.sql("SELECT rolname FROM pg_roles WHERE oid = 10")[0][0]
    missing = [str(right) for right in found.database.rights_missing]
    assert set(missing) >= {
        "ownership of table public.users",
        "ownership of table public.backup_jobs",
        "ownership of schema app",
        "ownership of extension pageinspect",
        f"SET ROLE to {owner}",
        "superuser, to create the extension pageinspect",
        "CREATE on schema public",
        f"CREATE on database {psycopg.conninfo.conninfo_to_dict(conninfo)['dbname']}",
    }
    assert "ownership of table public.notes" not in missing
    assert "superuser, to create the extension citext" not in missing  # any owner of the database may
    assert f'The role "{login}" lacks' in found.blockers[0]
    assert "session_replication_role" in found.warnings[-1]
    with pytest.raises(DatabaseError):
        await bring_back(system, name, database=limited, vault=None)


@v2_thorough
async def test_the_owner_of_everything_may_restore(system: System, roles: Callable[..., str]) -> None:
    """No superuser, but owner of the database and of all that is in it: no right is missing, and it works."""
    login = roles("LOGIN PASSWORD 'role-password'")
    database = psycopg.conninfo.conninfo_to_dict(system.conninfo)["dbname"]
    system.sql(f"ALTER DATABASE {database} OWNER TO {login}")
    for table in ("users", "notes", "backup_jobs", "audit_logs"):
        system.sql(f"ALTER TABLE {table} OWNER TO {login}")
    owner = replace(system.postgres, conninfo=make_conninfo(system.conninfo, user=login, password="role-password"))
    name = await archive(system, vault=None)
    wreck(system)
    found = await plan(system, name, database=owner, vault=None)
    assert found.blockers == ()
    assert "session_replication_role" in found.warnings[0]
    await bring_back(system, name, database=owner, vault=None)
    assert len(system.sql("SELECT * FROM users")) == 50


@v2_thorough
async def test_locks_of_others_and_other_jobs(system: System) -> None:
    """Who would make a restore wait is named, with process, application and time; so is a job that excludes it."""
    name = await archive(system, vault=None)
    with psycopg.connect(system.conninfo, application_name="a forgotten session") as other:
        other.execute("SELECT count(*) FROM users")
        found = await plan(system, name, vault=None)
        assert found.database is not None
        (holder,) = found.database.locks
        assert (holder.pid, holder.application) == (other.info.backend_pid, "a forgotten session")
        assert (holder.state, holder.tables) == ("idle in transaction", ("public.users",))
        assert holder.since is not None
        assert found.warnings[0].startswith("A restore would wait for sessions")
        assert f"pid {holder.pid} (a forgotten session" in found.warnings[0]
        assert found.blockers == ()
    async with hold_database(system.postgres, "backup"):
        found = await plan(system, name, vault=None)
    assert found.blockers[0].startswith("Another job works on the database: kleidia-backup backup")
    assert (await plan(system, name, vault=None)).warnings == ()


def write_archive(system: System, sql: str, secrets: dict[str, bytes] | None = None) -> str:
    """An archive with any SQL, made by the writer that shares no code with us."""
    compressed = second_writer.gzip_member(second_writer.document(second_writer.INNER, sql, secrets or {}))
    name = "backups/backup-other.enc"
    (system.directory / "backups").mkdir(exist_ok=True)
    (system.directory / name).write_bytes(second_writer.archive(second_writer.seal(compressed, PASSWORD)))
    return name


@v2_thorough
async def test_an_archive_of_a_newer_server_with_unknown_extensions(system: System) -> None:
    """Versions and extensions that the server does not have, and SQL that another writer made."""
    sql = (
        "-- Dumped from database version 99.1\n-- Dumped by pg_dump version 99.2\n"
        "CREATE EXTENSION IF NOT EXISTS nowhere_to_be_found;\n"
        "CREATE TABLE users (id int);\nINSERT INTO users VALUES (1);\nINSERT INTO public.users VALUES (2);\n"
        "CREATE TABLE fresh (id int);\n"
    )
    found = await plan(system, write_archive(system, sql, {"one": b'{"a":1}'}))
    assert found.database is not None
    assert found.database.extensions_missing == ("nowhere_to_be_found",)
    assert "The server lacks extensions: nowhere_to_be_found" in found.blockers[0]
    assert "the dump is of version 99" in found.warnings[0]
    tables = named(found)
    assert tables["users"] == ("replace", 2, 50)
    assert tables["fresh"] == ("create", 0, None)
    assert tables["notes"] == ("stay", None, 500)


@v2_thorough
async def test_what_the_database_lacks(system: System, new_database: Callable[[], str]) -> None:
    """A schema, and characters; what they are is in the sentence, and the restore does fail."""
    name = await archive(system, vault=None)
    conninfo = new_database()
    target = replace(system.postgres, conninfo=conninfo)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public")
    found = await plan(system, name, database=target, vault=None)
    assert found.blockers == (
        "The database lacks schemas that the archive uses and does not make: public. Create them.",
    )
    with pytest.raises(DatabaseError, match="does not exist"):
        await bring_back(system, name, database=target, vault=None)
    database = psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"]
    system.sql(f"DROP DATABASE {database}")
    system.sql(f"CREATE DATABASE {database} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    found = await plan(system, name, database=target, vault=None)
    (blocker,) = found.blockers
    assert "the encoding LATIN1, which lacks characters of the archive: U+2028, U+1F600. Restore into" in blocker
    with pytest.raises(DatabaseError, match="has no equivalent"):
        await bring_back(system, name, database=target, vault=None)


# The vault --------------------------------------------------------------------------------------------------------


@v2_thorough
async def test_secrets_that_would_fail(system: System) -> None:
    """Those that cannot be read: below half of all a warning, from there on what makes the restore fail."""
    name = await archive(system, database=None)
    rules = looker(system).replace('["read"]', '["read", "create", "update"]')
    server = system.application.server

    def denied(*paths: str) -> TokenAuth:
        more = "".join(f'\npath "{system.yubikeys.path}/data/{path}" {{ capabilities = ["deny"] }}' for path in paths)
        server.request("PUT", "sys/policies/acl/partly-plan", {"policy": rules + more})
        _, answer = server.request("POST", "auth/token/create", {"policies": ["partly-plan"]})
        return TokenAuth(answer["auth"]["client_token"])

    vault = replace(system.vault, auth=denied("0003/*", "0004/*"))
    found = await plan(system, name, vault=vault)
    assert found.vault is not None
    assert (found.vault.unreadable, found.vault.unchanged) == (2, 31)
    assert found.vault.unreadable_paths == ("yubikeys/0003/piv", "yubikeys/0004/piv")
    assert found.blockers == ()
    assert "2 of 33 secrets could not be written: yubikeys/0003/piv, yubikeys/0004/piv" in found.warnings[0]
    system.application.delete("kleidia/empty")
    found = await plan(system, name, vault=vault)
    assert "could not put back all that it wrote to the vault: the token lacks" in found.warnings[1]
    assert "delete on" in found.warnings[1]

    vault = replace(system.vault, auth=denied("0*"))
    found = await plan(system, name, vault=vault)
    assert found.blockers[0].startswith("30 of 33 secrets could not be written")
    with pytest.raises(VaultThreshold):
        await bring_back(system, name, database=None, vault=vault)


@v2_thorough
async def test_a_token_that_may_not_list(system: System) -> None:
    """A restore needs no such right: what the archive does not have is then unknown, and a prune impossible."""
    name = await archive(system, database=None)
    rules = looker(system).replace('["read"]', '["read", "create", "update"]').replace('["list"]', '["deny"]')
    server = system.application.server
    server.request("PUT", "sys/policies/acl/no-list", {"policy": rules})
    _, answer = server.request("POST", "auth/token/create", {"policies": ["no-list"]})
    vault = replace(system.vault, auth=TokenAuth(answer["auth"]["client_token"]))
    found = await plan(system, name, vault=vault)
    assert found.vault is not None
    assert (found.vault.extra, found.vault.unchanged, found.blockers) == (None, 33, ())
    assert "cannot be known: The token may not list" in found.warnings[0]
    assert len((await plan(system, name, vault=vault, prune=True)).blockers) == 2


@v2_thorough
async def test_kv_version_1_is_said_to_be_final(system: System, kv_mount: Callable[[int], KvMount]) -> None:
    """There nothing that is overwritten or removed comes back."""
    old = kv_mount(1)
    old.put("a", {"x": 1})
    vault = replace(system.vault, roots=(Root("", old.path),))
    name = await archive(system, database=None, vault=vault)
    assert (await plan(system, name, vault=vault)).warnings == ()
    old.put("a", {"x": 2})
    found = await plan(system, name, vault=vault)
    assert found.vault is not None
    assert found.vault.final == (f"{old.path}/",)
    assert "KV version 1 keeps no versions" in found.warnings[0]


@v2_thorough
async def test_to_prune_everything_is_in_the_way(system: System) -> None:
    """An archive without a secret of a root, and ``prune``: the restore refuses it, and so says the plan."""
    name = write_archive(system, "CREATE TABLE users (id int);\n", {"one": b'{"a":1}'})
    assert (await plan(system, name)).blockers == ()
    found = await plan(system, name, prune=True)
    assert found.vault is not None
    assert (found.vault.unknown_roots, found.vault.extra) == ((f"{system.yubikeys.path}/",), 33)
    assert f"has no secret of {system.yubikeys.path}/" in found.blockers[0]
    with pytest.raises(ConfigurationError, match="has no secret of"):
        await bring_back(system, name, prune=True)


@v2_thorough
async def test_a_restore_that_is_unfinished(system: System, tmp_path: Path) -> None:
    """A journal that a killed restore left behind keeps any other from beginning."""
    name = await archive(system)
    state = tmp_path / "state"
    killed = await in_thread(Journal.begin, "backups/backup-before.enc", system.vault, state)
    found = await plan(system, name, state=state)
    assert found.blockers == ()  # it is running: the lock on the database is what keeps others away
    await killed(Change(system.yubikeys.path, "0001/piv", 2, 1, existed=True))
    killed.close()
    found = await plan(system, name, state=state)
    assert found.blockers[0].startswith("A restore of backups/backup-before.enc, begun at ")
    assert "--undo" in found.blockers[0]
    with pytest.raises(UnfinishedRestore):
        await bring_back(system, name, state=state)


@v2_thorough
async def test_a_vault_that_does_not_answer_has_no_plan(system: System) -> None:
    """As for a restore."""
    name = await archive(system, database=None)
    vault = replace(system.vault, address="http://127.0.0.1:1", start_budget=0.1)
    with pytest.raises(VaultUnreachable):
        await plan(system, name, vault=vault)


# The estimate -----------------------------------------------------------------------------------------------------


def test_the_estimate_adds_up() -> None:
    """Verification, the database at the assumed speed, the vault at the measured one; a third reading if need be."""
    compared = CompareReport(new=Named(10), changed=Named(10), unchanged=80, seconds=4.0)
    size = int(SQL_PER_SECOND * 30)
    both = estimate(10.0, compared, sql_bytes=size, sql_first=True)
    assert (both.verify, both.database, both.vault, both.total) == pytest.approx((6.0, 30.0, 7.2, 43.2))
    assert estimate(10.0, compared, sql_bytes=size, sql_first=False).vault == pytest.approx(13.2)
    assert estimate(10.0, None, sql_bytes=size, sql_first=False).total == pytest.approx(40.0)
    assert estimate(10.0, compared, sql_bytes=None, sql_first=False).total == pytest.approx(6.0 + 6.0 + 7.2)
