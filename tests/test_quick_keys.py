"""What the other tests do without: a salt of its own for each archive."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from kleidia_backup.formats.v1.header import Header
from kleidia_backup.formats.v2.keys.slots import seal_password
from kleidia_backup.pipeline.archives.v1 import WriteV1

from .quick_keys import fresh_salts


@pytest.mark.anyio
async def test_each_archive_has_a_salt_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """In both formats, for one and the same password."""
    fresh_salts(monkeypatch)
    request: Any = SimpleNamespace(password="password")
    header = Header(
        backup_type="full", created_at=datetime.now(UTC), includes_db=True, includes_kv=True, includes_audit=True
    )
    monkeypatch.setattr("kleidia_backup.pipeline.archives.v1.derive_key", lambda *_: bytes(32))
    salts = {(await WriteV1.begin(request, header))._salt for _ in range(50)}
    salts |= {seal_password("password", bytes(32), bytes(32), t=1, m=8, p=1).salt for _ in range(50)}
    assert len(salts) == 100
