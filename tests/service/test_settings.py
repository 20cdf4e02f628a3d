"""Settings: defaults, what is refused, where secrets go, what is said about them, and what other tools do to them."""

import asyncio
import json
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from kleidia_backup import DirectorySettings, KleidiaError, Root, S3Settings, TokenAuth, VaultSettings
from kleidia_backup.demo.servers.together import KvMount, OpenBaoServer
from kleidia_backup.service.control.audit import Actor, Audit
from kleidia_backup.service.control.backup_settings import BackupSettings, changed
from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.secrets import ServiceSecrets
from kleidia_backup.service.control.settings import SettingsStore, VersionConflict
from kleidia_backup.stages.errors import ConfigurationError, VaultError, VaultForbidden

ADA = Actor("u-1", "ada", "192.0.2.7", "desk")
KEY, PASSWORD = "canary-secret-key", "canary-password"
S3 = {
    "endpoint": "https://s3.example.com",
    "bucket": "kleidia-backups",
    "access_key_id": "AKIA1",
    "secret_access_key": KEY,
}


@pytest.fixture(params=[1, 2], ids=["kv1", "kv2"])
def any_kv(request: pytest.FixtureRequest, kv_mount: Callable[[int], KvMount]) -> KvMount:
    return kv_mount(request.param)


def vault_of(server: OpenBaoServer, kv: KvMount) -> VaultSettings:
    return VaultSettings(server.address, TokenAuth(server.root_token), (Root("", kv.path),))


@pytest.fixture
def secrets(openbao_server: OpenBaoServer, kv: KvMount) -> ServiceSecrets:
    return ServiceSecrets(vault_of(openbao_server, kv), kv.path, "app/backup-service")


@pytest.fixture
def store(control: Control, secrets: ServiceSecrets) -> SettingsStore:
    return SettingsStore(control, secrets, Audit(control, "app"), "app")


async def everything_written(control: Control) -> str:
    """All that the control tables hold, as text."""
    async with control.connection() as connection:
        cursor = await connection.execute(
            "SELECT (SELECT json_agg(a) FROM kleidia_backup.audit a)::text || "
            "(SELECT json_agg(s) FROM kleidia_backup.settings s)::text"
        )
        row = await cursor.fetchone()
    assert row is not None
    return str(row[0])


