"""Archives whose SQL was made to do harm: no shell, no file, nothing committed, preserved rows as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from kleidia_backup import DirectorySettings, KleidiaError, PostgresSettings, plan_restore, restore
from kleidia_backup.pipeline.engine import in_thread
from kleidia_backup.stages.errors import InternalError, JobTimeout

from ..formats import second_writer as writer
from .hostile import BETWEEN, ENDINGS, Hostile
from .lab import Lab

pytestmark = pytest.mark.anyio

_HEAD = """--
-- PostgreSQL database dump
--

SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);

CREATE TABLE public.first (
    a integer
);

"""
_SECOND = "\nCREATE TABLE public.second (\n    a integer\n);\n"
_FAILS = "\nSELECT 1/0;\n"

_THERE = """
CREATE TABLE kept (id int PRIMARY KEY, x text); INSERT INTO kept VALUES (1, 'kept');
CREATE TABLE backup_jobs (id serial PRIMARY KEY, s text); INSERT INTO backup_jobs (s) VALUES ('one'), ('two');
CREATE TABLE f (j int CONSTRAINT f_fk REFERENCES backup_jobs); INSERT INTO f VALUES (1);
"""


def write(directory: Path, name: str, text: str) -> None:
    """An archive of a database with this SQL, by the book."""
    kind = {"backup_type": "database", "includes_kv": False}
    document = writer.document(writer.INNER | kind, "@sql@", {})
    # A lone surrogate is an escape in JSON, and no text in UTF-8.
    quoted = b'"' + b"".join(_json(character) for character in text) + b'"'
    document = document.replace(b'"@sql@"', quoted)
    ciphertext = writer.seal(writer.gzip_member(document))
    (directory / name).write_bytes(writer.archive(ciphertext, writer.OUTER | kind))


def _json(character: str) -> bytes:
    if character in '"\\' or ord(character) < 32 or 0xD800 <= ord(character) < 0xE000:
        return f"\\u{ord(character):04x}".encode()
    return character.encode()


class Target:
    """A database that archives are restored into, one after another, and what must stay as it is."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self._lab = lab
        self._directory = directory
        self.file = directory.parent / "canary-file"
        self.name = lab.make_database()
        lab.load(self.name, _THERE)
        self._settings = PostgresSettings(lab.conninfo(self.name))
        self._store = DirectorySettings(directory)
        self._rows = lab.rows_of(self.name, "backup_jobs")

    async def restore(self, text: str) -> str:
        """Try a dry run and a restore: what the restore said, empty when it took place. Nothing may have happened."""
        archive = f"{len(list(self._directory.iterdir()))}.enc"
        write(self._directory, archive, text.replace("@file@", str(self.file)))
        before = await in_thread(self._lab.dump, self.name)
        options: dict[str, Any] = {"store": self._store, "password": writer.PASSWORD, "database": self._settings}
        try:
            await plan_restore(archive, timeout=30, **options)
        except (InternalError, JobTimeout):
            raise
        except KleidiaError:
            pass  # whether it foresees what such an archive does is nobody's concern
        said = ""
        try:
            await restore(archive, timeout=30, **options)
        except (InternalError, JobTimeout):
            raise
        except KleidiaError as exc:
            said = f"{exc.message} {exc.hint}"
        assert not self.file.exists(), "a file was written"
        assert self._lab.left_behind(self.name) == []
        if said:
            assert await in_thread(self._lab.dump, self.name) == before, f"something was committed: {said}"
            assert exc_says_nothing_is_committed(said), said
        return said

    def nothing_is_lost(self) -> None:
        """The preserved rows are there, and both tables of the archive."""
        assert self._lab.rows_of(self.name, "backup_jobs") == self._rows, "preserved rows changed"
        found = self._lab.answer(
            self.name, "SELECT to_regclass('first') IS NOT NULL, to_regclass('second') IS NOT NULL"
        )
        assert found == [(True, True)], "half of the archive is there"

    def nothing_elsewhere(self) -> None:
        """No database, no prepared transaction, no setting of the server's."""
        found = self._lab.admin.execute(
            sql.SQL(
                "SELECT datname::text FROM pg_database WHERE datname = 'stolen' UNION ALL SELECT gid FROM pg_prepared_xacts"
                " UNION ALL SELECT name FROM pg_file_settings WHERE sourcefile ~ 'auto.conf'"
            )
        ).fetchall()
        assert found == []


def exc_says_nothing_is_committed(said: str) -> bool:
    """No refusal leaves it open whether something is there."""
    return "may be committed" not in said and "may be there" not in said


@pytest.fixture
def target(lab: Lab, store_directory: Path) -> Target:
    """A small database with a preserved table."""
    return Target(lab, store_directory)


def _params() -> list[object]:
    return [pytest.param(each, id=each.name, marks=[pytest.mark.thorough] if each.thorough else []) for each in BETWEEN]


@pytest.mark.parametrize("hostile", _params())
async def test_nothing_of_it_happens(hostile: Hostile, target: Target) -> None:
    """Before a statement that surely fails nothing stays; without it all or nothing does."""
    assert await target.restore(f"{_HEAD}{hostile.text}\n{_SECOND}{_FAILS}")
    said = await target.restore(f"{_HEAD}{hostile.text}\n{_SECOND}")
    if hostile.refused:
        assert said
    if not said:
        target.nothing_is_lost()
    target.nothing_elsewhere()


@pytest.mark.parametrize("half", [0, 1], ids=["one half", "the other half"])
async def test_text_that_ends_anywhere(target: Target, half: int) -> None:
    """Whatever the last bytes are, all of the archive is there or nothing."""
    for text in ENDINGS[half::2]:
        said = await target.restore(f"{_HEAD}{_SECOND}DROP TABLE IF EXISTS public.third;\n{text}")
        if not said:
            target.nothing_is_lost()
        target.nothing_elsewhere()
