"""What the settings begin with, at which start, and what another configuration changes afterwards: nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from kleidia_backup import DirectorySettings, Root, S3Settings, TokenAuth, VaultSettings, verify
from kleidia_backup.config.reader import load
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.config.service_build import service_settings
from kleidia_backup.demo.servers.together import KvMount
from kleidia_backup.service.control.audit import Actor, Audit
from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.secrets import ServiceSecrets
from kleidia_backup.service.control.settings import SettingsStore
from kleidia_backup.service.service import Service
from kleidia_backup.stages.errors import ConfigurationError, KleidiaError, VaultUnreachable

from .asking import MEDIA_TYPE, admin_of, backed_up
from .conftest import PASSWORD, ended, files, new_backup

pytestmark = pytest.mark.anyio

ADA = Actor("u-1", "ada", "192.0.2.7", "desk")
FIRST, SECOND = "canary-of-the-first-file", "canary-of-the-second-file"
#: Where the service keeps them.
PLACE = "app/own/encryption-password"
STALE = "these settings of the configuration count no more: they are changed by PUT /api/backup/settings"


def bucket(secret: str = "canary-key", **changes: Any) -> S3Settings:
    return S3Settings(
        **{
            "endpoint": "https://s3.example.com",
            "bucket": "first",
            "access_key_id": "AKIA1",
            "secret_access_key": secret,
        }
        | changes
    )


@pytest.fixture(params=[1, 2], ids=["kv1", "kv2"])
def vault(request: pytest.FixtureRequest, kv_mount: Callable[[int], KvMount]) -> KvMount:
    return kv_mount(request.param)


@pytest.fixture
def make(control: Control, vault: KvMount) -> Callable[..., SettingsStore]:
    """A replica's settings, as its configuration has them."""

    def made(**configured: Any) -> SettingsStore:
        settings = VaultSettings(vault.server.address, TokenAuth(vault.server.root_token), (Root("", vault.path),))
        secrets = ServiceSecrets(settings, vault.path, "app/own")
        return SettingsStore(control, secrets, Audit(control, "app"), "app", **configured)

    return made


async def test_the_first_start_puts_the_secrets_into_the_vault(
    make: Callable[..., SettingsStore], vault: KvMount
) -> None:
    """Before anybody saved a setting; a start after that, with the same configuration, changes and says nothing."""
    with structlog.testing.capture_logs() as log:
        await make(store=bucket(), password=FIRST).begin()
        assert vault.get(PLACE)["password"] == FIRST
        assert vault.get("app/own/s3")["secret_access_key"] == "canary-key"
        now = vault.all()
        await make(store=bucket(), password=FIRST).begin()
    assert vault.all() == now
    assert log == []


async def test_another_configuration_changes_nothing_and_is_told(
    make: Callable[..., SettingsStore], vault: KvMount
) -> None:
    """Password, key, bucket and prefix stay; the log names what counts no more, without a value."""
    first = make(store=bucket(prefix="one/"), password=FIRST)
    await first.begin()
    now = vault.all()
    second = make(store=bucket("canary-other", bucket="second", prefix="two/"), password=SECOND)
    with structlog.testing.capture_logs() as log:
        assert await second.password() == FIRST
        assert await second.store() == await first.store() == bucket(prefix="one/")
        await second.password()
    assert [(line["event"], line["settings"]) for line in log] == [
        (STALE, ["bucket", "prefix", "secret_access_key", "encryption_password"])
    ]
    assert "canary" not in str(log)
    assert vault.all() == now


async def test_two_that_begin_at_the_same_time(make: Callable[..., SettingsStore], vault: KvMount) -> None:
    """One of two passwords counts, for both."""
    replicas = [make(store=bucket(), password=each) for each in (FIRST, SECOND)] * 3
    found = await asyncio.gather(*(each.password() for each in replicas))
    assert set(found) in ({FIRST}, {SECOND})
    assert vault.get(PLACE)["password"] == found[0]


async def save(control: Control, **settings: object) -> None:
    """Settings as an older version left them, which kept no secret of the configuration."""
    async with control.connection() as connection:
        await connection.execute(
            "INSERT INTO kleidia_backup.settings (target, document, version, changed_at, changed_by)"
            " VALUES ('app', %s, 3, now(), 'ada')",
            (json.dumps({"settings": settings, "tags": {}}),),
        )


async def test_a_key_is_not_taken_for_another_server(
    make: Callable[..., SettingsStore], vault: KvMount, control: Control
) -> None:
    """The settings have no key yet; a configuration for another server has one: it goes nowhere."""
    await save(control, endpoint="https://s3.example.com", bucket="first", access_key_id="AKIA1", prefix="")
    other = make(store=bucket("canary-other", endpoint="https://evil.example"))
    with pytest.raises(ConfigurationError, match="is not in the vault"):
        await other.store()
    assert vault.paths() == []
    assert (await make(store=bucket()).store()) == bucket()  # the right server's is taken