# Defaults and validation ---------------------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_specification() -> None:
    """`0 2 * * *`, 30 days, audit logs included, prefix backups/."""
    settings = BackupSettings()
    assert (settings.schedule, settings.retention_days, settings.include_audit_logs) == ("0 2 * * *", 30, True)
    assert (settings.prefix, settings.path_style, settings.insecure_tls) == ("backups/", False, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("endpoint", "ftp://host"),
        ("endpoint", "file:///etc/passwd"),
        ("endpoint", "https://"),
        ("endpoint", "https:///bucket"),
        ("endpoint", "s3.example.com"),
        ("endpoint", "https://canary@host"),
        ("endpoint", "https://good.example\\@evil.example"),
        ("endpoint", "https://host/?x=canary"),
        ("endpoint", "https://host#x"),
        ("endpoint", "https://host:99999"),
        ("endpoint", "https://host\r\nX: y"),
        ("region", "evil.com/"),
        ("bucket", "a/b"),
        ("bucket", "b@evil.example"),
        ("prefix", "/backups/"),
        ("prefix", "a//b/"),
        ("prefix", "../a/"),
        ("prefix", "a/.."),
        ("prefix", "a?b/"),
        ("access_key_id", "AK IA"),
        ("secret_access_key", "canary\n"),
        ("secret_access_key", ""),
        ("secret_access_key", None),
        ("encryption_password", ""),
        ("encryption_password", "canary\n"),
        ("encryption_password", "canary\ud800"),
        ("encryption_password", None),
        ("encryption_password", 7),
        ("path_style", 1),
        ("insecure_tls", "yes"),
        ("schedule", "0 0 31 2 *"),
        ("schedule", "* * * * * *"),
        ("schedule", None),
        ("verify_schedule", "0 0 31 2 *"),
        ("drill_schedule", "* * * *"),
        ("drill_schedule_enabled", "yes"),
        ("timezone", "Europe/Paderborn"),
        ("retention_days", -1),
        ("retention_days", True),
        ("retention_days", "30"),
        ("retention_days", 1.5),
        ("keep_at_least", 0),
        ("include_audit_logs", None),
        ("format", "v3"),
        ("format", None),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(name: str, value: object) -> None:
    """The error names the field and the next step, and never shows the value."""
    before = BackupSettings(bucket="bucket", access_key_id="AKIA1")
    with pytest.raises(ConfigurationError) as caught:
        changed(before, {name: value})
    assert name in str(caught.value).replace("encryption password", "encryption_password")
    assert caught.value.hint
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_an_unknown_field_is_refused() -> None:
    """A misspelt field changes nothing; the error lists what there is."""
    with pytest.raises(ConfigurationError) as caught:
        changed(BackupSettings(), {"canary": 1})
    assert "retention_days" in caught.value.hint
    assert "canary" not in str(caught.value)


def test_every_setting_can_be_changed() -> None:
    """Each field takes another value than its default, together."""
    changes = {
        "endpoint": "http://minio.local:9000",
        "region": "eu-west-1",
        "bucket": "b.c-d_e",
        "prefix": "team a/backups=1/",
        "access_key_id": "id",
        "path_style": True,
        "insecure_tls": True,
        "schedule": "30 2 * * 1-5",
        "schedule_enabled": False,
        "verify_schedule": "0 3 * * 1",
        "verify_schedule_enabled": True,
        "drill_schedule": "0 3 1 * *",
        "drill_schedule_enabled": True,
        "timezone": "Europe/Berlin",
        "retention_days": 0,
        "keep_at_least": 1000,
        "keep_daily": 7,
        "keep_weekly": 4,
        "keep_monthly": 12,
        "keep_yearly": 5,
        "include_audit_logs": False,
        "format": "v2",
    }
    result = changed(BackupSettings(), changes)
    assert result.document() == changes
    assert BackupSettings.of(result.document()) == result


# Storing -------------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_nothing_saved_yet_is_what_the_file_says(control: Control, secrets: ServiceSecrets) -> None:
    """The file's store and password count, version 0; after the first save only what is no setting is the file's."""
    of_file = S3Settings(
        bucket="from-file",
        endpoint="https://file.example.com",
        access_key_id="id",
        secret_access_key=KEY,
        prefix="p/",
        read_timeout=7,
    )
    store = SettingsStore(
        control, secrets, Audit(control, "app"), "app", store=of_file, include_audit_logs=False, password=PASSWORD
    )
    settings, version = await store.get()
    assert version == 0
    assert (settings.bucket, settings.prefix, settings.include_audit_logs) == ("from-file", "p/", False)
    assert settings.has_secret_access_key
    assert settings.has_encryption_password
    assert await store.store() == of_file
    assert await store.password() == PASSWORD
    await store.put({"bucket": "saved"}, 0, ADA)
    assert await store.store() == replace(of_file, bucket="saved")  # same server: the file's key goes on to count


@pytest.mark.anyio
async def test_a_directory_of_the_file_counts_until_a_bucket_is_set(
    control: Control, secrets: ServiceSecrets, tmp_path: Path
) -> None:
    """[store] with a directory: archives go there, under the prefix of the settings, until there is a bucket."""
    directory = DirectorySettings(tmp_path, "old/")
    store = SettingsStore(control, secrets, Audit(control, "app"), "app", store=directory)
    assert await store.store() == directory
    await store.put({"prefix": "new/"}, None, ADA)
    assert await store.store() == replace(directory, prefix="new/")
    await store.put(S3, None, ADA)
    assert isinstance(await store.store(), S3Settings)


@pytest.mark.anyio
async def test_no_store_and_no_password_are_said(store: SettingsStore) -> None:
    """Neither file nor settings name a store or a password: an error with the next step."""
    with pytest.raises(ConfigurationError, match="No bucket"):
        await store.store()
    with pytest.raises(ConfigurationError, match="No encryption password"):
        await store.password()
    settings, _ = await store.get()
    assert (settings.has_secret_access_key, settings.has_encryption_password) == (False, False)


@pytest.mark.anyio
async def test_secrets_go_into_the_vault_and_nowhere_else(
    control: Control, openbao_server: OpenBaoServer, any_kv: KvMount, capsys: pytest.CaptureFixture[str]
) -> None:
    """KV 1 and 2: both secrets are in the vault; no table, answer, repr or log has them; the audit names the fields."""
    secrets = ServiceSecrets(vault_of(openbao_server, any_kv), any_kv.path, "/app/backup-service/")
    store = SettingsStore(control, secrets, Audit(control, "app"), "app")
    settings, version = await store.put(S3 | {"encryption_password": PASSWORD, "retention_days": 9}, None, ADA)
    assert (settings.has_secret_access_key, settings.has_encryption_password, version) == (True, True, 1)
    assert await store.get() == (settings, 1)
    written = await everything_written(control)
    shown = repr((settings, store, secrets, await secrets.read_all(), await store.store()))
    captured = capsys.readouterr()
    for place in (written, shown, json.dumps(asdict(settings)), captured.out, captured.err):
        assert "canary" not in place
    (entry,) = await Audit(control, "app").page()
    assert (entry.action, entry.user_id, entry.ip) == ("settings.changed", "u-1", "192.0.2.7")
    assert entry.details == (
        "Changed: endpoint, bucket, access_key_id, retention_days, secret_access_key, encryption_password."
    )
    assert any_kv.get("app/backup-service/s3")["secret_access_key"] == KEY
    assert any_kv.get("app/backup-service/encryption-password")["password"] == PASSWORD
    assert await store.password() == PASSWORD
    made = await store.store()
    assert isinstance(made, S3Settings)
    assert (made.secret_access_key, made.endpoint, made.prefix) == (KEY, "https://s3.example.com", "backups/")


@pytest.mark.anyio
async def test_what_is_refused_changes_nothing(control: Control, store: SettingsStore, kv: KvMount) -> None:
    """One bad field among good ones: no setting, no secret, no entry."""
    with pytest.raises(ConfigurationError):
        await store.put(S3 | {"retention_days": -1, "encryption_password": PASSWORD}, None, ADA)
    assert (await store.get())[1] == 0
    assert await Audit(control, "app").page() == []
    assert kv.paths() == []


@pytest.mark.anyio
async def test_a_change_that_changes_nothing_is_none(control: Control, store: SettingsStore) -> None:
    """The same values again: no new version, no entry."""
    await store.put({"retention_days": 9}, None, ADA)
    assert (await store.put({"retention_days": 9}, 1, ADA))[1] == 1
    assert len(await Audit(control, "app").page()) == 1


@pytest.mark.anyio
async def test_two_who_change_at_the_same_time(control: Control, store: SettingsStore) -> None:
    """Both read version 0: one is stored, the other is told by whom it was overtaken, and its password is nowhere."""
    answers = await asyncio.gather(
        store.put({"encryption_password": "canary-of-ada", "retention_days": 1}, 0, ADA),
        store.put({"encryption_password": "canary-of-bob", "retention_days": 2}, 0, ADA),
        return_exceptions=True,
    )
    conflict = next(each for each in answers if isinstance(each, VersionConflict))
    assert "by ada" in conflict.message
    settings, version = await store.get()
    assert version == 1
    assert await store.password() == {1: "canary-of-ada", 2: "canary-of-bob"}[settings.retention_days]
    assert len(await Audit(control, "app").page()) == 1


@pytest.mark.anyio
async def test_a_vault_that_refuses_stores_nothing(
    control: Control, openbao_server: OpenBaoServer, kv: KvMount
) -> None:
    """The secret cannot be written: the settings that belong to it are not saved either."""
    vault = vault_of(openbao_server, kv)
    store = SettingsStore(control, ServiceSecrets(vault, "no-such-mount", "app"), Audit(control, "app"), "app")
    with pytest.raises(VaultError):
        await store.put({"encryption_password": PASSWORD, "retention_days": 9}, None, ADA)
    assert await store.current() == BackupSettings()
    assert await Audit(control, "app").page() == []


@pytest.mark.anyio
async def test_a_transaction_that_fails_late_puts_the_older_secret_back(
    store: SettingsStore, control: Control, secrets: ServiceSecrets
) -> None:
    """The COMMIT is refused after the vault took the new password: the older one counts, and works."""
    await store.put({"encryption_password": "canary-of-old"}, None, ADA)
    async with control.connection() as connection:
        await connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$"
        )
        await connection.execute(
            "CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON kleidia_backup.settings DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    try:
        with pytest.raises(KleidiaError):
            await store.put({"encryption_password": "canary-of-new"}, None, ADA)
    finally:
        async with control.connection() as connection:
            await connection.execute("DROP FUNCTION refuse() CASCADE")
    assert await store.password() == "canary-of-old"


# The secret key and the server it is for -----------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    "changes",
    [
        {"endpoint": "https://evil.example"},
        {"endpoint": "http://s3.example.com"},
        {"endpoint": "https://s3.example.com:8443"},
        {"endpoint": ""},
        {"access_key_id": "AKIA2"},
        {"insecure_tls": True},
    ],
)
async def test_the_stored_key_is_not_sent_elsewhere(store: SettingsStore, changes: dict[str, object]) -> None:
    """Another scheme, host, port or key id, or TLS that nobody checks: the secret key must be given again."""
    await store.put(S3, None, ADA)
    for attempt in (store.put(changes, None, ADA), store.trial(changes)):
        with pytest.raises(ConfigurationError, match=f"{next(iter(changes))} cannot be changed") as caught:
            await attempt
        assert "secret_access_key" in caught.value.hint
    settings, version = await store.put(changes | {"secret_access_key": "canary-2"}, 1, ADA)
    assert (settings.has_secret_access_key, version) == (True, 2)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "changes",
    [
        {"endpoint": "https://S3.example.com:443/"},
        {"bucket": "other"},
        {"region": "eu-west-1"},
        {"prefix": "other/"},
        {"path_style": True},
        {"retention_days": 1},
    ],
)
async def test_the_stored_key_stays_for_its_server(store: SettingsStore, changes: dict[str, object]) -> None:
    """What leaves server and key id as they are needs no key again, in a trial either."""
    await store.put(S3, None, ADA)
    tried = await store.trial(changes)
    settings, _ = await store.put(changes, None, ADA)
    assert settings.has_secret_access_key
    assert await store.store() == tried
    assert isinstance(tried, S3Settings)
    assert tried.secret_access_key == KEY


