"""The servers of the demo and of these tests: they answer, they end, and they leave nothing."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from kleidia_backup.service.demo.servers import Bucket, KvMount


def test_each_test_has_an_empty_database(database: str) -> None:
    """A fresh database answers with password authentication and holds no table of ours."""
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert row == (0,)


def test_each_test_has_empty_kv_mounts(kv: KvMount, kv_mount: Callable[[int], KvMount]) -> None:
    """KV v2 and v1 mounts start empty, take secrets with any name, and give them back."""
    for mount in (kv, kv_mount(1)):
        assert mount.paths() == []
        mount.put("folder/na me?#%", {"x": 1})
        mount.put("folder", {"y": "ü"})
        assert mount.all() == {"folder": {"y": "ü"}, "folder/na me?#%": {"x": 1}}
        mount.delete("folder")
        assert mount.paths() == ["folder/na me?#%"]


def test_each_test_has_empty_buckets(bucket: Bucket, rclone_bucket: Bucket) -> None:
    """Buckets start empty and keep what is put."""
    for each in (bucket, rclone_bucket):
        assert each.keys() == each.uploads() == []
        each.put("a/b", b"data")
        assert each.keys() == ["a/b"]
        assert each.get("a/b") == b"data"