async def test_a_password_that_came_later(make: Callable[..., SettingsStore], vault: KvMount) -> None:
    """The first configuration had none: the first that has one sets it. Then it counts."""
    with pytest.raises(ConfigurationError, match="No encryption password is set"):
        await make(store=bucket()).password()
    assert await make(store=bucket(), password=FIRST).password() == FIRST
    assert await make(store=bucket(), password=SECOND).password() == FIRST


async def test_settings_of_a_version_that_kept_no_secret(
    make: Callable[..., SettingsStore], vault: KvMount, control: Control
) -> None:
    """They were saved while the configuration's password counted at every start: it goes into the vault now."""
    await save(control, retention_days=9, bucket="first")
    store = make(store=bucket(access_key_id="", secret_access_key=""), password=FIRST)
    assert await store.password() == FIRST
    settings, version = await store.get()
    assert (settings.retention_days, version) == (9, 3)
    assert vault.get(PLACE)["password"] == FIRST


@pytest.mark.parametrize("written", [{"password": SECOND}, {"password": SECOND, "tag": "of-another-system"}])
async def test_what_is_in_the_vault_already_stays(
    make: Callable[..., SettingsStore], vault: KvMount, written: dict[str, str]
) -> None:
    """By the operator's own hand, or from before the control database was lost: archives may need it."""
    vault.put(PLACE, written)
    with structlog.testing.capture_logs() as log:
        assert await make(password=FIRST).password() == SECOND
    assert vault.get(PLACE) == written
    assert [line["settings"] for line in log] == [["encryption_password"]]


async def test_something_else_in_its_place_is_not_overwritten(
    make: Callable[..., SettingsStore], vault: KvMount
) -> None:
    """A secret without the field: an error that names it."""
    vault.put(PLACE, {"passwort": "canary"})
    with pytest.raises(ConfigurationError, match="has no text in its field"):
        await make(password=FIRST).password()
    assert vault.get(PLACE) == {"passwort": "canary"}


async def test_what_was_removed_from_the_vault_is_not_replaced(
    make: Callable[..., SettingsStore], vault: KvMount
) -> None:
    """A configuration's other password would open no archive: the error says what is gone, and where it was."""
    await make(password=FIRST).begin()
    vault.delete(PLACE)
    with pytest.raises(ConfigurationError, match="not in the vault any more"):
        await make(password=SECOND).password()


