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
    for beginning in ("0001-01-01", "0001-01-01T00:30:00Z"):  # an hour before it is in no calendar
        assert listed("--since", beginning) == archives
    assert listed("--since", "9999-12-31T23:59:59Z") == []
    for wrong in ("yesterday", "7", "2026-13-01", "999999d"):
        assert call("list", "--since", wrong).status == 2
    assert call("list", "--since", "3h", "--type", "vault").out == "No archive is of that type and age.\n"
    assert call("list", "--limit", "1001").status == call("list", "--limit", "0").status == 2


def test_more_than_a_page_is_said_and_can_be_had(call: Call, store: Path) -> None:
    """Of 1,234 archives 1,000 are shown, the number of the others is said, and another page has them."""
    vector = next(Path(__file__).parent.parent.joinpath("formats/vectors").rglob("*.enc"))
    (store / "backups").mkdir()
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    names = [f"backups/backup-full-{begin + timedelta(hours=n):%Y%m%d-%H%M%S}.enc" for n in range(1234)]
    shutil.copy(vector, store / names[0])
    for name in names[1:]:
        (store / name).hardlink_to(store / names[0])
    first = call("list", "--json").json
    assert (len(first["archives"]), first["total"], first["next"]) == (1000, 1234, 1000)
    second = call("list", "--json", "--offset", "1000").json
    assert (len(second["archives"]), second["total"], second["next"]) == (234, 1234, None)
    assert [each["name"] for each in first["archives"] + second["archives"]] == names[::-1]
    assert "234 of 1,234 follow, and --offset 1000 shows them" in " ".join(call("list").out.split())
    assert "follow" not in call("list", "--offset", "1000").out
    assert call("list", "--limit", "2", "--offset", "1", "--json").json["next"] == 3
    assert call("list", "--offset", "1234").out.startswith("There are no archives that are as old")
    assert call("list", "--offset", "-1").status == 2


def test_unfinished_uploads_are_named(call: Call, store: Path) -> None:
    """With their size, when they began, and when a backup aborts them; one that is not ours stays."""
    (store / "backups").mkdir()
    for name in ("backup-full-20260101-000000.enc", "mine.enc"):
        (store / "backups" / f".{name}.0123456789abcdef.part").write_bytes(b"x" * 100)
    listed = call("list", "--uploads", "--json").json["uploads"]
    ours = next(each for each in listed if "mine" not in each["name"])
    theirs = next(each for each in listed if "mine" in each["name"])
    assert (ours["name"], ours["size"]) == ("backups/backup-full-20260101-000000.enc", 100)
    began, aborted = (datetime.fromisoformat(ours[name]) for name in ("began", "aborted_after"))
    assert aborted - began == timedelta(days=1)
    assert theirs["aborted_after"] is None
    shown = call("list", "--uploads").out
    assert "backup-full-20260101-000000.enc" in shown
    assert "never" in shown
    assert call("list", "--json").json["archives"] == []


def test_no_unfinished_upload(call: Call, store: Path) -> None:
    """Is said."""
    assert call("list", "--uploads", "--json").json["uploads"] == []
    assert call("list", "--uploads").out.strip() == "There are no unfinished uploads."


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
