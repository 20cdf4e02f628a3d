"""An archive is begun while the servers are asked: what fails there is told in the order in which it always was."""

from __future__ import annotations

import anyio
import pytest

from kleidia_backup import PostgresSettings, backup
from kleidia_backup.pipeline.archives import writing
from kleidia_backup.stages.errors import ConfigurationError, DatabaseUnreachable

from ..archive_format import both_formats, current
from .conftest import PASSWORD, System

pytestmark = [pytest.mark.anyio, both_formats]


async def _fail(*_: object) -> None:
    await anyio.sleep(0.01)
    raise ConfigurationError("no key can be made")


async def test_an_archive_that_cannot_be_begun(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said when the archive is needed, and nothing is written."""
    monkeypatch.setattr(writing, "begin_archive", _fail)
    with pytest.raises(ConfigurationError, match="no key can be made"):
        await backup(database=system.postgres, store=system.store, password=PASSWORD, format=current())
    assert not list(system.directory.iterdir())


async def test_a_server_that_is_gone_comes_first(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else fails meanwhile."""
    monkeypatch.setattr(writing, "begin_archive", _fail)
    gone = PostgresSettings("host=127.0.0.1 port=1 dbname=none user=nobody", pg_dump=system.postgres.pg_dump)
    with pytest.raises(DatabaseUnreachable):
        await backup(database=gone, store=system.store, password=PASSWORD, format=current())
