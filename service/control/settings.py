"""Where the service's settings are kept: in the control database, and the secrets among them in the vault.

They begin with what the configuration says ([store], [backup], [password]) at the first start of the first replica: its
secrets go into the vault then. From there on they alone count, and another file changes nothing; what of it counts no
more is logged. A secret that was never set, here or with the vault's own tools, begins when a configuration first has
it. Only what is no setting is always the file's: the store's timeouts, its CA, a directory instead of a bucket.

The stored secret key works only for the server that it was given for. Who changes ``endpoint`` to another scheme, host
or port, or ``access_key_id``, or turns ``insecure_tls`` on must give ``secret_access_key`` again: otherwise a stolen
admin's token would be enough to have requests signed by that key sent to anybody. The bucket, the region and the
prefix may change, for the same server then sees them.

Nor is it enough to have any archive restored: see ``check_restore``. Which servers the settings may name at all, and
whether requests may bring passwords, is the configuration's to say (``config/allowed.py``).

A new encryption password counts for archives that are made from then on. Older ones still need the older password,
which nobody can look up here: it must be kept for as long as they are.

A restore does not change settings: the control schema is in no archive, and neither are the service's secrets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import structlog
from psycopg.types.json import Jsonb

from ...config.allowed import KnownStores
from ...pipeline.parts.passwords import check_new_password
from ...stages.errors import ConfigurationError, KleidiaError
from ...stages.stores.directory.store import DirectorySettings
from ...stages.stores.s3.settings import S3Settings
from .audit import Actor, Audit, AuditEntry
from .backup_settings import BUCKET, BackupSettings, changed
from .secrets import FIELDS, Name, ServiceSecrets, StoredSecret
from .settings_row import NAMES, Row, VersionConflict, check_key, check_origin, check_version, new_tag, next_row, usable

if TYPE_CHECKING:
    from ...config.retention.settings import RetentionSettings
    from ...pipeline.parts.request import Format
    from .database import Connection, Control

__all__ = ["BackupSettings", "SettingsStore", "VersionConflict"]


class SettingsStore:
    """The settings of one target. Every method raises what ``Control.connection`` and ``ServiceSecrets`` raise.

    ``store``, ``include_audit_logs``, ``format``, ``retention`` and ``password`` (or what finds it out) are the
    configuration's: what the settings begin with. ``schedule`` are fields of theirs that follow the configuration until
    somebody changes the settings. Where they have not begun, whatever needs a secret begins them.
    """

    def __init__(
        self,
        control: Control,
        secrets: ServiceSecrets,
        audit: Audit,
        target: str,
        *,
        store: S3Settings | DirectorySettings | None = None,
        include_audit_logs: bool = True,
        format: Format = "v1",  # noqa: A002 - what everybody calls it
        retention: RetentionSettings | None = None,
        password: str | Callable[[], Awaitable[str]] | None = None,
        schedule: Mapping[str, Any] | None = None,
        allowed_endpoints: tuple[str, ...] | None = None,
        passwords_in_requests: bool = True,
    ) -> None:
        self._control = control
        self._secrets = secrets
        self._audit = audit
        self._target = target
        self._file = store
        self._password = password
        self._known = KnownStores.of(allowed_endpoints, store)
        self._takes_passwords = passwords_in_requests
        self._keeps = retention is not None
        self._schedule = dict(schedule or {})
        if self._schedule:
            changed(BackupSettings(), self._schedule)  # what is wrong with it
        self._first = _of_file(store, retention, include_audit_logs=include_audit_logs, format=format, **self._schedule)
        self._begun = False
        self._log = structlog.get_logger("kleidia_backup.settings")

    async def begin(self) -> None:
        """Let the settings begin with the configuration's, as far as they have not begun, and log what counts no more.

        Raises ``ConfigurationError`` for an encryption password that cannot be used.
        """
        if self._begun:
            return
        written: dict[Name, StoredSecret | None] = {}
        try:
            async with self._control.connection() as connection, connection.transaction():
                await connection.execute(_LOCK, (self._target,))
                row = await self._row(connection)
                new, offered = row, await self._offered(row)
                for name in offered:
                    new = replace(new, tags=dict(new.tags) | {name: new_tag()})
                    written[name] = None
                if new != row or not row.saved:
                    await connection.execute(_SAVE, (self._target, Jsonb(new.document), new.version, new.changed_by))
                for name, value in offered.items():
                    await self._secrets.write(name, StoredSecret(value, new.tags[name]))
        except BaseException:
            await self._undo(written)
            raise
        self._begun = True
        with suppress(KleidiaError):  # the vault, or the place of a password that counts no more
            if stale := await self._stale(new):
                self._log.warning(
                    "these settings of the configuration count no more: they are changed by PUT /api/backup/settings",
                    settings=stale,
                )

    async def _offered(self, row: Row) -> dict[Name, str]:
        """The secrets of the configuration that begin to count: none was set before, anywhere."""
        offered: dict[Name, str] = {}
        for name in FIELDS:
            if name in row.tags or await self._secrets.exists(name):
                continue
            if name == "s3":
                value = self._file_key(row.settings)
            elif (value := await self._file_password()) is not None:
                check_new_password(value)
            if value is not None:
                offered[name] = value
        return offered

    async def _file_password(self) -> str | None:
        return await self._password() if callable(self._password) else self._password

    def _file_key(self, settings: BackupSettings) -> str | None:
        """The configuration's secret key, if the settings are for the server that it is for."""
        if self._base is None or not settings.access_key_id or settings.key_belongs_to != self._first.key_belongs_to:
            return None
        return self._base.secret_access_key or None

    async def _stale(self, row: Row) -> list[str]:
        """What the configuration says and the settings do not."""
        names = [*BUCKET] if self._file is not None else []
        names += ["include_audit_logs", "format"] if row.version == 0 else []
        names += ["retention_days", *_KEPT] if row.version == 0 and self._keeps else []
        stale = [name for name in names if getattr(self._first, name) != getattr(row.settings, name)]
        kept = await self._secrets.read_all()
        if (key := self._file_key(row.settings)) is not None and key != usable(row, "s3", kept["s3"]):
            stale.append("secret_access_key")
        password = await self._file_password()
        if password is not None and password != usable(row, "encryption-password", kept["encryption-password"]):
            stale.append("encryption_password")
        return stale

    async def get(self) -> tuple[BackupSettings, int]:
        """The settings with what is known of the secrets, and their version: 0 when nobody has changed them yet."""
        row = await self._begun_row()
        return await self._described(row), row.version

    async def read(self, connection: Connection) -> BackupSettings:
        """The settings without a look into the vault, within a transaction of the caller's."""
        return (await self._row(connection)).settings

    async def current(self) -> BackupSettings:
        """The settings without a look into the vault."""
        async with self._control.connection() as connection:
            return await self.read(connection)

    async def store(self) -> S3Settings | DirectorySettings:
        """Where archives go. Raises ``ConfigurationError`` when nothing says it, or the secret key is missing."""
        row = await self._begun_row()
        return await self._store_of(row.settings, row)

    async def password(self) -> str:
        """The encryption password. Raises ``ConfigurationError`` when there is none, or not the one set last."""
        found = await self.password_if_set()
        if found is None:
            raise ConfigurationError("No encryption password is set.", hint="Set one in the backup settings.")
        return found

    async def password_if_set(self) -> str | None:
        """As ``password``, but None when none was ever set: a job may have keys that are enough."""
        row = await self._begun_row()
        kept = await self._secrets.read("encryption-password")
        if (found := usable(row, "encryption-password", kept)) is not None:
            return found
        if "encryption-password" not in row.tags:
            return None
        if kept is None:
            raise ConfigurationError(
                "The encryption password that was set is not in the vault any more "
                f"({self._secrets.where('encryption-password')}).",
                hint="Set it again in the backup settings.",
            )
        raise ConfigurationError(
            f"The encryption password in the vault ({self._secrets.where('encryption-password')}) is not the one that "
            "was set last: something has brought an older one back.",
            hint="Set it again in the backup settings.",
        )

    async def trial(self, changes: Mapping[str, object]) -> S3Settings | DirectorySettings:
        """The store as ``changes`` would make it, for a test of the connection before they are saved.

        What holds for ``put`` holds here, as much for the secret key. Raises ``ConfigurationError``.
        """
        row = await self._begun_row()
        settings = changed(row.settings, changes)
        check_key(row.settings, settings, changes)
        given = changes.get("secret_access_key")
        return await self._store_of(settings, row, given if isinstance(given, str) else None)

    def check_requests_password(self) -> None:
        """Refuse an encryption password in a request, where that is configured. Raises ``ConfigurationError``."""
        if not self._takes_passwords:
            raise ConfigurationError(
                "Requests may not hold encryption passwords here.",
                hint="Who operates the service sets it in the vault, or restores by the command. "
                "passwords_in_requests in [service] allows it.",
            )

    async def check_restore(self, *, own: bool) -> None:
        """Refuse a restore or a drill by its ``own`` password, or the stored one, that is not allowed.

        Raises ``ConfigurationError``.
        """
        if own:
            self.check_requests_password()
        row = await self._begun_row()
        if row.settings.bucket and not self._known.vouches_for(row.settings):
            check_origin(row, await self._secrets.read("encryption-password"), own=own)

    # Changing -------------------------------------------------------------------------------------------------------

    async def put(self, changes: Mapping[str, object], version: int | None, actor: Actor) -> tuple[BackupSettings, int]:
        """Change settings: fields of ``BackupSettings``, and ``SECRETS``; the settings and version that result.

        ``version`` is the one that ``changes`` are based on; None overwrites. Another ``encryption_password`` does not
        open older archives: keep the older one. An empty ``access_key_id`` removes the stored secret key.

        Raises ``ConfigurationError`` naming the field, and ``VersionConflict``; nothing is changed then.
        """
        if "encryption_password" in changes:
            self.check_requests_password()
        await self.begin()
        previous: dict[Name, StoredSecret | None] = {}
        try:
            async with self._control.connection() as connection, connection.transaction():
                await connection.execute(_LOCK, (self._target,))
                row = await self._row(connection)
                check_version(row, version)
                new, names = next_row(row, changes, actor, directory=isinstance(self._file, DirectorySettings))
                if not names:
                    return await self._described(row), row.version
                if new.settings.bucket and not set(BUCKET).isdisjoint(names):
                    self._known.check(new.settings)
                await connection.execute(_SAVE, (self._target, Jsonb(new.document), new.version, actor.user_name))
                entry = AuditEntry.by(actor, "settings.changed", details=f"Changed: {', '.join(names)}.")
                written = await self._audit.insert(entry, connection)
                # Last, for it cannot be rolled back: then only a COMMIT that fails finds it done.
                await self._write_secrets(new, changes, previous)
        except BaseException:
            await self._undo(previous)
            raise
        await self._audit.notify(written)
        return await self._described(new), new.version

    async def _write_secrets(
        self, new: Row, changes: Mapping[str, object], previous: dict[Name, StoredSecret | None]
    ) -> None:
        for field_name, name in NAMES.items():
            value = changes.get(field_name)
            if isinstance(value, str):
                before = (await self._secrets.read_all())[name]
                previous[name] = before
                await self._secrets.write(name, StoredSecret(value, new.tags[name]))
        if changes.get("access_key_id") == "":
            previous["s3"] = (await self._secrets.read_all())["s3"]
            await self._secrets.remove("s3")

    async def _undo(self, previous: Mapping[Name, StoredSecret | None]) -> None:
        """Put secrets back that were written for settings that were not saved after all, as far as it goes."""
        with anyio.CancelScope(shield=True):
            for name, kept in previous.items():
                try:
                    await (self._secrets.remove(name) if kept is None else self._secrets.write(name, kept))
                except KleidiaError:
                    continue  # its tag does not fit then, which the next job says

    # Reading --------------------------------------------------------------------------------------------------------

    async def _begun_row(self) -> Row:
        await self.begin()
        async with self._control.connection() as connection:
            return await self._row(connection)

    async def _row(self, connection: Connection) -> Row:
        cursor = await connection.execute(_READ, (self._target,))
        found = await cursor.fetchone()
        return Row(self._first) if found is None else self._found(*found)

    def stored(self, document: Mapping[str, Any] | None, version: int | None) -> BackupSettings:
        """The settings that a row holds which was read along with others' (None: there is none)."""
        return self._first if document is None or version is None else self._found(document, version, None).settings

    def _found(self, document: Mapping[str, Any], version: int, changed_by: str | None) -> Row:
        # Settings that were stored before there was a choice of formats begin with the configuration's.
        stored = {"format": self._first.format} | document["settings"]
        if version == 0:  # nobody has changed them
            stored |= self._schedule
        settings, tags = BackupSettings.of(stored), document.get("tags", {})
        return Row(
            settings,
            version,
            tags,
            changed_by or "",
            saved=True,
            moved=document.get("moved", False),
            requested_password=document.get("requested_password", False),
        )

    async def _described(self, row: Row) -> BackupSettings:
        kept = await self._secrets.read_all()
        password = usable(row, "encryption-password", kept["encryption-password"])
        return replace(
            row.settings,
            has_encryption_password=password is not None,
            has_secret_access_key=bool(row.settings.access_key_id) and usable(row, "s3", kept["s3"]) is not None,
        )

    async def _store_of(
        self, settings: BackupSettings, row: Row, given: str | None = None
    ) -> S3Settings | DirectorySettings:
        if not settings.bucket:
            if not isinstance(self._file, DirectorySettings):
                raise ConfigurationError("No bucket is set.", hint="Set one in the backup settings.")
            return replace(self._file, prefix=settings.prefix)
        self._known.check(settings)
        secret = given
        if settings.access_key_id and secret is None:
            secret = usable(row, "s3", await self._secrets.read("s3"))
            if secret is None:
                raise ConfigurationError(
                    f"The secret key of {settings.access_key_id} is not in the vault ({self._secrets.where('s3')}), or "
                    "not the one that was set last.",
                    hint="Set secret_access_key in the backup settings.",
                )
        made = settings.s3(secret or "", self._base)
        return made if self._known.knows_server(settings) else replace(made, tells_why=False)

    @property
    def _base(self) -> S3Settings | None:
        return self._file if isinstance(self._file, S3Settings) else None


def _of_file(
    store: S3Settings | DirectorySettings | None, retention: RetentionSettings | None, **values: Any
) -> BackupSettings:
    if retention is not None:
        kept = {name: getattr(retention, name) for name in _KEPT} | {"retention_days": retention.days}
        values = kept | values  # [schedule] says the time zone where both do
    if store is not None:
        values["prefix"] = store.prefix
    if isinstance(store, S3Settings):
        values |= {name: getattr(store, name) for name in BUCKET}
    return BackupSettings(**values)


#: The settings of [retention] that have the same names there.
_KEPT = ("keep_at_least", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "timezone")
# There is nothing to lock yet when settings are saved for the first time.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('kleidia_backup.settings of ' || %s, 0))"
_READ = "SELECT document, version, changed_by FROM kleidia_backup.settings WHERE target = %s"
_SAVE = """
    INSERT INTO kleidia_backup.settings (target, document, version, changed_at, changed_by)
    VALUES (%s, %s, %s, now(), %s)
    ON CONFLICT (target) DO UPDATE SET document = excluded.document, version = excluded.version,
        changed_at = excluded.changed_at, changed_by = excluded.changed_by
"""