@pytest.mark.anyio
async def test_the_key_of_the_file_is_not_sent_elsewhere(control: Control, secrets: ServiceSecrets) -> None:
    """The configuration file's key works for the file's server only, also after settings were saved."""
    of_file = S3Settings(bucket="b", endpoint="https://file.example.com", access_key_id="id", secret_access_key=KEY)
    store = SettingsStore(control, secrets, Audit(control, "app"), "app", store=of_file)
    with pytest.raises(ConfigurationError, match="endpoint cannot be changed"):
        await store.put({"endpoint": "https://evil.example"}, None, ADA)
    await store.put({"access_key_id": ""}, None, ADA)
    with pytest.raises(ConfigurationError, match="access_key_id cannot be changed"):
        await store.put({"access_key_id": "id"}, None, ADA)


@pytest.mark.anyio
async def test_without_a_key_id_the_key_is_removed(store: SettingsStore, kv: KvMount) -> None:
    """An empty key id (AWS's own credentials): the stored key is removed; a key without an id is refused."""
    await store.put(S3, None, ADA)
    settings, _ = await store.put({"access_key_id": ""}, None, ADA)
    assert not settings.has_secret_access_key
    made = await store.store()
    assert isinstance(made, S3Settings)
    assert made.secret_access_key == ""
    assert KEY not in json.dumps(kv.all())
    with pytest.raises(ConfigurationError, match="access_key_id"):
        await store.put({"secret_access_key": KEY}, None, ADA)


