"""Drills of good archives, in both formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ..archive_format import both_formats
from .conftest import Bench

pytestmark = pytest.mark.anyio


def kept(file: str) -> tuple[dict[str, Any], str]:
    """A report as it lies in the directory, and its page."""
    return json.loads(Path(file).read_text()), Path(file).with_suffix(".html").read_text()


@both_formats
async def test_a_good_archive_is_proven(bench: Bench) -> None:
    """Everything is compared, and the report says so."""
    rows, secrets = bench.system.rows(), bench.system.secrets()
    name = await bench.backup()
    report = await bench.drill()
    assert (report.verdict, report.cause, report.failures, report.reason) == ("proven", "", (), "")
    assert report.archive.key == name
    assert report.archive.newest
    assert report.database is not None
    assert {
        table.name: (table.rows_in_archive, table.rows_restored, table.equal) for table in report.database.tables
    } == {
        "public.audit_logs": (100, 100, True),
        "public.notes": (500, 500, True),
        "public.users": (50, 50, True),
    }
    objects = report.database.objects
    assert (objects.sequences, objects.indexes) == (4, 4)
    assert report.vault is not None
    assert (report.vault.secrets_in_archive, report.vault.equal, report.vault.extra) == (33, 33, 0)
    assert report.cleaned_up
    assert bench.left == 1
    assert (bench.system.rows(), bench.system.secrets()) == (rows, secrets)
    written, page = kept(report.file)
    assert written["verdict"] == "proven"
    assert page.startswith("<!DOCTYPE html>")
