"""From an empty vault and an empty database: mounts and roles that are missing are shown, and made before a restore."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from kleidia_backup import ConfigurationError, PostgresSettings, Root, TokenAuth, backup, restore
from kleidia_backup.commands.restores.fresh import shown
from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.pipeline.archives.opening import open_archive
from kleidia_backup.pipeline.fresh import Missing, find_missing, make_missing
from kleidia_backup.pipeline.parts.request import RestoreRequest
from kleidia_backup.stages.errors import DatabaseForbidden
from kleidia_backup.stages.pg.inventory.dependent_roles import roles_of
from kleidia_backup.stages.pg.server.questions import answered

from ..databases import without_sessions
from .conftest import PASSWORD, System

pytestmark = pytest.mark.anyio

Mounter = Callable[[int], KvMount]


@pytest.fixture
def roles(system: System) -> Iterator[tuple[str, str]]:
    """A role that owns a table, and a group that it is in."""
    owner, group = (f"fresh {each} {secrets.token_hex(4)}" for each in ("owner", "group"))
    system.sql(f'CREATE ROLE "{group}" NOLOGIN CREATEDB')
    system.sql(f"CREATE ROLE \"{owner}\" LOGIN PASSWORD 'x' CONNECTION LIMIT 3 VALID UNTIL '2050-01-01'")
    system.sql(f'GRANT "{group}" TO "{owner}"')
    system.sql(f"ALTER ROLE \"{owner}\" SET search_path = 'a b', public, 'c\"d'")
    # None of these may act on who makes the role.
    for setting in ("role = 'fresh_gone'", "default_tablespace = 'fresh_gone'", "statement_timeout = 1"):
        system.sql(f'ALTER ROLE "{group}" SET {setting}')
    system.sql(f"ALTER ROLE \"{group}\" SET my.own = E'it''s \\\\'; ALTER ROLE \"{group}\" SET temp_tablespaces = ''")
    system.sql(f'ALTER TABLE notes OWNER TO "{owner}"')
    yield owner, group
    for name in (owner, group):
        with psycopg.connect(system.conninfo, autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone():
                connection.execute(without_sessions(name).encode())
                connection.execute(f'DROP OWNED BY "{name}" CASCADE')
                connection.execute(f'DROP ROLE "{name}"')


def told(system: System, name: str) -> list[tuple[Any, ...]]:
    """All that the server says of a role, but for its number and its password."""
    return system.sql(
        "SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolconnlimit,"
        " rolvaliduntil, rolbypassrls, rolconfig, ARRAY(SELECT roleid::regrole::text FROM pg_auth_members"
        " WHERE member = r.oid) FROM pg_roles r WHERE rolname = %s",
        name,
    )


async def test_a_fresh_system(system: System, kv_mount: Mounter, roles: tuple[str, str]) -> None:
    """Everything is gone, roles and mounts too; both come back as they were, then the data."""
    kv = kv_mount(2)
    server = kv.server
    server.request("POST", f"{kv.path}/config", {"max_versions": 7, "delete_version_after": "1h"})
    server.request("POST", f"sys/mounts/{kv.path}/tune", {"description": "of the test"})
    kv.put("x", {"a": 1})
    config = server.request("GET", f"{kv.path}/config")[1]["data"]
    vault = replace(system.vault, roots=(Root("", kv.path),))
    options: dict[str, Any] = {
        "database": system.postgres,
        "vault": vault,
        "store": system.store,
        "password": PASSWORD,
    }
    before, rows = [told(system, name) for name in roles], system.rows()
    made = await backup(**options, format="v2")
    assert made.warnings == ()
    request = RestoreRequest(name=made.name, **options)
    assert await find_missing(request) == Missing()
    server.request("DELETE", f"sys/mounts/{kv.path}")
    system.sql("DROP SCHEMA public CASCADE")
    system.sql("CREATE SCHEMA public")
    for name in roles:
        system.sql(f'DROP ROLE "{name}"')
    missing = await find_missing(request)
    assert [mount.path for mount in missing.mounts] == [kv.path]
    assert {role.name for role in missing.roles} == set(roles)
    await make_missing(request, missing)
    assert [told(system, name) for name in roles] == before
    assert server.request("GET", f"{kv.path}/config")[1]["data"] == config
    assert server.request("GET", "sys/mounts")[1]["data"][f"{kv.path}/"]["description"] == "of the test"
    report = await restore(made.name, **options)
    assert report.warnings == ()
    assert kv.get("x") == {"a": 1}
    assert system.rows() | {"backup_jobs": []} == rows | {"backup_jobs": []}
    assert system.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'notes'") == [(roles[0],)]


async def test_policies_are_recorded(system: System, kv_mount: Mounter) -> None:
    """Names and text; a token that may not read them gets a warning, and a backup."""
    kv = kv_mount(2)
    kv.put("x", {})
    text = f'path "{kv.path}/*" {{ capabilities = ["read", "list"] }}'
    kv.server.request("PUT", f"sys/policies/acl/{kv.path}", {"policy": text})
    vault = replace(system.vault, roots=(Root("", kv.path),))
    made = await backup(vault=vault, store=system.store, password=PASSWORD, format="v2")
    async with system.store.open() as store:
        recorded = await (await open_archive(store, made.name, PASSWORD)).recorded()
    assert {each.name: each.text for each in recorded.policies}[kv.path] == text
    _, answer = kv.server.request("POST", "auth/token/create", {"policies": [kv.path], "ttl": "1h"})
    limited = replace(vault, auth=TokenAuth(answer["auth"]["client_token"]))
    made = await backup(vault=limited, store=system.store, password=PASSWORD, format="v2", name="limited.enc")
    (warning,) = made.warnings
    assert "is without the vault's policies" in warning or "and the vault's policies" in warning
    with pytest.raises(ConfigurationError, match="has no policies of a vault"):
        await find_missing(
            RestoreRequest(name=made.name, store=system.store, password=PASSWORD, vault=vault), policies=True
        )


async def test_policies_that_are_missing_are_written(system: System, kv_mount: Mounter) -> None:
    """Only when asked for; one that is there with another text stays, and is named."""
    kv = kv_mount(2)
    names = [f"{kv.path}-{each}" for each in ("gone", "other", "same")]
    for name in names:
        kv.server.request("PUT", f"sys/policies/acl/{name}", {"policy": f'# {name}\npath "x" {{}}'})
    vault = replace(system.vault, roots=(Root("", kv.path, allow_empty=True),))
    made = await backup(vault=vault, store=system.store, password=PASSWORD, format="v2")
    kv.server.request("DELETE", f"sys/policies/acl/{names[0]}")
    kv.server.request("PUT", f"sys/policies/acl/{names[1]}", {"policy": "# changed"})
    request = RestoreRequest(name=made.name, store=system.store, password=PASSWORD, vault=vault)
    assert await find_missing(request) == Missing()
    missing = await find_missing(request, policies=True)
    assert ([each.name for each in missing.policies], missing.other_policies) == ([names[0]], (names[1],))
    text = shown(missing)
    assert text[0] == f"is missing and will be written: policy {names[0]}"
    assert text[1:3] == [f"  # {names[0]}", '  path "x" {}']
    assert text[-1] == f"is there with another text, and stays: policy {names[1]}"
    await make_missing(request, missing)
    texts = [kv.server.request("GET", f"sys/policies/acl/{name}")[1]["data"]["policy"] for name in names]
    assert texts == [f'# {names[0]}\npath "x" {{}}', "# changed", f'# {names[2]}\npath "x" {{}}']


async def test_passwords_of_roles(system: System, roles: tuple[str, str]) -> None:
    """What the server keeps of them comes back where it was asked for; who may not read it gets no backup."""
    owner, _ = roles
    asking = replace(system.postgres, role_passwords=True)

    def kept() -> Any:
        return system.sql("SELECT rolpassword FROM pg_authid WHERE rolname = %s", owner)

    before = kept()
    with pytest.raises(ConfigurationError, match="need an archive of format v2"):
        await backup(database=asking, store=system.store, password=PASSWORD)
    made = await backup(database=asking, store=system.store, password=PASSWORD, format="v2")
    request = RestoreRequest(name=made.name, store=system.store, password=PASSWORD, database=system.postgres)
    system.sql(without_sessions(owner))
    system.sql(f'DROP OWNED BY "{owner}" CASCADE')
    for name in roles:
        system.sql(f'DROP ROLE "{name}"')
    missing = await find_missing(request)
    hashed = before[0][0]
    assert hashed.startswith("SCRAM-SHA-256$")
    assert hashed not in repr(missing)
    assert f"is missing and will be made: role {owner} (can log in, with a password)" in shown(missing)
    await make_missing(request, missing)
    assert kept() == before
    system.sql(f"ALTER ROLE \"{owner}\" PASSWORD 'x'")
    limited = PostgresSettings(f"{system.conninfo} user='{owner}' password=x", role_passwords=True)
    with pytest.raises(DatabaseForbidden, match="role_passwords"):
        await answered(roles_of, limited, limit=10)


async def test_format_v1_does_not_say(system: System) -> None:
    """It has no place for it."""
    made = await backup(vault=system.vault, store=system.store, password=PASSWORD)
    with pytest.raises(ConfigurationError, match="is of format V1"):
        await find_missing(RestoreRequest(name=made.name, store=system.store, password=PASSWORD, vault=system.vault))
