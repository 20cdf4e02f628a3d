"""Looking before leaping at the command line: the dry run, one part, removing what is not in the archive, passwords."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import NoReturn

import anyio
import pytest

from kleidia_backup.pipeline.job import Job

from .test_end_to_end import Installation, installation  # noqa: F401 - a fixture


@pytest.fixture
def archived(installation: Installation) -> tuple[Installation, str]:  # noqa: F811
    """An installation with an archive, and its name; afterwards a secret and a table came that it does not have."""
    name = installation.run("backup", "--json").json["name"]
    installation.kv.put("app/later", {"pin": "canary-of-the-vault"})
    installation.sql("CREATE TABLE later AS SELECT generate_series(1, 3) AS n")
    return installation, name


def test_a_dry_run_asks_nothing_and_writes_nothing(archived: tuple[Installation, str]) -> None:
    """Tables, secrets and time for people; everything for programs; no question, for there is nothing to confirm."""
    system, name = archived
    system.wreck()
    before = system.content()
    shown = system.run("restore", name, "--dry-run")
    assert (shown.status, shown.err) == (0, "")
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "public.notes dropped and created 200 3" in lines
    assert "public.later stays: not in the archive 3" in lines
    assert "new secrets 1: keys/1/piv" in lines
    assert "changed secrets 1: jwt" in lines
    assert "unchanged secrets 4" in lines
    assert "not in the archive 1: later; would stay" in lines
    assert any(line.startswith("would take about ") for line in lines)

    told = system.run("restore", name, "--dry-run", "--prune", "--json")
    assert (told.status, told.json["exit_code"], told.json["blockers"]) == (0, 0, [])
    assert (told.json["vault"]["new"], told.json["vault"]["changed"], told.json["vault"]["extra"]) == (1, 1, 1)
    assert {table["name"]: table["rows_now"] for table in told.json["database"]["tables"]} == {
        "public.audit_logs": 1,
        "public.later": 3,
        "public.notes": 3,
    }
    assert "would be removed" in system.run("restore", name, "--dry-run", "--prune").out
    assert system.content() == before


def test_what_would_make_a_restore_fail_has_a_status(archived: tuple[Installation, str]) -> None:
    """8, the reason in the result; and a restore does fail."""
    system, name = archived
    system.sql("CREATE TABLE in_the_way () INHERITS (notes)")
    shown = system.run("restore", name, "--dry-run")
    assert shown.status == 8
    assert "It would fail: What the archive does not know depends on what it replaces: table public.in_the_way" in (
        shown.out
    )
    told = system.run("restore", name, "--dry-run", "--json").json
    assert (told["exit_code"], len(told["blockers"])) == (8, 1)
    assert system.run("restore", name, "--yes").status == 5
    only = system.run("restore", name, "--dry-run", "--only", "vault", "--json")
    assert (only.status, only.json["database"]) == (0, None)


def test_many_tables_are_counted_and_not_all_shown(archived: tuple[Installation, str]) -> None:
    """The screen has fifty of them, those that need a look first; ``--json`` has all."""
    system, name = archived
    system.sql("DO $$ BEGIN FOR n IN 1..60 LOOP EXECUTE format('CREATE TABLE many%s (n int)', n); END LOOP; END $$")
    shown = system.run("restore", name, "--dry-run").out
    assert "… and 13 more tables" in shown
    assert len(system.run("restore", name, "--dry-run", "--json").json["database"]["tables"]) == 63


@pytest.mark.parametrize("only", ["database", "vault"])
def test_one_part(archived: tuple[Installation, str], only: str) -> None:
    """``--only`` restores one part with status 0, and refuses one that the archive does not have."""
    system, name = archived
    whole = system.content()
    system.wreck()
    wrecked = system.content()
    restored = system.run("restore", name, "--yes", "--only", only, "--json")
    assert (restored.status, restored.json["left_alone"]) == (0, [])
    assert system.content() == ((whole[0], wrecked[1]) if only == "database" else (wrecked[0], whole[1]))
    other = {"database": "vault", "vault": "database"}[only]
    partial = system.run("backup", "--type", other, "--name", "backup-part.enc", "--json").json["name"]
    refused = system.run("restore", partial, "--yes", "--only", only)
    assert (refused.status, refused.out) == (2, "")
    assert f"no {only} part" in refused.err


def test_prune(archived: tuple[Installation, str]) -> None:
    """What the archive does not have is removed when asked for; with the question unanswered nothing is."""
    system, name = archived
    refused = system.run("restore", name, "--prune")
    assert refused.status == 9
    assert system.kv.get("app/later") is not None
    shown = system.run("restore", name, "--prune", "--yes")
    assert shown.status == 0, shown.everything
    assert "1 secret that the archive does not have" in shown.out
    assert system.kv.get("app/later") is None
    told = system.run("restore", name, "--prune", "--yes", "--json").json
    assert (told["pruned_count"], told["pruned"], told["unpruned_count"]) == (0, [], 0)
    assert system.run("restore", name, "--prune", "--yes", "--only", "database").status == 2


def test_prune_is_asked_for_separately(archived: tuple[Installation, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal there are two questions, and a no to the second one leaves everything as it is."""
    system, name = archived
    system.wreck()
    before = system.content()
    answers = iter(["yes\n", "no\n"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: next(answers))
    refused = system.run("restore", name, "--prune")
    assert refused.status == 9
    assert refused.err.count("Type yes to go on") == 2
    assert "KV version 2 it can be undeleted, in version 1 it is gone" in refused.err
    assert system.content() == before


def test_a_prune_can_be_stopped(archived: tuple[Installation, str]) -> None:
    """Ctrl-C while secrets are removed: the restore is complete, and that is what is said."""
    system, name = archived
    whole = system.content()
    system.wreck()

    async def interrupted(job: Job, *_: object) -> NoReturn:
        job.begin("prune")
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep_forever()
        raise AssertionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kleidia_backup.pipeline.parts.pruning.prune", interrupted)
        stopped = system.run("restore", name, "--prune", "--yes")
    assert stopped.status == 130
    assert "The restore is complete. Secrets that the archive does not have were being removed." in stopped.err
    assert system.content() == whole
    assert system.run("restore", name, "--yes").status == 0  # nothing is unfinished


def test_the_password_alone(archived: tuple[Installation, str], tmp_path: Path) -> None:
    """Right: status 0, and what is still to come. Wrong: status 4. Neither is a verification."""
    system, name = archived
    shown = system.run("verify", name, "--password-only")
    assert shown.status == 0
    assert "The password opens the archive" in shown.out
    assert "still to come" in shown.out
    assert "whole" not in shown.out
    told = system.run("verify", name, "--password-only", "--json").json
    assert (told["password"], told["verified"], told["name"]) == ("right", False, name)
    assert not {"rows", "secrets", "tables"} & set(told)
    (tmp_path / "wrong").write_text("another", encoding="utf-8")
    wrong = system.run("verify", name, "--password-only", "--password-file", tmp_path / "wrong", "--json")
    assert (wrong.status, json.loads(wrong.out)["error"]["type"]) == (4, "WrongPassword")
