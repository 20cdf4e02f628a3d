"""Some tables at the command line: back, as a copy, and what does not go together."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import Outcome
from .test_end_to_end import Installation, installation  # noqa: F401 - a fixture


@pytest.fixture
def archived(installation: Installation) -> tuple[Installation, str]:  # noqa: F811
    """An installation with an archive, and its name."""
    return installation, installation.run("backup", "--json").json["name"]


def test_back_and_beside(archived: tuple[Installation, str]) -> None:
    """A copy is made without a question; what is overwritten is asked for. The vault stays as it is."""
    system, name = archived
    whole = system.content()
    system.wreck()
    wrecked = system.content()
    refused = system.run("restore", name, "--table", "public.notes", "--json")
    assert (refused.status, refused.json["error"]["type"]) == (9, "NotConfirmed")
    copied = system.run("restore", name, "--table", "notes", "--as", "public.notes_restored", "--json")
    assert (copied.status, copied.json["rows"], copied.json["how"]) == (0, 200, "made")
    system.sql("DROP TABLE notes_restored")
    assert system.content() == wrecked
    shown = system.run("restore", name, "--table", "public.notes", "--dry-run")
    assert (shown.status, "nothing was written" in shown.out) == (0, True), shown.everything
    told = system.run("restore", name, "--table", "public.notes", "--dry-run", "--json").json
    assert (told["how"], told["tables"][0]["rows_archive"], told["blockers"]) == ("rows replaced", 200, [])
    assert system.content() == wrecked
    done = system.run("restore", name, "--table", "public.notes", "--yes", "--backup-first")
    assert (done.status, "200 rows" in done.out, "backup-before-restore-" in done.out) == (0, True, True)
    assert system.content() != wrecked
    told = system.run("restore", name, "--table", "nots", "--yes", "--json").json["error"]
    assert ("public.notes" in told["message"], told["effect"]) == (True, "nothing")
    assert system.run("restore", name, "--yes").status == 0
    assert system.content() == whole


@pytest.mark.parametrize(
    "options",
    [
        ("--as", "public.copy"),
        ("--table", ""),
        ("--table", "users", "--only", "vault"),
        ("--table", "users", "--prune"),
        ("--table", "users", "--as", ""),
    ],
)
def test_what_does_not_go_together(call: Callable[..., Outcome], options: tuple[str, ...]) -> None:
    """It is said before anything is read."""
    outcome = call("restore", "backup-x.enc", *options)
    assert (outcome.status, "--table" in outcome.err) == (2, True)
