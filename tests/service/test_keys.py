"""A service with keys in place of a password: what it needs none for, and what it says otherwise."""

from __future__ import annotations

import secrets
from dataclasses import replace

import psycopg
import pytest

from kleidia_backup import ConfigurationError, Keys, PrivateKey, SigningKey, TokenAuth, TransitKey
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.demo.servers.kv import vault_request
from kleidia_backup.service.service import Service

from .conftest import ended, new_backup

pytestmark = pytest.mark.anyio

PRIVATE, SIGNING = PrivateKey.generate("x25519"), SigningKey.generate()
#: What a host has that backs up and cannot read, and one that can.
WRITER = Keys(recipients=(PRIVATE.public,), signing_key=SIGNING, password_slot=False)
READER = replace(WRITER, private_keys=(PRIVATE,))
NO_PASSWORD = "No encryption password is set"


def rows(conninfo: str) -> int:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        (found,) = connection.execute("SELECT count(*) FROM users").fetchone() or (0,)
        return int(found)


async def test_a_backup_and_a_restore_without_any_password(
    service_settings: ServiceSettings, application: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Sealed for a public key alone; restored by the private one."""
    settings = replace(service_settings, password=None, keys=READER, format="v2")
    before = rows(application)
    async with Service(settings) as service:
        made = await ended(service, (await service.submit(new_backup())).id)
        assert (made.status, made.error) == ("completed", None)
        with psycopg.connect(application, autocommit=True) as connection:
            connection.execute("DELETE FROM users")
        back = new_backup(kind="restore", archive=made.archive)
        done = await ended(service, (await service.submit(back)).id)
        assert (done.status, done.error) == ("completed", None)
    assert rows(application) == before
    assert "no encryption password" not in "".join(capfd.readouterr())


async def test_what_still_needs_a_password(service_settings: ServiceSettings) -> None:
    """A backup with a slot for it, and a restore where no private key is: refused before there is a job."""
    settings = replace(service_settings, password=None, format="v2")
    async with Service(replace(settings, keys=replace(WRITER, password_slot=True))) as service:
        with pytest.raises(ConfigurationError, match=NO_PASSWORD):
            await service.submit(new_backup())
    async with Service(replace(settings, keys=WRITER)) as service:
        made = await ended(service, (await service.submit(new_backup())).id)
        assert made.error is None
        with pytest.raises(ConfigurationError, match=NO_PASSWORD):
            await service.submit(new_backup(kind="restore", archive=made.archive))


async def test_a_restore_by_the_vault(service_settings: ServiceSettings, application: str) -> None:
    """A Transit key opens it: a service that has no password restores what another one made with it."""
    vault = service_settings.vault
    assert isinstance(vault.auth, TokenAuth)
    mount = f"transit-{secrets.token_hex(4)}"

    def ask(method: str, path: str, body: object = None) -> None:
        assert isinstance(vault.auth, TokenAuth)
        assert vault_request(vault.address, method, path, body, token=vault.auth.token)[0] in {200, 204}

    ask("POST", f"sys/mounts/{mount}", {"type": "transit"})
    try:
        ask("POST", f"{mount}/keys/backup", {})
        keys = replace(WRITER, transit=TransitKey(mount, "backup", vault))
        before = rows(application)
        async with Service(replace(service_settings, password=None, keys=keys, format="v2")) as service:
            made = await ended(service, (await service.submit(new_backup())).id)
            assert (made.status, made.error) == ("completed", None)
            with psycopg.connect(application, autocommit=True) as connection:
                connection.execute("DELETE FROM users")
            done = await ended(service, (await service.submit(new_backup(kind="restore", archive=made.archive))).id)
            assert (done.status, done.error) == ("completed", None)
        assert rows(application) == before
    finally:
        ask("DELETE", f"sys/mounts/{mount}")


async def test_keys_for_the_other_format(service_settings: ServiceSettings) -> None:
    """Format V1 knows none: the job says so, and which setting to change."""
    settings = replace(service_settings, password=None, keys=WRITER, format="v1")
    async with Service(settings) as service:
        failed = await ended(service, (await service.submit(new_backup())).id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert "Archives of format V1 know no keys" in failed.error
