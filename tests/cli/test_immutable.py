"""Archives that nobody can delete, and what an attacker hid, on a server that locks objects."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.demo.servers.s3 import Bucket

from .conftest import Outcome

Call = Callable[..., Outcome]
PASSWORD = "canary-encryption-password"
SECRETS = {"a": {"b": "c"}}


def configure(directory: Path, bucket: Bucket, kv: KvMount, lock: str = "") -> None:
    """A configuration with an S3 store and a vault."""
    server = bucket.server
    texts = {
        "password": PASSWORD,
        "kleidia-backup.toml": f"""
[store]
type = "s3"
endpoint = "{server.endpoint}"
bucket = "{bucket.name}"
prefix = "backups/"
access_key_id = "{server.access_key}"
secret_access_key = "{server.secret_key}"
path_style = true
{lock}
[vault]
address = "{kv.server.address}"
roots = [{{ mount = "{kv.path}" }}]
[vault.auth]
token = "{kv.server.root_token}"
[password]
file = "password"
""",
    }
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
        (directory / name).chmod(0o600)


@pytest.mark.parametrize("locking_bucket", ["seaweedfs"], indirect=True)
def test_a_stolen_key_deletes_nothing(locking_bucket: Bucket, kv: KvMount, call: Call, alone: Path) -> None:
    """Both formats are locked, hidden by an attacker, seen behind that, verified, and restored."""
    configure(alone, locking_bucket, kv, 'lock_mode = "compliance"\nlock_days = 2\n')
    kv.put("a", SECRETS["a"])
    (store, _) = call("test-connection", "--json").json["checks"]
    assert (store["ok"], store["allowed"]["locks"], store["allowed"]["lock_days"]) == (True, True, 2)
    assert "archives are locked for 2 days (compliance)" in store["detail"]
    names = ["backups/v1.enc", "backups/v2.enc"]
    for version in ("v1", "v2"):
        done = call("backup", "--type", "vault", "--format", version, "--name", f"{version}.enc")
        assert done.status == 0, done.err
    listed = call("list", "--json").json["archives"]
    for each in listed:
        left = datetime.fromisoformat(each["locked_until"]) - datetime.now(UTC)
        assert timedelta(days=1, hours=23) < left <= timedelta(days=2)
    assert "locked until" in call("list").out
    refused = call("delete", "v1.enc", "--yes", "--json")
    assert (refused.status, refused.json["error"]["type"]) == (7, "ObjectRetained")
    opened = call("rewrap", "v2.enc", "--new-password-file", "password", "--password-file", "password")
    assert "older version" in opened.err, opened.everything

    time.sleep(1.05 - time.time() % 1)  # stores tell times in seconds
    before = datetime.now(UTC).isoformat()
    time.sleep(1.05 - time.time() % 1)
    with contextlib.closing(locking_bucket.server.client()) as client:
        for name in names:
            client.delete_object(Bucket=locking_bucket.name, Key=name)
    locking_bucket.put(names[1], b"planted")
    assert call("list", "--since", "1h", "--json").json["archives"] == []
    shown = call("list", "--as-of", before, "--json").json["archives"]
    assert sorted(each["name"] for each in shown) == names
    assert call("inspect", "v2.enc").status != 0
    for name in ("v1.enc", "v2.enc"):
        for command in (["inspect"], ["verify"], ["contents"][: name == "v2.enc"]):
            if command:
                done = call(*command, name, "--as-of", before)
                assert done.status == 0, done.everything
        kv.put("a", {"b": "wrecked"})
        done = call("restore", name, "--as-of", before, "--yes", "--backup-first")
        assert (done.status, kv.all()) == (0, SECRETS), done.everything
    done = call("restore", "latest", "--as-of", "2000-01-01", "--yes")
    assert done.status == 7, done.everything


def test_a_bucket_that_cannot_lock(seaweed_bucket: Bucket, kv: KvMount, call: Call, alone: Path) -> None:
    """It is said by the test, no archive is made, and another time than now is refused."""
    configure(alone, seaweed_bucket, kv, 'lock_mode = "governance"\n')
    kv.put("a", SECRETS["a"])
    tried = call("test-connection", "--json")
    (store, _) = tried.json["checks"]
    assert (tried.status, store["missing"]) == (7, ["Object Lock of the bucket"])
    assert call("test-connection", "--for", "restore").status == 0
    assert call("backup", "--type", "vault").status == 7
    assert seaweed_bucket.keys() == []
    done = call("list", "--as-of", "2026-01-01")
    assert (done.status, "keeps no versions" in done.err) == (2, True), done.everything
