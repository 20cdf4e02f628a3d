"""Second copies on the command line: made with a backup, shown, filled, restored from, deleted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kleidia_backup.config.copies.read import copies_of
from kleidia_backup.config.reader import load
from kleidia_backup.config.targets.targets import one_target

from .conftest import Outcome
from .test_end_to_end import Installation, installation  # noqa: F401 - a fixture

_COPIES = """
[[copies]]
name = "disk"
type = "directory"
path = "disk"
[[copies]]
type = "directory"
path = "away"
prefix = "other/"
retention_days = 30
keep_at_least = 1
"""


@pytest.fixture
def copied(installation: Installation) -> Installation:  # noqa: F811
    """An installation with two copies, the second of which is not there."""
    (installation.config.parent / "disk").mkdir()
    with installation.config.open("a", encoding="utf-8") as config:
        config.write(_COPIES)
    return installation


def _states(shown: Outcome) -> dict[str, dict[str, str]]:
    return {
        each["name"]: {one["copy"]: one["state"] for one in each["known"]["copies"]} for each in shown.json["archives"]
    }


def test_copies_from_backup_to_restore(copied: Installation) -> None:
    """A copy that fails is a warning; it is filled later. A restore from one needs the first store no more."""
    made = {each: copied.run("backup", "--format", each, "--name", f"of-{each}.enc", "--json") for each in ("v1", "v2")}
    assert [each.status for each in made.values()] == [0, 0]
    assert all("The copy copy-2 failed" in each.err for each in made.values())
    assert [(each["copy"], each["state"]) for each in made["v2"].json["copies"]] == [("disk", "ok")]
    away: Path = copied.config.parent / "away"
    lacking = copied.run("copies", "--json")
    assert (lacking.status, [each["ok"] for each in lacking.json["copies"]]) == (8, [True, False])
    (_, gone) = copied.run("copies").out.split("Copy 2: copy-2")
    assert re.search(r"archives +not known", gone)
    assert "to be copied" not in gone
    assert copied.run("test-connection").status == 7

    away.mkdir()
    assert _states(copied.run("list", "--json")) == {
        f"backups/of-{each}.enc": {"disk": "ok", "copy-2": "missing"} for each in ("v1", "v2")
    }
    dry = copied.run("copies", "sync", "--dry-run", "--json")
    assert (dry.status, sorted(dry.json["copies"][1]["copied"])) == (8, ["of-v1.enc", "of-v2.enc"])
    filled = copied.run("copies", "sync", "--json")
    assert (filled.status, filled.json["copies"][1]["lag"]) == (0, 0)
    assert "disk: ok, copy-2: ok" in copied.run("list").out
    assert "copy disk: ok" in copied.run("test-connection").out

    before = copied.content()
    for path in (copied.config.parent / "store").rglob("*.enc"):
        path.rename(path.with_suffix(".gone"))
    for name, copy in (("backups/of-v1.enc", "disk"), ("of-v2.enc", "2"), ("latest", "2")):
        copied.wreck()
        assert copied.run("verify", name, "--from-copy", copy).status == 0
        shown = copied.run("restore", name, "--from-copy", copy, "--yes")
        assert (shown.status, copied.content()) == (0, before), shown.everything
    assert copied.run("list", "--from-copy", "2", "--json").json["archives"][0]["name"].startswith("other/")
    assert copied.run("list", "--from-copy", "3").status == 2


def test_deleting_leaves_copies_unless_asked(copied: Installation) -> None:
    """And one of them alone is deleted by --from-copy."""
    (copied.config.parent / "away").mkdir()
    for name in ("one.enc", "two.enc", "three.enc"):
        assert copied.run("backup", "--type", "vault", "--name", name).status == 0
    assert "Its copies stay" in copied.run("delete", "one.enc", "--yes").out
    assert copied.run("delete", "two.enc", "--yes", "--copies", "--json").json["copies"] == ["disk", "copy-2"]
    assert copied.run("delete", "three.enc", "--from-copy", "disk", "--yes").status == 0
    assert _states(copied.run("list", "--json")) == {"backups/three.enc": {"disk": "missing", "copy-2": "ok"}}
    left = {path.name for path in copied.config.parent.rglob("*.enc")}
    assert left == {"one.enc", "three.enc"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('type = "directory"\npath = "store"\nprefix = "backups"', "the same place as the first store"),
        ('type = "directory"\npath = "disk"\nbukket = "x"', "a key that is not known"),
        ('type = "directory"\npath = "disk"\nlag = "soon"', "lag in [[copies]]"),
        (
            'bucket = "x"\naccess_key_id = "a"\nsecret_access_key = "b"\nkeep_at_least = 0',
            "keep_at_least in [[copies]]",
        ),
        ('type = "s3"', "bucket"),
    ],
)
def test_what_cannot_be_configured(installation: Installation, text: str, said: str) -> None:  # noqa: F811
    """Is told with the copy's number, and before anything is done."""
    with installation.config.open("a", encoding="utf-8") as config:
        config.write(f"\n[[copies]]\n{text}\n")
    shown = installation.run("config")
    assert shown.status == 2
    assert "Copy 1 of [[copies]]" in shown.err
    assert said in shown.err


def test_targets_share_copies_in_folders_of_their_own(tmp_path: Path) -> None:
    """A target's own tables take the place of those at the top level."""
    file = tmp_path / "config.toml"
    file.write_text(
        '[store]\ntype = "directory"\npath = "store"\n[[copies]]\ntype = "directory"\npath = "disk"\nprefix = "all"\n'
        '[targets.one.backup]\nformat = "v2"\n'
        '[[targets.two.copies]]\nname = "mine"\ntype = "directory"\npath = "own"\n',
        encoding="utf-8",
    )
    found = {name: copies_of(one_target(load(file, {}), name)) for name in ("one", "two")}
    shown = {
        name: [(each.name, each.store.where, each.store.prefix) for each in copies] for name, copies in found.items()
    }
    assert shown == {
        "one": [("copy-1", str(tmp_path / "disk"), "all/one/")],
        "two": [("mine", str(tmp_path / "own"), "")],
    }