# What other tools do -------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_older_password_that_came_back_is_noticed(store: SettingsStore, kv: KvMount) -> None:
    """Restored by other means: nothing is encrypted with the replaced password; setting it again helps."""
    await store.put({"encryption_password": "canary-of-old"}, None, ADA)
    older = kv.get("app/backup-service/encryption-password")
    await store.put({"encryption_password": PASSWORD}, None, ADA)
    kv.put("app/backup-service/encryption-password", older)
    with pytest.raises(ConfigurationError, match="not the one that was set last") as caught:
        await store.password()
    assert "canary" not in str(caught.value)
    assert not (await store.get())[0].has_encryption_password
    await store.put({"encryption_password": PASSWORD}, None, ADA)
    assert await store.password() == PASSWORD


@pytest.mark.anyio
async def test_a_password_written_by_the_operator_counts(store: SettingsStore, kv: KvMount) -> None:
    """`bao kv put …/encryption-password password=…` is as good as the service's own way."""
    await store.put({"encryption_password": "canary-of-old"}, None, ADA)
    kv.put("app/backup-service/encryption-password", {"password": PASSWORD})
    assert await store.password() == PASSWORD


@pytest.mark.anyio
async def test_a_secret_without_its_field_is_said(store: SettingsStore, kv: KvMount) -> None:
    """Something else at that path: an error that names path and field; looking at the settings works."""
    kv.put("app/backup-service/encryption-password", {"passwort": PASSWORD})
    with pytest.raises(ConfigurationError, match="encryption-password in the vault has no text in its field"):
        await store.password()
    assert not (await store.get())[0].has_encryption_password


