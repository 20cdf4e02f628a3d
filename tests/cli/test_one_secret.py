"""One secret, or some, out of an archive and back into the vault; everything else stays as it is."""

from __future__ import annotations

import re

import pytest

from .test_end_to_end import Installation, installation  # noqa: F401 - a fixture


@pytest.fixture(params=["v1", "v2"])
def archived(installation: Installation, request: pytest.FixtureRequest) -> tuple[Installation, str]:  # noqa: F811
    """An installation that was wrecked after an archive of this format was made, and its name."""
    installation.kv.put("app/odd [1], name", {"pin": "canary-of-the-vault"})
    name = installation.run("backup", "--format", request.param, "--json").json["name"]
    installation.wreck()
    installation.kv.delete("app/keys/2/piv")
    return installation, name


def test_one_secret_comes_back_and_nothing_else(archived: tuple[Installation, str]) -> None:
    """The database and the other secrets that are gone or changed stay; a second time nothing is written."""
    system, name = archived
    rows, secrets = system.content()
    shown = system.run("restore", name, "--secret", "keys/1/piv", "--yes", "--json")
    assert shown.status == 0, shown.everything
    told = shown.json
    assert (told["secrets"], told["written"], told["unchanged"], told["left_alone"]) == (1, 1, 0, [])
    assert (told["sql_bytes"], told["tables"]) == (0, 0)
    pin = {"pin": "canary-of-the-vault", "n": 1}
    assert system.content() == (rows, secrets | {"app/keys/1/piv": pin})
    again = system.run("restore", name, "--secret", "/keys/1/piv", "--yes", "--json").json
    assert (again["written"], again["unchanged"]) == (0, 1)


def test_patterns_choose_several(archived: tuple[Installation, str]) -> None:
    """Separated by commas; a path that has glob characters or a comma is chosen by a pattern that fits it."""
    system, name = archived
    rows, secrets = system.content()
    told = system.run("restore", name, "--secret", "keys/*,j?t", "--yes", "--json").json
    assert (told["secrets"], told["written"]) == (6, 3)
    system.kv.delete("app/odd [1], name")
    assert system.run("restore", name, "--secret", "odd [[]1]? name", "--yes").status == 0
    whole = system.content()
    assert (whole[0], len(whole[1])) == (rows, len(secrets) + 2)
    assert whole[1]["app/jwt"] == {"secret": "canary-of-the-vault"}


def test_one_secret_to_another_path(archived: tuple[Installation, str]) -> None:
    """The live one stays as it is; several cannot have one path."""
    system, name = archived
    rows, secrets = system.content()
    assert system.run("restore", name, "--secret", "jwt", "--to", "found/jwt", "--yes").status == 0
    assert system.content() == (rows, secrets | {"app/found/jwt": {"secret": "canary-of-the-vault"}})
    several = system.run("restore", name, "--secret", "keys/*", "--to", "one", "--yes")
    assert several.status == 2
    assert "5 secrets cannot be restored to one path. Nothing was changed." in several.err
    assert system.run("restore", name, "--secret", "a,b", "--to", "one", "--yes").status == 2
    assert system.run("restore", name, "--to", "one", "--yes").status == 2
    assert system.kv.get("app/one") is None


def test_what_the_archive_does_not_have_is_named(archived: tuple[Installation, str]) -> None:
    """With the nearest names, before anything is written, of the other secrets too."""
    system, name = archived
    before = system.content()
    wrong = system.run("restore", name, "--secret", "jwt,keys/1/pif", "--yes", "--json")
    assert wrong.status == 2
    error = wrong.json["error"]
    assert error["message"] == "The archive has no secret keys/1/pif. Nothing was changed."
    assert set(re.findall(r"keys/\d/piv", error["hint"])) <= {f"keys/{n}/piv" for n in range(5)}
    assert "keys/1/piv" in error["hint"]
    none = system.run("restore", name, "--secret", "nowhere/*", "--yes")
    assert (none.status, "The archive has no secret nowhere/*." in none.err) == (2, True)
    assert "hint: `kleidia-backup contents NAME --secrets` lists what it has." in none.err
    for refused in (("--only", "database"), ("--prune",)):
        assert system.run("restore", name, "--secret", "jwt", "--yes", *refused).status == 2
    assert system.run("restore", name, "--secret", "jwt,,", "--yes").status == 2
    assert system.content() == before


def test_a_dry_run_of_one_secret(archived: tuple[Installation, str]) -> None:
    """It says what would be done with this one, and nothing of the others."""
    system, name = archived
    before = system.content()
    told = system.run("restore", name, "--secret", "jwt,keys/1/piv,keys/3/piv", "--dry-run", "--json").json
    vault = told["vault"]
    assert (vault["new"], vault["changed"], vault["unchanged"], vault["extra"]) == (1, 1, 1, 0)
    assert (told["database"], told["warnings"], told["secrets"]) == (None, [], 3)
    assert system.content() == before


def test_the_question_names_the_secrets(archived: tuple[Installation, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """And not the database."""
    system, name = archived
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: "no\n")
    asked = system.run("restore", name, "--secret", "keys/1/piv")
    assert asked.status == 9
    assert "the secret keys/1/piv, below " in asked.err
    assert "dropped" not in asked.err
