"""``restore --into-database``, ``--create``, ``--into-mount`` and ``--backup-first`` on the command line."""

from __future__ import annotations

from secrets import token_hex

import pytest

from .test_end_to_end import Installation, installation  # noqa: F401 - a fixture


def test_a_missing_database_is_refused_and_a_backup_comes_first(installation: Installation) -> None:  # noqa: F811
    """Nothing is changed by the first; the second names its backup, which is not the latest."""
    name = installation.run("backup", "--json").json["name"]
    installation.wreck()
    before = installation.content()
    absent = f"absent_{token_hex(4)}"
    refused = installation.run("restore", name, "--into-database", absent, "--yes", "--json")
    assert refused.status == 2
    error = refused.json["error"]
    assert (absent in error["message"], "--create" in error["hint"], error["effect"]) == (True, True, "nothing")
    mount = installation.run("restore", name, "--into-mount", "no-such-mount", "--yes", "--json")
    assert mount.status != 0
    assert mount.json["error"]["hint"]
    assert installation.content() == before
    shown = installation.run("restore", "latest", "--backup-first", "--yes")
    assert shown.status == 0, shown.everything
    assert "backup-before-restore-" in shown.everything
    again = installation.run("restore", "latest", "--backup-first", "--yes", "--json").json
    assert again["name"] == name
    assert "backup-before-restore-" in again["backup"]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--create",),
        ("--into-database", "x", "--only", "vault"),
        ("--into-mount", "x", "--only", "database"),
        ("--dry-run", "--backup-first"),
        ("--table", "users", "--as", "copy", "--backup-first"),
        ("--table", "users", "--create", "--into-database", "x"),
    ],
)
def test_what_does_not_go_together(installation: Installation, wrong: tuple[str, ...]) -> None:  # noqa: F811
    """It is an error of usage, before anything is asked of a server."""
    assert installation.run("restore", "any.enc", *wrong, "--yes").status == 2
