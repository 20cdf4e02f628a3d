"""``pin``, ``unpin`` and ``retention`` on the command line, without a service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kleidia_backup.formats.v1.header import Header, encode_preamble

from ..formats import second_writer
from .conftest import Outcome

Call = Callable[..., Outcome]
DAY = timedelta(days=1)


@pytest.fixture
def store(configured: Callable[[str], Path], store_directory: Path, tmp_path: Path) -> Path:
    """Archives of one password, of three days, two of them of the third; an old one; and one that it does not open."""
    (tmp_path / "password").write_text(second_writer.PASSWORD + "\n", encoding="utf-8")
    text = f'[password]\nfile = "{tmp_path / "password"}"\n[store]\ntype = "directory"\npath = "{store_directory}"\n'
    configured(f'{text}prefix = "backups/"\n[retention]\ndays = 7\nkeep_at_least = 1\nkeep_daily = 3\n')
    (store_directory / "backups").mkdir()
    sealed = second_writer.seal(second_writer.gzip_member(second_writer.document(second_writer.INNER, "", {})))
    for each in (name(1), name(2), name(40), name(40, minute=0), name(400)):
        (store_directory / each).write_bytes(second_writer.archive(sealed))
    made = datetime.now(UTC) - 500 * DAY
    header = Header(created_at=made, backup_type="full", includes_db=True, includes_kv=True, includes_audit=True)
    (store_directory / name(500)).write_bytes(encode_preamble(header, b"s" * 32, b"n" * 12) + b"ciphertext")
    return store_directory


def name(days: int, minute: int = 1) -> str:
    made = datetime.now(UTC).replace(hour=0, minute=minute, second=0) - days * DAY
    return f"backups/backup-full-{made:%Y%m%d-%H%M%S}.enc"


def test_pinned_archives_stay(call: Call, store: Path) -> None:
    """A pin lies in the store: every reader sees it; retention and `delete` leave the archive until it is gone."""
    short = name(400).removeprefix("backups/")
    pinned = call("pin", short, "--reason", "evidence in case 7", "--json")
    assert (pinned.status, pinned.json["name"], pinned.json["reason"]) == (0, name(400), "evidence in case 7")
    assert pinned.json["recorded"] is False
    assert (store / f"{name(400)}.pin").exists()
    again = call("pin", name(400), "--reason", "another")
    assert "evidence in case 7" in again.out  # the pin that there is stays
    known = {each["name"]: each["known"]["pinned"] for each in call("list", "--json").json["archives"]}
    assert [each for each, pin in known.items() if pin] == [name(400)]
    refused = call("delete", name(400), "--yes", "--json")
    assert (refused.status, refused.json["error"]["type"]) == (9, "Pinned")
    assert "kleidia-backup unpin" in refused.json["error"]["hint"]
    assert "case 7" in refused.json["error"]["message"]
    assert call("pin", "backup-full-20200101-000000.enc").status == 7

    dry = call("retention", "--dry-run", "--json")
    assert dry.status == 0, dry.everything
    why = {each["name"]: each["reasons"] for each in dry.json["archives"]}
    assert why[name(400)] == ["pinned"]
    assert why[name(40)] == ["daily"]
    assert [each["name"] for each in dry.json["archives"] if each["goes"]] == [name(40, minute=0)]
    assert dry.json["left_alone"] == [name(500)]
    assert (dry.json["rules"]["daily"], dry.json["rules_from"]) == (3, "configuration")
    assert (store / name(40, minute=0)).exists()

    done = call("retention")
    assert done.status == 0, done.everything
    assert "1 archive deleted." in done.out
    assert "pinned" in done.out
    left = {str(each.relative_to(store)) for each in store.rglob("*") if each.is_file()}
    assert left == {name(days) for days in (1, 2, 40, 400, 500)} | {f"{name(400)}.pin"}
    assert call("unpin", short, "--json").json["changed"] is True
    assert call("unpin", short, "--json").json["changed"] is False
    assert call("retention", "--json").json["deleted"] == [name(400)]


def test_without_rules_nothing_is_deleted(call: Call, configured: Callable[[str], Path], store: Path) -> None:
    """No section, no rules; and a rule that cannot be is refused."""
    text = f'[store]\ntype = "directory"\npath = "{store}"\nprefix = "backups/"\n'
    configured(text)
    refused = call("retention", "--json")
    assert (refused.status, "[retention]" in refused.json["error"]["hint"]) == (2, True)
    configured(f"{text}[retention]\ndays = 0\n")
    assert call("retention", "--json").json["deleted"] == []
    configured(f'{text}[retention]\ntimezone = "Nowhere/Land"\n')
    assert call("retention").status == 2
    assert len(list(store.rglob("*.enc"))) == 6
