"""What docs/recovery.md says to do after each disaster, done by the command on real servers."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .test_end_to_end import Installation, installation  # noqa: F401 - a fixture

PAGE = Path(__file__).parents[2] / "docs" / "recovery.md"


def more(site: Installation, text: str) -> None:
    """Add sections to the configuration."""
    site.config.write_text(f"{site.config.read_text(encoding='utf-8')}\n{text}\n", encoding="utf-8")


def ok(site: Installation, *arguments: str | Path) -> str:
    """Run a command that has to work; what it printed."""
    outcome = site.run(*arguments)
    assert outcome.status == 0, outcome.everything
    return outcome.everything


@pytest.fixture
def owner(installation: Installation) -> Iterator[str]:  # noqa: F811
    """A role that owns the table."""
    name = f"recovery_{secrets.token_hex(4)}"
    installation.sql(f"CREATE ROLE {name}; ALTER TABLE notes OWNER TO {name}")
    yield name
    installation.sql(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


def lose_the_vault(site: Installation) -> None:
    assert site.kv.server.request("DELETE", f"sys/mounts/{site.kv.path}")[0] == 204


def test_corrupted_storage(installation: Installation) -> None:  # noqa: F811
    """Both sides answer and what they hold is wrong: look, restore, look again."""
    ok(installation, "backup")
    before = installation.content()
    installation.wreck()
    ok(installation, "verify", "latest")
    ok(installation, "restore", "latest", "--dry-run")
    ok(installation, "restore", "latest", "--yes")
    assert installation.content() == before
    ok(installation, "test-connection")


def test_fresh_installation(installation: Installation, owner: str) -> None:  # noqa: F811
    """An empty vault and an empty database: one command, which says what it makes."""
    policy = f"sys/policies/acl/{owner}"
    installation.kv.server.request("PUT", policy, {"policy": 'path "x/*" { capabilities = ["read"] }'})
    ok(installation, "backup", "--format", "v2")
    before = installation.content()
    lose_the_vault(installation)
    installation.kv.server.request("DELETE", policy)
    installation.sql(f"DROP TABLE notes, audit_logs; DROP ROLE {owner}")
    told = ok(installation, "restore", "latest", "--fresh", "--policies", "--yes")
    assert f'will be written: policy {owner}\n  path "x/*" {{ capabilities' in told
    assert installation.kv.server.request("GET", policy)[0] == 200
    assert f"will be made: KV mount {installation.kv.path} (version 2)" in told
    assert f"will be made: role {owner} (cannot log in)" in told
    assert installation.content() == before
    assert installation.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'notes'") == [(owner,)]


def test_lost_password(installation: Installation, tmp_path: Path) -> None:  # noqa: F811
    """A private key that was kept apart opens the archive, and gives it a new password."""
    public = {}
    for kind, name in (("x25519", "recovery.key"), ("signing", "signing.key")):
        outcome = installation.run("keygen", "--kind", kind, tmp_path / name, "--json")
        public[kind] = outcome.json["public_key"]
    more(
        installation,
        f'[keys]\nrecipients = ["{public["x25519"]}"]\nsigning_key_file = "{tmp_path / "signing.key"}"\n'
        f'trusted_signers = ["{public["signing"]}"]',
    )
    ok(installation, "backup", "--format", "v2")
    before = installation.content()
    installation.wreck()
    (tmp_path / "archive").write_text("not the password\n", encoding="utf-8")
    assert installation.run("verify", "latest").status == 4
    key = tmp_path / "recovery.key"
    (tmp_path / "new").write_text("a new password that is kept\n", encoding="utf-8")
    ok(installation, "rewrap", "latest", "--key-file", key, "--new-password-file", tmp_path / "new")
    ok(installation, "restore", "latest", "--yes", "--key-file", key)
    assert installation.content() == before
    (tmp_path / "archive").write_text("a new password that is kept\n", encoding="utf-8")
    ok(installation, "verify", "latest")


def test_lost_vault(installation: Installation) -> None:  # noqa: F811
    """A new vault beside the old database: its mounts and secrets come back, and the database is not touched."""
    ok(installation, "backup", "--format", "v2")
    secrets_before = installation.content()[1]
    installation.sql("DELETE FROM notes WHERE id > 3")
    lose_the_vault(installation)
    ok(installation, "restore", "latest", "--only", "vault", "--fresh", "--yes")
    rows, found = installation.content()
    assert (found, len(rows)) == (secrets_before, 3)


def test_lost_store(installation: Installation, tmp_path: Path, store_directory: Path) -> None:  # noqa: F811
    """A copy that was downloaded, put where a store is expected, is an archive like any other."""
    ok(installation, "backup")
    before = installation.content()
    ok(installation, "download", "latest", tmp_path / "copy.enc")
    shutil.rmtree(store_directory / "backups")
    installation.wreck()
    assert installation.run("restore", "latest", "--yes").status != 0
    (store_directory / "backups").mkdir()
    shutil.copy(tmp_path / "copy.enc", store_directory / "backups" / "copy.enc")
    ok(installation, "verify", "copy.enc")
    ok(installation, "restore", "copy.enc", "--yes")
    assert installation.content() == before


def test_wrong_restore(installation: Installation) -> None:  # noqa: F811
    """An older state came back by mistake: the backup that was made right before is restored."""
    ok(installation, "backup", "--name", "old.enc")
    installation.sql("UPDATE notes SET body = 'newer'")
    installation.kv.put("app/jwt", {"secret": "canary-of-the-vault", "newer": True})
    before = installation.content()
    ok(installation, "backup", "--name", "before-the-restore.enc")
    ok(installation, "restore", "old.enc", "--yes")
    assert installation.content() != before
    assert installation.run("restore", "--undo").status != 0  # it was whole: there is nothing unfinished
    ok(installation, "restore", "before-the-restore.enc", "--yes")
    assert installation.content() == before


def test_the_page_has_all_of_them() -> None:
    """Each disaster of the page names the test that walks through it."""
    page = PAGE.read_text(encoding="utf-8")
    named = re.findall(r"`(test_[a-z_]+)`", page)
    assert sorted(named) == sorted(
        name for name in globals() if name.startswith("test_") and name != "test_the_page_has_all_of_them"
    )
