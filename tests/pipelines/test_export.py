"""Exports: what is read of an archive, and that a file appears only when everything in it was verified."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kleidia_backup import DamagedArchive, backup
from kleidia_backup.pipeline import export as exports
from kleidia_backup.pipeline.export import ExportRequest, export_secrets, export_sql, export_table, read_secrets
from kleidia_backup.pipeline.parts.request import Format
from kleidia_backup.stages.errors import ConfigurationError, JobTimeout

from .conftest import PASSWORD, System, leading_to
from .test_some_secrets import OPENING
from .test_v2 import Watched, made_archive, places

pytestmark = pytest.mark.anyio


async def test_the_rows_of_a_small_table_are_read_alone(system: System, tmp_path: Path) -> None:
    """Of a large archive of format V2: the segments that hold them, and those that open it."""
    name = await made_archive(system)
    store, file = Watched(system.store), tmp_path / "users.csv"
    settings = leading_to(store, system.store)
    report = await export_table(ExportRequest(name=name, store=settings, password=PASSWORD, file=file), "public.users")
    assert (report.rows, report.table) == (50, "public.users")
    assert file.read_text().splitlines()[:2] == ["id,name", "1,user 1"]
    read = sum(end - start for start, end in store.asked)
    assert read < 2 * 262_144 + OPENING < (system.directory / "backups" / Path(name).name).stat().st_size / 2


@pytest.mark.parametrize("format", ["v1", "v2"])
@pytest.mark.parametrize("what", ["secrets", "sql", "rows"])
async def test_a_damaged_archive_makes_no_file(
    system: System,
    format: Any,  # noqa: A002 - what everybody calls it
    what: str,
    tmp_path: Path,
) -> None:
    """One bit of the last segment that is read, or of the last byte: an old file of that name stays."""
    name = await made_archive(system, format=format)
    path = system.directory / name
    data = bytearray(path.read_bytes())
    at = len(data) - 20
    if format == "v2":
        where = await places(system, name)
        at = where[{"secrets": "kv", "sql": "sql", "rows": "rows"}[what]][1] - 20
    data[at] ^= 1
    path.write_bytes(data)
    file = tmp_path / "file"
    file.write_text("old")
    request = ExportRequest(name=name, store=system.store, password=PASSWORD, file=file, overwrite=True)
    with pytest.raises(DamagedArchive):
        await (
            export_secrets(request)
            if what == "secrets"
            else export_sql(request)
            if what == "sql"
            else export_table(request, "public.notes")
        )
    assert file.read_text() == "old"
    assert not _unfinished(tmp_path)


def _unfinished(directory: Path) -> list[str]:
    return [each.name for each in directory.iterdir() if each.name.endswith(".part")]


async def test_limits(system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too much to be shown, and the job's time: nothing is made."""
    name = await made_archive(system)
    file = tmp_path / "file"
    request = ExportRequest(name=name, store=system.store, password=PASSWORD, file=file)
    assert [secret.path for secret in await read_secrets(request, ["*large/3"])] == ["yubikeys/large/3"]
    monkeypatch.setattr(exports, "MOST", 1000)
    with pytest.raises(ConfigurationError, match="too large to be shown"):
        await read_secrets(request, ["*large/3"])
    short = ExportRequest(name=name, store=system.store, password=PASSWORD, file=file, timeout=0.001)
    with pytest.raises(JobTimeout):
        await export_secrets(short)
    assert not file.exists()


@pytest.mark.parametrize("what", ["link", "pipe", "directory"])
async def test_what_is_no_file_is_not_replaced(system: System, what: str, tmp_path: Path) -> None:
    """Not even with leave to overwrite: a device would be gone, and clear text would lie beside a link."""
    name = await made_archive(system)
    file, target = tmp_path / "file", tmp_path / "target"
    target.write_text("old")
    if what == "link":
        file.symlink_to(target)
    elif what == "pipe":
        os.mkfifo(file)
    else:
        file.mkdir()
    before = file.lstat().st_ino
    with pytest.raises(ConfigurationError, match="is no regular file"):
        await export_sql(ExportRequest(name=name, store=system.store, password=PASSWORD, file=file, overwrite=True))
    assert (file.lstat().st_ino, target.read_text()) == (before, "old")


@pytest.mark.parametrize("archive_format", ["v1", "v2"])
async def test_a_table_that_is_copied_by_parts(system: System, archive_format: Format, tmp_path: Path) -> None:
    """Each partition by the hash of an enum's value has a COPY of its own, with columns in its own order."""
    system.sql("CREATE TYPE state AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h')")
    system.sql("CREATE TABLE states (state state, n int, note text) PARTITION BY HASH (state)")
    system.sql("CREATE TABLE states_0 PARTITION OF states FOR VALUES WITH (MODULUS 2, REMAINDER 0)")
    system.sql("CREATE TABLE states_1 (note text, state state, n int)")
    system.sql("ALTER TABLE states ATTACH PARTITION states_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1)")
    system.sql("INSERT INTO states SELECT s, n, 'a, b' FROM unnest(enum_range(NULL::state)) s, generate_series(1, 9) n")
    made = await backup(database=system.postgres, store=system.store, password=PASSWORD, format=archive_format)
    file = tmp_path / "states.csv"
    request = ExportRequest(name=made.name, store=system.store, password=PASSWORD, file=file)
    report = await export_table(request, "states")
    lines = file.read_text().splitlines()
    assert (report.rows, lines[0]) == (72, "state,n,note")
    assert sorted(lines[1:]) == sorted(f'{state},{n},"a, b"' for state in "abcdefgh" for n in range(1, 10))
