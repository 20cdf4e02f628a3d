"""What other sessions hold that depends on the archive's objects: temporary things, which only they may alter."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from kleidia_backup import DirectorySettings, PostgresSettings

from ..archive_format import backup
from .lab import Lab
from .running import PASSWORD, planned, restored

pytestmark = pytest.mark.anyio

_BASE = """
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION g(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE TABLE t (a int);
CREATE SEQUENCE s;
"""


@pytest.mark.parametrize(
    ("held", "refused"),
    [
        ("CREATE TEMP TABLE held (a int DEFAULT public.f())", True),
        ("CREATE TEMP TABLE held (a int DEFAULT nextval('public.s'))", True),
        ("CREATE TEMP TABLE held (a int, CHECK (public.f() > 0))", True),
        ("CREATE TEMP TABLE held (a public.t)", True),
        ("CREATE TEMP TABLE held (a text); CREATE INDEX held_i ON held (public.g(a))", False),
        ("CREATE TEMP VIEW held AS SELECT * FROM public.t", False),
    ],
)
async def test_temporary_things(lab: Lab, store_directory: Path, held: str, refused: bool) -> None:
    """A dry run names what no restore may alter; what a restore may drop, it says and drops."""
    database = lab.make_database()
    lab.load(database, _BASE)
    options = {"database": PostgresSettings(lab.conninfo(database)), "store": DirectorySettings(store_directory)}
    made = await backup(password=PASSWORD, **options)
    with psycopg.connect(lab.conninfo(database), autocommit=True) as other:
        other.execute(held.encode())
        untouched = lab.dump(database)
        dry, real = await planned(made.name, **options), await restored(made.name, **options)
        assert (dry.well, real.well) == (not refused, not refused), (dry, real)
        assert "held" in (dry.words if refused else dry.warnings)
        assert "held" in (real.words if refused else real.warnings)
        if refused:
            assert lab.dump(database) == untouched
