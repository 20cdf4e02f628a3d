"""Archives of format V2 at the command line: asked for, configured, and told apart by whatever reads them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from .test_end_to_end import Call, Installation, installation  # noqa: F401 - a fixture


@pytest.mark.parametrize("how", ["argument", "file", "variable"])
def test_the_format_is_asked_for_or_configured(installation: Installation, how: str) -> None:  # noqa: F811
    """And restored as any other: nobody has to say which it is."""
    system = installation
    if how == "file":
        text = system.config.read_text(encoding="utf-8")
        assert "[backup]" not in text
        system.config.write_text(f'{text}\n[backup]\nformat = "v2"\nlevel = 3\n', encoding="utf-8")
    variables = {"KLEIDIA_BACKUP_FORMAT": "v2", "KLEIDIA_BACKUP_LEVEL": "19"} if how == "variable" else {}
    given = ["--format", "v2"] if how == "argument" else []
    made = system.run("backup", *given, "--json", environment=variables)
    assert (made.status, made.json["format"]) == (0, "v2")
    name = made.json["name"]
    before = system.content()
    system.wreck()
    assert system.run("verify", name).status == 0
    assert system.run("restore", name, "--yes").status == 0
    assert system.content() == before


def test_without_a_word_it_is_v1(installation: Installation) -> None:  # noqa: F811
    """The default; what is configured gives way to what is asked for."""
    assert installation.run("backup", "--json").json["format"] == "v1"
    variables = {"KLEIDIA_BACKUP_FORMAT": "v2"}
    assert installation.run("backup", "--format", "v1", "--json", environment=variables).json["format"] == "v1"


def test_a_wrong_format_or_level_is_refused(installation: Installation) -> None:  # noqa: F811
    """Before anything is done, with what there is."""
    assert installation.run("backup", "--format", "v3").status == 2
    told = installation.run("backup", environment={"KLEIDIA_BACKUP_LEVEL": "20"})
    assert told.status == 2
    assert "from 1 to 19" in told.err
    assert installation.run("list", "--json").json["archives"] == []


def test_a_password_of_v2_is_tried_without_its_data(installation: Installation) -> None:  # noqa: F811
    """Right or wrong, with the status of each."""
    name = installation.run("backup", "--format", "v2", "--json").json["name"]
    right = installation.run("verify", name, "--password-only", "--json")
    assert (right.status, right.json["password"], right.json["header"]["version"]) == (0, "right", 2)
    wrong = installation.run(
        "verify", name, "--password-only", environment={"KLEIDIA_BACKUP_PASSWORD": "another password"}
    )
    assert wrong.status == installation.run("verify", name, environment={"KLEIDIA_BACKUP_PASSWORD": "x"}).status == 4


def test_several_jobs_need_v2(installation: Installation) -> None:  # noqa: F811
    """Asked for or configured; there is nothing large here, so that one does it."""
    told = installation.run("backup", "--jobs", "3")
    assert told.status == 2
    assert "needs an archive of format v2" in told.err
    variables = {"KLEIDIA_DATABASE_JOBS": "3"}
    assert installation.run("backup", environment=variables).status == 2
    assert installation.run("backup", "--jobs", "1", environment=variables).status == 0
    assert installation.run("backup", "--format", "v2", environment=variables).status == 0
    assert installation.run("backup", "--format", "v2", "--jobs", "65").status == 2
    assert installation.run("backup", "--format", "v2", "--jobs", "0").status == 2


def test_the_contents_are_listed_for_who_has_the_password(installation: Installation) -> None:  # noqa: F811
    """Tables with their rows, and how many secrets; without --contents nobody needs it."""
    name = installation.run("backup", "--format", "v2", "--json").json["name"]
    wrong = {"KLEIDIA_BACKUP_PASSWORD": "another password"}
    assert installation.run("inspect", name, environment=wrong).status == 0
    shown = installation.run("inspect", name, "--contents")
    assert shown.status == 0
    assert "public.notes" in shown.out
    told = installation.run("inspect", name, "--contents", "--json").json
    rows = {each["name"]: each["rows"] for each in told["tables"]}
    assert (rows["public.notes"], told["secrets"]) == (len(installation.content()[0]), 6)
    assert installation.run("inspect", name, "--contents", environment=wrong).status == 4


def test_a_v1_archive_lists_nothing_and_is_converted(installation: Installation) -> None:  # noqa: F811
    """Its contents need the whole archive; of the V2 archive that is made of it they are listed."""
    system = installation
    name = system.run("backup", "--json").json["name"]
    told = system.run("inspect", name, "--contents")
    assert (told.status, "convert" in told.err) == (2, True)
    shown = system.run("convert", name, "--format", "v2")
    assert (shown.status, "which stays" in shown.out) == (0, True)
    new = name.replace(".enc", "-v2.enc")
    assert {each["name"] for each in system.run("list", "--json").json["archives"]} == {name, new}
    before = system.content()
    system.wreck()
    assert system.run("restore", new, "--yes").status == 0
    assert system.content() == before
    assert system.run("convert", name, "--format", "v2").status == 7  # its name is taken
    other = system.config.parent / "other"
    other.write_text("canary-of-another-archive\n", encoding="utf-8")
    other.chmod(0o600)
    made = system.run("convert", new, "--format", "v1", "--name", "again.enc", "--new-password-file", other, "--json")
    assert (made.status, made.json["format"], made.json["source"]) == (0, "v1", new)
    assert system.run("verify", "again.enc").status == 4
    assert system.run("verify", "again.enc", "--password-file", other).status == 0


def test_a_recovery_kit_is_written_without_a_configuration(call: Call, tmp_path: Path) -> None:
    """Its checksums are printed; where it cannot be written is said; a place must be named."""
    shown = call("recovery-kit", tmp_path / "kit")
    assert shown.status == 0
    for path in (tmp_path / "kit").iterdir():
        assert f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" in shown.out
    (tmp_path / "file").touch()
    assert call("recovery-kit", tmp_path / "file" / "kit").status == 2
    assert call("recovery-kit").status == 2


def test_a_recovery_kit_lies_in_the_store_and_in_no_listing(installation: Installation) -> None:  # noqa: F811
    """Below the prefix, in a folder of its own."""
    told = installation.run("recovery-kit", "--store", "--json")
    assert (told.status, "recovery-kit/" in told.json["where"]) == (0, True)
    assert "HOW-TO.txt" in told.json["files"]
    assert installation.run("list", "--json").json["archives"] == []


def test_a_dry_run_of_v2_does_not_claim_what_it_did_not_read(installation: Installation) -> None:  # noqa: F811
    """Of V1 every byte was read, of V2 no row."""
    for version, said in (("v1", "The archive is whole."), ("v2", "its rows were not verified")):
        name = installation.run("backup", "--format", version, "--json").json["name"]
        shown = installation.run("restore", name, "--dry-run")
        assert (shown.status, said in shown.out) == (0, True)
