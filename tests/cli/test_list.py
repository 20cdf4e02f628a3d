"""``list`` and ``latest`` on the command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from .conftest import Outcome

Call = Callable[..., Outcome]


@pytest.fixture
def store(configured: Callable[[str], Path], call: Call, store_directory: Path, tmp_path: Path) -> Path:
    """An empty store in a directory that the command is configured with."""
    (tmp_path / "password").write_text("correct horse battery staple\n", encoding="utf-8")
    lines = ["[password]", f'file = "{tmp_path / "password"}"', "[store]", 'type = "directory"']
    configured("\n".join([*lines, f'path = "{store_directory}"', 'prefix = "backups/"']))
    return store_directory


@pytest.fixture
def archives(store: Path) -> list[str]:
    """The archives of three types, an hour, two days and forty days old, of one vector of the format."""
    vector = next(Path(__file__).parent.parent.joinpath("formats/vectors").rglob("*.enc"))
    (store / "backups").mkdir()
    names = []
    for kind, age in (("full", timedelta(hours=1)), ("database", timedelta(days=2)), ("vault", timedelta(days=40))):
        names.append(f"backups/backup-{kind}-{datetime.now(UTC) - age:%Y%m%d-%H%M%S}.enc")
        shutil.copy(vector, store / names[-1])
    return names


def test_a_list_can_be_narrowed(call: Call, archives: list[str]) -> None:
    """By type, age and number; what is unknown is null for programs, and named for people."""

    def listed(*options: str) -> list[str]:
        return [each["name"] for each in call("list", "--json", *options).json["archives"]]

    assert listed() == archives
    assert listed("--type", "vault") == archives[2:]
    assert listed("--since", "7d") == archives[:2]
    assert listed("--since", "3h", "--type", "vault") == []
    assert listed("--since", f"{datetime.now(UTC) - timedelta(days=20):%Y-%m-%d}", "--limit", "1") == archives[:1]
    (first, *_) = call("list", "--json").json["archives"]
    assert first["known"].pop("pinned") is False
    assert set(first["known"].values()) == {None}
    assert set(first["known"]) == {"duration", "verified", "proven", "copies"}
    assert datetime.fromisoformat(first["created_at"]).tzinfo is not None
    shown = call("list").out
    assert "Not known here: duration, verified, proven, copies." in shown
    for wrong in ("yesterday", "7", "2026-13-01", "999999d"):
        assert call("list", "--since", wrong).status == 2
    assert call("list", "--since", "3h", "--type", "vault").out == "No archive is of that type and age.\n"
    assert call("list", "--limit", "1001").status == call("list", "--limit", "0").status == 2


def test_a_service_that_cannot_be_asked_is_a_warning(
    call: Call, archives: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing is there all the same: on a bad day it is what is needed."""
    monkeypatch.setenv("KLEIDIA_SERVICE_CONTROL_CONNINFO", "host=/nowhere dbname=app")
    listed = call("list", "--json")
    assert [each["name"] for each in listed.json["archives"]] == archives
    assert "records of the archives cannot be read (database app at" in listed.err


def test_latest_is_a_name(call: Call, store: Path, archives: list[str], tmp_path: Path) -> None:
    """Wherever one is taken; nothing is done to another archive than the one that is named."""
    copied = call("download", "latest", tmp_path / "copy", "--json")
    assert (copied.status, copied.json["name"]) == (0, archives[0])
    deleted = call("delete", "latest", "--yes", "--json")
    assert (deleted.status, deleted.json["name"]) == (0, archives[0])
    assert call("inspect", "latest", "--json").json["name"] == archives[1]
    (store / archives[1]).write_bytes((store / archives[1]).read_bytes()[:-40])
    failed = call("verify", "latest")
    assert (failed.status, f"(latest: {archives[1]})" in failed.err) == (3, True)
    (store / archives[1]).write_bytes(b"no archive")
    failed = call("verify", archives[1])
    assert (failed.status, "latest" in failed.err) == (3, False)
    assert "neither KLEIDIA_BACKUP_V1 nor KLEIDIA_BACKUP_V2" in failed.err


def test_no_archive_is_no_latest(call: Call, store: Path, tmp_path: Path) -> None:
    """A clear error, of the store."""
    for command in (
        ["verify"],
        ["inspect"],
        ["delete", "--yes"],
        ["restore", "--dry-run"],
        ["rewrap", "--drop-password"],
    ):
        failed = call(*command, "latest")
        assert failed.status == 7, failed.everything
        assert "no archive" in failed.err
    assert call("download", "latest", tmp_path / "copy").status == 7
    assert not (tmp_path / "copy").exists()
    assert store.exists()
