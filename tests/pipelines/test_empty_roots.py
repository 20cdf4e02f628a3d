"""A root of the vault that holds nothing: an error, unless it may be empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from kleidia_backup import ConfigurationError, DirectorySettings, Root, TokenAuth, VaultSettings, restore, verify
from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.pipeline.parts.request import BackupRequest

from ..archive_format import backup, both_formats
from .conftest import PASSWORD

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> DirectorySettings:
    """An empty one."""
    (tmp_path / "store").mkdir()
    return DirectorySettings(tmp_path / "store")


def vault(kv: KvMount, *roots: Root) -> VaultSettings:
    return VaultSettings(kv.server.address, TokenAuth(kv.server.root_token), roots)


@both_formats
async def test_a_root_with_a_typo_is_no_backup(kv: KvMount, store: DirectorySettings) -> None:
    """Nothing appears in the store: an archive without what was asked for is no success."""
    kv.put("app/x", {"n": 1})
    wrong = vault(kv, Root("", kv.path, "app"), Root("keys/", kv.path, "typo"))
    with pytest.raises(ConfigurationError, match=f"{kv.path}/typo/ holds no secret"):
        await backup(vault=wrong, store=store, password=PASSWORD)
    assert list(store.path.rglob("*.enc")) == []
    allowed = vault(kv, Root("", kv.path, "app"), Root("keys/", kv.path, "typo", allow_empty=True))
    made = await backup(vault=allowed, store=store, password=PASSWORD)
    assert (made.secrets, (await verify(made.name, store=store, password=PASSWORD)).secrets) == (1, 1)
    assert any("typo/ holds no secret" in each for each in made.warnings)


async def test_an_empty_vault_is_backed_up_before_it_is_filled(kv: KvMount, store: DirectorySettings) -> None:
    """On the day after a disaster there is nothing in it."""
    kv.put("x", {"n": 1})
    settings = vault(kv, Root("", kv.path))
    made = await backup(vault=settings, store=store, password=PASSWORD)
    kv.delete("x")
    first = BackupRequest(store=store, password=PASSWORD, vault=settings)
    report = await restore(made.name, vault=settings, store=store, password=PASSWORD, backup_first=first)
    assert report.backup
    assert kv.all() == {"x": {"n": 1}}