# Passwords of restores that wait -------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_password_of_a_restore_is_taken_once(openbao_server: OpenBaoServer, any_kv: KvMount) -> None:
    """KV 1 and 2: kept until the job takes it, then destroyed with all its versions; dropping what is gone is fine."""
    secrets = ServiceSecrets(vault_of(openbao_server, any_kv), any_kv.path, "app")
    one, other = await secrets.store_password(PASSWORD), await secrets.store_password("canary-other")
    assert await secrets.take_password(one) == PASSWORD
    assert await secrets.take_password(one) is None
    await secrets.drop_password(other)
    await secrets.drop_password(other)
    assert await secrets.take_password(other) is None
    assert any_kv.paths() == []


@pytest.mark.anyio
async def test_a_missing_right_is_named(openbao_server: OpenBaoServer, kv: KvMount) -> None:
    """A policy that may read and not write: the error names path and right, and shows no secret."""
    rules = f'path "{kv.path}/*" {{ capabilities = ["read"] }}'
    openbao_server.request("PUT", f"sys/policies/acl/{kv.path}", {"policy": rules})
    _, answer = openbao_server.request("POST", "auth/token/create", {"policies": [kv.path]})
    vault = VaultSettings(
        openbao_server.address, TokenAuth(answer["auth"]["client_token"]), (Root("", kv.path, kv_version=2),)
    )
    secrets = ServiceSecrets(vault, kv.path, "app")
    assert await secrets.read("s3") is None
    with pytest.raises(VaultForbidden, match=f"create and update at {kv.path}/app/restores/[0-9a-f]+") as caught:
        await secrets.store_password(PASSWORD)
    assert "canary" not in "".join(traceback.format_exception(caught.value))
