"""Reports: chained, signed, compared with the one before, printable; nothing secret in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kleidia_backup import Keys, SigningKey
from kleidia_backup.pipeline.drills.canonical import check_signature, digest
from kleidia_backup.pipeline.drills.kept import check_reports
from kleidia_backup.pipeline.drills.page import page

from .conftest import Bench

pytestmark = pytest.mark.anyio


def documents(directory: Path) -> list[dict[str, Any]]:
    """The reports, oldest first."""
    return [json.loads(path.read_text()) for path in sorted(directory.glob("drill-*.json"))]


async def test_each_report_names_the_one_before_and_is_signed(bench: Bench) -> None:
    """Whoever changes one, or takes one out, is found out."""
    key, other = SigningKey.generate(), SigningKey.generate()
    await bench.backup()
    for _ in range(3):
        await bench.drill(keys=Keys(signing_key=key))
    first, second, third = documents(bench.reports)
    assert first["previous"] is None
    assert second["previous"] == {"id": first["id"], "verdict": "proven", "sha256": digest(first)}
    assert all(check_signature(each, key.public.raw) for each in (first, second, third))
    assert not check_signature(first, other.public.raw)
    assert not check_signature(first | {"verdict": "failed"}, key.public.raw)
    assert [each.trouble for each in check_reports(bench.reports, [key.public])] == ["", "", ""]
    assert [each.trouble for each in check_reports(bench.reports, [other.public])] != ["", "", ""]
    paths = sorted(bench.reports.glob("drill-*.json"))
    paths[1].unlink()
    assert [each.trouble for each in check_reports(bench.reports)] == ["", "it does not follow the report before"]
    paths[0].write_text("{")
    assert check_reports(bench.reports)[0].trouble == "no report"


async def test_what_shrank_since_the_drill_before(bench: Bench) -> None:
    """A warning, and no verdict."""
    await bench.backup()
    await bench.drill()
    bench.system.sql("DELETE FROM notes WHERE id > 200")
    bench.system.sql("DROP TABLE audit_logs")
    name = await bench.backup(name="backup-smaller.enc", vault=None)
    bench.sql("DROP TABLE notes, audit_logs, users, backup_jobs")
    report = await bench.drill(name)
    assert report.verdict == "proven"
    assert report.warnings == (
        "The table public.audit_logs had 100 rows in the drill before and is not in this archive.",
        "The table public.notes has 200 rows; in the drill before it had 500.",
    )


async def test_no_secret_is_in_a_report(bench: Bench) -> None:
    """Nor a path, unless it is asked for."""
    await bench.backup()
    wrong = bench.damaging(lambda: bench.mount.put("jwt-secret", {"secret": "wrong-one"}))
    await bench.drill(scratch=wrong)
    (path,) = bench.reports.glob("drill-*.json")
    assert path.stat().st_mode & 0o777 == 0o600
    for text in (path.read_text(), path.with_suffix(".html").read_text()):
        for secret in ("ünï", "wrong-one", "jwt-secret", "correct horse", bench.system.application.server.root_token):
            assert secret not in text
    report = await bench.drill(scratch=wrong, show_paths=True)
    assert report.vault is not None
    assert report.vault.paths == ("jwt-secret",)


async def test_ages_and_times_are_held_against_what_is_wanted(bench: Bench) -> None:
    """An archive that is too old says that backups may have stopped."""
    await bench.backup()
    report = await bench.drill(restore_within=3600.0, not_older_than=0.001)
    assert (report.verdict, report.rto.met, report.rpo.met, report.archive.overdue) == ("proven", True, False, True)
    assert report.warnings[0].startswith("The archive is older")


def test_the_page_escapes_what_it_shows() -> None:
    """A table may have any name."""
    nothing: dict[str, Any] = {"failures": [{"check": "x", "name": "<script>&"}], "steps": [], "checks": []}
    shown = page(
        nothing
        | {"verdict": "failed", "started": "now", "archive": {"key": '"<b>'}, "rto": {}, "rpo": {}, "warnings": []}
    )
    assert "<script>" not in shown
    assert "&lt;script&gt;&amp;" in shown
