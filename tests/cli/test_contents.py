"""``contents`` and ``diff`` on the command line: what they print, their status, and that no value is in it."""

from __future__ import annotations

import pytest

from .test_end_to_end import Installation, installation  # noqa: F401 - a fixture


@pytest.mark.parametrize("archive_format", ["v1", "v2"])
def test_contents_and_diff(installation: Installation, archive_format: str) -> None:  # noqa: F811
    """For people and for programs; what a name or a definition holds cannot steer a terminal."""
    run = installation.run
    assert run("contents", "latest").status == 7
    installation.sql("CREATE TABLE \"red\x1b[31m\" (id int DEFAULT length('\x1b[2J'))")
    name = run("backup", "--format", archive_format, "--json").json["name"]

    found = run("contents", "latest", "--secrets", "--json").json
    assert found["name"] == name
    assert {"name": "public.notes", "rows": 200, "bytes": found["tables"][1]["bytes"]} in found["tables"]
    assert found["secret_paths"] == ["jwt", *(f"keys/{n}/piv" for n in range(5))]
    assert found["kinds"]["TABLE"] == 3
    shown = run("contents", name, "--secrets")
    assert shown.status == 0
    for text in ("public.notes", "TABLE", "keys/3/piv", r"red\x1b[31m"):
        assert text in shown.out
    assert "keys/3/piv" not in run("contents", name).out

    same = run("diff", name, "--json")
    assert (same.status, same.json["equal"], same.json["schema"]) == (0, True, [])
    assert run("diff", name, "--live").out.startswith("Nothing is different")
    installation.wreck()
    installation.sql('ALTER TABLE "red\x1b[31m" ADD COLUMN other int')
    told = run("diff", "latest", "--live")
    assert told.status == 0
    for text in ("There are differences", "public.notes", "- secret keys/1/piv", "! secret jwt", "+    other integer"):
        assert text in told.out
    assert "\x1b" not in shown.out + told.out
    changed = run("diff", name, "--json").json
    assert (changed["equal"], changed["secrets_gone"], changed["exit_code"]) == (False, ["keys/1/piv"], 0)

    other = run("backup", "--format", "v2", "--name", "other.enc", "--json").json["name"]
    between = run("diff", name, "latest", "--json").json
    assert (between["old"], between["new"]) == (name, other)
    assert between["tables"][0]["change"] == "rows"
    assert run("diff", name, other, "--live").status == 2
