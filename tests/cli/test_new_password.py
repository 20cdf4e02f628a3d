"""New passwords: one rule for the command, the library and the service; one that opens an archive may be anything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kleidia_backup import DirectorySettings, Root, TokenAuth, VaultSettings, rewrap
from kleidia_backup.config.reader import load
from kleidia_backup.config.service_build import service_settings
from kleidia_backup.pipeline.convert import ConvertRequest
from kleidia_backup.pipeline.parts.passwords import RULE, SHORTEST, check_new_password
from kleidia_backup.pipeline.parts.request import BackupRequest, RestoreRequest
from kleidia_backup.service.control.backup_settings import BackupSettings, changed
from kleidia_backup.stages.errors import ConfigurationError

from .conftest import Outcome

#: Short, or long and easily guessed.
WEAK = (
    "x",
    "canary-9012",
    "aaaaaaaaaaaa",
    "123456789012",
    "password1234",
    "qwertyuiopasdf",
    "kleidia-backup",
    "ab" * 99,
)
STRONG = ("canary-90123", "correct horse battery staple", "Xq4 \N{SNOWMAN} zw9 Pl2", "a" * 90 + "R7#kQz!mVx2p")
CONFIGURATION = """
[vault]
address = "http://127.0.0.1:1"
roots = [{ mount = "secret", path = "app" }]
[vault.auth]
token = "t"
[database]
host = "127.0.0.1"
[store]
type = "directory"
path = "store"
[password]
env = "WEAK"
"""
VAULT = VaultSettings("http://127.0.0.1:1", TokenAuth("t"), (Root("", "secret", "app"),))


@pytest.mark.parametrize("password", STRONG)
def test_what_is_strong_is_taken(password: str) -> None:
    """Twelve characters that take long to guess, of any alphabet."""
    check_new_password(password)


@pytest.mark.parametrize("password", WEAK)
@pytest.mark.parametrize("archive_format", ["v1", "v2"])
def test_nobody_makes_an_archive_with_what_is_guessed(password: str, archive_format: str, tmp_path: Path) -> None:
    """Backup, conversion and settings refuse it without repeating it; a program may say otherwise; restores take it."""
    store = DirectorySettings(tmp_path)
    made: dict[str, Any] = {"store": store, "vault": VAULT, "password": password, "format": archive_format}
    converted: dict[str, Any] = {"source": "x.enc", "store": store, "old_password": password, "format": archive_format}
    for refused in (
        lambda: BackupRequest(**made),
        lambda: ConvertRequest(**converted),
        lambda: ConvertRequest(**converted | {"old_password": "canary-90123", "new_password": password}),
        lambda: changed(BackupSettings(), {"encryption_password": password}),
    ):
        with pytest.raises(ConfigurationError, match=r"shorter than|easily guessed|encryption_password") as caught:
            refused()
        assert len(password) == 1 or password not in caught.value.message
        assert caught.value.hint
    BackupRequest(**made, allow_weak_password=True)
    ConvertRequest(**converted, allow_weak_password=True)
    RestoreRequest(name="x.enc", store=store, vault=VAULT, password=password)


@pytest.mark.anyio
async def test_nor_is_a_slot_made_with_it(tmp_path: Path) -> None:
    """Another password for an archive of format V2 is a new one."""
    with pytest.raises(ConfigurationError, match="easily guessed"):
        await rewrap("x.enc", store=DirectorySettings(tmp_path), password="x", new_password="aaaaaaaaaaaa")


def test_the_command_and_the_service_refuse_it(
    configured: Callable[[str], Path], call: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 2 before anything is asked; `serve` does not start; `--help` says the rule."""
    monkeypatch.setenv("WEAK", "aaaaaaaaaaaa")
    configured(CONFIGURATION)
    refused = call("backup")
    assert (refused.status, "easily guessed" in refused.err) == (2, True)
    assert "aaaa" not in refused.err
    with pytest.raises(ConfigurationError, match="easily guessed"):
        service_settings(load())
    for command in ("backup", "convert", "rewrap", "serve"):
        assert RULE in " ".join(call(command, "--help").out.split())
    assert f"at least {SHORTEST} characters" in RULE