async def test_a_beginning_that_is_not_saved_leaves_nothing(
    make: Callable[..., SettingsStore], vault: KvMount, control: Control
) -> None:
    """The COMMIT is refused after the vault took the password: it is gone again, and the next start begins."""
    async with control.connection() as connection:
        await connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$"
        )
        await connection.execute(
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON kleidia_backup.settings DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    store = make(password=FIRST)
    try:
        with pytest.raises(KleidiaError):
            await store.begin()
    finally:
        async with control.connection() as connection:
            await connection.execute("DROP FUNCTION refuse() CASCADE")
    assert vault.all().get(PLACE) is None
    assert await store.password() == FIRST


async def test_a_directory_is_not_followed_by_another_files_bucket(
    make: Callable[..., SettingsStore], tmp_path: Path
) -> None:
    """The settings began with a directory, which only the file names: a file with a bucket changes nothing."""
    await make(store=DirectorySettings(tmp_path, "p/")).begin()
    with pytest.raises(ConfigurationError, match="No bucket is set"):
        await make(store=bucket()).store()
    assert await make(store=DirectorySettings(tmp_path, "q/")).store() == DirectorySettings(tmp_path, "p/")


# The service ---------------------------------------------------------------------------------------------------------


async def test_two_replicas_with_different_files(service_settings: ServiceSettings, store_directory: Path) -> None:
    """Whichever makes an archive, it opens with the password of the one that started first."""
    mine = replace(service_settings, password=FIRST)
    theirs = replace(service_settings, password=SECOND, store=DirectorySettings(store_directory, "other/"))
    made = []
    async with Service(mine) as service:
        made.append(await ended(service, (await service.submit(new_backup())).id))
    async with Service(theirs) as service:
        made.append(await ended(service, (await service.submit(new_backup())).id))
        assert await service.settings.password() == FIRST
    assert {each.archive.partition("/")[0] for each in made if each.archive} == {"backups"}
    for each in made:
        assert each.archive is not None
        await verify(each.archive, store=DirectorySettings(store_directory, "backups/"), password=FIRST)


async def test_a_vault_that_is_away_at_the_start(
    service_settings: ServiceSettings, kv: KvMount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service starts and says so; the settings begin when the vault is back."""

    async def away(*_: Any) -> bool:
        raise VaultUnreachable("The vault is away.", hint="Wait.")

    with structlog.testing.capture_logs() as log:
        with monkeypatch.context() as patched:
            patched.setattr(ServiceSecrets, "exists", away)
            service = await Service(service_settings).__aenter__()
        try:
            assert kv.paths("service/") == ["service/audit-key"]
            job = await ended(service, (await service.submit(new_backup())).id)
        finally:
            await service.__aexit__(None, None, None)
    assert job.status == "completed"
    assert kv.get("service/encryption-password")["password"] == PASSWORD
    assert [line["error"] for line in log if line["log_level"] == "warning"] == ["The vault is away."]


async def test_without_a_password_nothing_is_begun(
    service_settings: ServiceSettings, store_directory: Path, kv: KvMount
) -> None:
    """The start says it; a trigger and a restore are answered 409 with the next step, and there is no job."""
    with structlog.testing.capture_logs() as log:
        async with Service(replace(service_settings, password=None)) as service, admin_of(service) as admin:
            for path, body in (("trigger", {"type": "full"}), ("trigger", {"type": "vault"})):
                answer = await admin.post(f"/api/backup/{path}", json=body)
                assert (answer.status_code, answer.headers["Content-Type"]) == (409, MEDIA_TYPE)
                assert answer.json()["detail"] == "No encryption password is set."
                assert "backup settings" in answer.json()["next_step"]
            assert await service.jobs.page() == []
            assert files(store_directory) == []
            answer = await admin.put("/api/backup/settings", json={"encryption_password": PASSWORD})
            assert answer.status_code == 200
            made = await backed_up(admin)
            kv.delete("service/encryption-password")
            answer = await admin.post("/api/backup/restore", json={"key": made["archive"]})
            assert (answer.status_code, answer.json()["type"]) == (409, "urn:kleidia-backup:problem:not-configured")
            asked = {"key": made["archive"], "password": PASSWORD}
            answer = await admin.post("/api/backup/restore", json=asked)  # what is there is backed up first
            assert answer.status_code == 409
            assert "backup_first" in answer.json()["next_step"]
            answer = await admin.post("/api/backup/restore", json={**asked, "backup_first": False})
            assert answer.status_code == 202
    assert [line["event"] for line in log if line["log_level"] == "warning"] == [
        "no encryption password is set: there will be no backups until PUT /api/backup/settings"
    ]


async def test_without_a_store_nothing_is_begun(service_settings: ServiceSettings) -> None:
    """Likewise."""
    async with Service(replace(service_settings, store=None)) as service, admin_of(service) as admin:
        answer = await admin.post("/api/backup/trigger")
        assert (answer.status_code, answer.json()["detail"]) == (409, "No bucket is set.")
        assert await service.jobs.page() == []


def with_password(configuration: Path, text: str) -> None:
    """Change where the configuration's password is."""
    found = configuration.read_text(encoding="utf-8")
    assert _PASSWORD in found
    configuration.write_text(found.replace(_PASSWORD, text), encoding="utf-8")


_PASSWORD = '[password]\nenv = "SERVICE_PASSWORD"\n'


@pytest.mark.parametrize("kind", ["env", "file", "vault", "variable", "file of the variable"])
async def test_a_service_from_a_configuration_has_its_password(
    configuration: Path, kind: str, kv: KvMount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another service makes it, in three lines: wherever [password] says that it is, a backup can be made."""
    (tmp_path / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    kv.put("app/where", {"what": PASSWORD})
    sections = {
        "env": _PASSWORD,
        "file": f'[password]\nfile = "{tmp_path / "password"}"\n',
        "vault": f'[password.vault]\nmount = "{kv.path}"\npath = "app/where"\nfield = "what"\n',
        "variable": "",
        "file of the variable": "",
    }
    if kind == "env":
        monkeypatch.setenv("SERVICE_PASSWORD", PASSWORD)
    if kind == "variable":
        monkeypatch.setenv("KLEIDIA_BACKUP_PASSWORD", PASSWORD)
    if kind == "file of the variable":
        monkeypatch.setenv("KLEIDIA_PASSWORD_FILE", str(tmp_path / "password"))
    with_password(configuration, sections[kind])
    settings = service_settings(load(configuration))
    assert PASSWORD not in repr(settings)
    async with Service(settings) as service, admin_of(service) as admin:
        assert (await service.settings.get())[0].has_encryption_password
        made = await backed_up(admin)
    assert settings.store is not None
    await verify(made["archive"], store=settings.store, password=PASSWORD)


async def test_a_short_password_of_the_vault_is_refused_at_the_start(configuration: Path, kv: KvMount) -> None:
    """Nothing is begun with it, and it is not repeated."""
    kv.put("app/where", {"what": "canary"})
    with_password(configuration, f'[password.vault]\nmount = "{kv.path}"\npath = "app/where"\nfield = "what"\n')
    with pytest.raises(ConfigurationError, match="shorter than 12") as caught:
        async with Service(service_settings(load(configuration))):
            raise AssertionError
    assert "canary" not in str(caught.value)
    assert kv.paths("service/") == []
