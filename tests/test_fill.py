"""What the demo fills in, how it compares, and that its wrecking is noticed."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from kleidia_backup.demo.compare import Digest, digest_database, digest_vault, wreck_database, wreck_vault
from kleidia_backup.demo.fill import fill_database, fill_vault
from kleidia_backup.demo.servers.together import KvMount


def test_the_database_has_what_the_specification_names(database: str) -> None:
    """Every table has rows, the number of audit rows is the one asked for, and job history refers to users."""
    fill_database(database, keys=40, audit_logs=70)
    rows = {table: count for table, (count, _) in digest_database(database).items()}
    assert rows.keys() == {"organizations", "users", "yubikeys", "certificates", "audit_logs", "backup_jobs"}
    assert rows["yubikeys"] == 40
    assert rows["audit_logs"] == 70
    assert all(rows.values())
    with psycopg.connect(database) as connection:
        query = "SELECT count(*) FROM backup_jobs JOIN users ON users.id = triggered_by"
        assert connection.execute(query).fetchone() == (10,)
        assert connection.execute("SELECT count(*) > 0 FROM key_holders").fetchone() == (True,)


def test_a_database_that_is_wrecked_differs(database: str) -> None:
    """Every wrecked table is named; job history, which a restore must preserve, is not touched."""
    fill_database(database, keys=12)
    before = Digest(tables=digest_database(database))
    assert before.differences(Digest(tables=digest_database(database))) == []
    wreck_database(database)
    after = Digest(tables=digest_database(database))
    assert before.differences(after) == ["audit_logs", "certificates", "users", "yubikeys"]
    assert after.rows < before.rows


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET display_name = display_name || ' ' WHERE id = 1",
        "UPDATE users SET last_login = last_login + interval '1 microsecond' WHERE last_login IS NOT NULL",
        "DELETE FROM users WHERE id = 3",
        "INSERT INTO users SELECT 99, organization_id, '', '', '', false, created_at, NULL FROM users WHERE id = 1",
    ],
)
def test_one_row_is_enough_to_differ(database: str, change: str) -> None:
    """A blank, a microsecond, a row less or more: each is seen."""
    fill_database(database, keys=1)
    before = digest_database(database)["users"]
    with psycopg.connect(database) as connection:
        connection.execute(change)
    assert digest_database(database)["users"] != before


def test_a_vault_that_is_wrecked_differs(kv_mount: Callable[[int], KvMount]) -> None:
    """Each key has a folder of its own, the system's secrets stand beside; wrecking loses some and changes others."""
    application, yubikeys = kv_mount(2), kv_mount(2)
    assert fill_vault(application, yubikeys, keys=9, folder="app") == 9 + 7
    before = Digest(secrets=digest_vault(application, yubikeys))
    assert len(before.secrets) == 16
    assert len(yubikeys.names()) == 9
    assert all(name.endswith("/") for name in yubikeys.names())
    assert yubikeys.get(f"{yubikeys.names()[0]}piv").keys() >= {"management_key", "pin", "puk"}
    assert {"app/jwt-secret", "app/database", "app/s3", "app/ca", "app/ca/intermediate"} <= set(application.paths())
    assert before.differences(Digest(secrets=digest_vault(application, yubikeys))) == []
    wreck_vault(application, yubikeys)
    after = Digest(secrets=digest_vault(application, yubikeys))
    lost = before.secrets.keys() - after.secrets.keys()
    assert lost
    assert len(before.differences(after)) > len(lost)
    assert before.secrets.keys() > after.secrets.keys()


def test_the_same_seed_fills_the_same(
    database: str, new_database: Callable[[], str], kv_mount: Callable[[int], KvMount]
) -> None:
    """Content follows from the number of keys and the seed, also in a KV v1 engine; another seed gives another."""
    other, third = new_database(), new_database()
    fill_database(database, keys=3)
    fill_database(other, keys=3)
    fill_database(third, keys=3, seed=1)
    assert digest_database(database) == digest_database(other) != digest_database(third)
    engines = [kv_mount(2), kv_mount(1), kv_mount(2)]
    contents = []
    for engine, seed in zip(engines, (0, 0, 1), strict=True):
        fill_vault(engine, engine, keys=3, seed=seed)
        contents.append(engine.all())
    assert contents[0] == contents[1] != contents[2]
