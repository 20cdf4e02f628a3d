"""Where the service's settings are kept: in the control database, and the secrets among them in the vault.

Until settings are saved for the first time, those of the configuration file count ([store], [backup], [password]);
from then on the database's do, all of them, and a change of the file shows nothing. Only what is no setting is always
the file's: the store's timeouts, its CA, a directory instead of a bucket.

The stored secret key works only for the server that it was given for. Who changes ``endpoint`` to another scheme, host
or port, or ``access_key_id``, or turns ``insecure_tls`` on must give ``secret_access_key`` again: otherwise a stolen
admin's token would be enough to have requests signed by that key sent to anybody. The bucket, the region and the
prefix may change, for the same server then sees them.

A new encryption password counts for archives that are made from then on. Older ones still need the older password,
which nobody can look up here: it must be kept for as long as they are.

A restore does not change settings: the control schema is never restored, and the service's secrets are put back after
it (``ServiceSecrets.kept``), though they are in the archive. Otherwise the newest encryption password, perhaps set
because the older one leaked, would be replaced by that older one, and the key in the vault would no longer belong to
the key id in the settings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
from psycopg.types.json import Jsonb

from ...stages.errors import Busy, ConfigurationError, KleidiaError
from ...stages.stores.s3_settings import S3Settings
from .audit import AuditEntry
from .backup_settings import BackupSettings, changed
from .secrets import Kept
from .settings_row import NAMES, Row, VersionConflict, check_key, check_version, next_row, usable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...stages.stores.directory import DirectorySettings
    from .audit import Actor, Audit
    from .database import Connection, Control
    from .secrets import Name, ServiceSecrets

__all__ = ["BackupSettings", "SettingsStore", "VersionConflict"]


class SettingsStore:
    """The settings of one target. Every method raises what ``Control.connection`` and ``ServiceSecrets`` raise.

    ``store``, ``include_audit_logs`` and ``password`` are the configuration file's. They count until others are saved;
    the password until one is set.
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
        password: str | None = None,
    ) -> None:
        self._control = control
        self._secrets = secrets
        self._audit = audit
        self._target = target
        self._file = store
        self._password = password
        self._first = _of_file(store, include_audit_logs=include_audit_logs)

    async def get(self) -> tuple[BackupSettings, int]:
        """The settings with what is known of the secrets, and their version: 0 when none were saved yet."""
        async with self._control.connection() as connection:
            row = await self._row(connection)
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
        async with self._control.connection() as connection:
            row = await self._row(connection)
        return await self._store_of(row.settings, row)

    async def password(self) -> str:
        """The encryption password. Raises ``ConfigurationError`` when there is none, or not the one set last."""
        async with self._control.connection() as connection:
            row = await self._row(connection)
        kept = await self._secrets.read("encryption-password")
        if (found := usable(row, "encryption-password", kept, self._password)) is not None:
            return found
        if kept is None:
            raise ConfigurationError("No encryption password is set.", hint="Set one in the backup settings.")
        raise ConfigurationError(
            f"The encryption password in the vault ({self._secrets.where('encryption-password')}) is not the one that "
            "was set last: a restore has brought an older one back.",
            hint="Set it again in the backup settings.",
        )

    async def trial(self, changes: Mapping[str, object]) -> S3Settings | DirectorySettings:
        """The store as ``changes`` would make it, for a test of the connection before they are saved.

        What holds for ``put`` holds here, as much for the secret key. Raises ``ConfigurationError``.
        """
        async with self._control.connection() as connection:
            row = await self._row(connection)
        settings = changed(row.settings, changes)
        check_key(row.settings, settings, changes)
        given = changes.get("secret_access_key")
        return await self._store_of(settings, row, given if isinstance(given, str) else None)

    # Changing -------------------------------------------------------------------------------------------------------

    async def put(self, changes: Mapping[str, object], version: int | None, actor: Actor) -> tuple[BackupSettings, int]:
        """Change settings: fields of ``BackupSettings``, and ``SECRETS``; the settings and version that result.

        ``version`` is the one that ``changes`` are based on; None overwrites. Another ``encryption_password`` does not
        open older archives: keep the older one. An empty ``access_key_id`` removes the stored secret key.

        Raises ``ConfigurationError`` naming the field, ``VersionConflict``, and ``Busy`` for a secret while a restore
        waits or runs, which may write the same place in the vault; nothing is changed then.
        """
        previous: dict[Name, Kept | None] = {}
        try:
            async with self._control.connection() as connection, connection.transaction():
                await connection.execute(_LOCK, (self._target,))
                row = await self._row(connection)
                check_version(row, version)
                new, names = next_row(row, changes, actor)
                if not names:
                    return await self._described(row), row.version
                if NAMES.keys() & changes.keys():
                    await _refuse_during_restore(connection, self._target)
                await connection.execute(_SAVE, (self._target, Jsonb(new.document), new.version, actor.user_name))
                entry = AuditEntry.by(actor, "settings.changed", details=f"Changed: {', '.join(names)}.")
                written = await self._audit.insert(entry, connection)
                # Last, for it cannot be rolled back: then only a COMMIT that fails finds it done.
                await self._write_secrets(new, changes, previous)
        except BaseException:
            await self._undo(previous)
            raise
        await self._audit.tell(written)
        return await self._described(new), new.version

    async def _write_secrets(self, new: Row, changes: Mapping[str, object], previous: dict[Name, Kept | None]) -> None:
        for field_name, name in NAMES.items():
            value = changes.get(field_name)
            if isinstance(value, str):
                before = (await self._secrets.read_all())[name]
                previous[name] = before
                await self._secrets.write(name, Kept(value, new.tags[name]))
        if changes.get("access_key_id") == "":
            previous["s3"] = (await self._secrets.read_all())["s3"]
            await self._secrets.remove("s3")

    async def _undo(self, previous: Mapping[Name, Kept | None]) -> None:
        """Put secrets back that were written for settings that were not saved after all, as far as it goes."""
        with anyio.CancelScope(shield=True):
            for name, kept in previous.items():
                try:
                    await (self._secrets.remove(name) if kept is None else self._secrets.write(name, kept))
                except KleidiaError:
                    continue  # its tag does not fit then, which the next job says

    # Reading --------------------------------------------------------------------------------------------------------

    async def _row(self, connection: Connection) -> Row:
        cursor = await connection.execute(_READ, (self._target,))
        found = await cursor.fetchone()
        if found is None:
            return Row(self._first)
        document, version, changed_by = found
        return Row(BackupSettings.of(document["settings"]), version, document.get("tags", {}), changed_by or "")

    async def _described(self, row: Row) -> BackupSettings:
        kept = await self._secrets.read_all()
        password = usable(row, "encryption-password", kept["encryption-password"], self._password)
        return replace(
            row.settings,
            has_encryption_password=password is not None,
            has_secret_access_key=self._key(row.settings, row, kept["s3"]) is not None,
        )

    async def _store_of(
        self, settings: BackupSettings, row: Row, given: str | None = None
    ) -> S3Settings | DirectorySettings:
        if not settings.bucket:
            if self._file is None:
                raise ConfigurationError("No bucket is set.", hint="Set one in the backup settings.")
            return replace(self._file, prefix=settings.prefix)
        secret = given
        if settings.access_key_id and secret is None:
            secret = self._key(settings, row, await self._secrets.read("s3"))
            if secret is None:
                raise ConfigurationError(
                    f"The secret key of {settings.access_key_id} is not in the vault ({self._secrets.where('s3')}), or "
                    "not the one that was set last.",
                    hint="Set secret_access_key in the backup settings.",
                )
        return settings.s3(secret or "", self._base)

    @property
    def _base(self) -> S3Settings | None:
        return self._file if isinstance(self._file, S3Settings) else None

    def _key(self, settings: BackupSettings, row: Row, kept: Kept | None) -> str | None:
        """The secret key that belongs to these settings: the vault's, or the file's for the server that it names."""
        if not settings.access_key_id:
            return None
        base = self._base
        same = base is not None and settings.key_belongs_to == self._first.key_belongs_to
        return usable(row, "s3", kept, base.secret_access_key or None if base is not None and same else None)


def _of_file(store: S3Settings | DirectorySettings | None, *, include_audit_logs: bool) -> BackupSettings:
    if store is None:
        return BackupSettings(include_audit_logs=include_audit_logs)
    values: dict[str, Any] = {"prefix": store.prefix}
    if isinstance(store, S3Settings):
        names = ("endpoint", "region", "bucket", "access_key_id", "path_style", "insecure_tls")
        values |= {name: getattr(store, name) for name in names}
    return BackupSettings(include_audit_logs=include_audit_logs, **values)


async def _refuse_during_restore(connection: Connection, target: str) -> None:
    cursor = await connection.execute(_RESTORE, (target,))
    if (found := await cursor.fetchone()) is not None:
        raise Busy(
            f"Job {found[0]} restores the vault: the secrets among the settings cannot be changed meanwhile.",
            hint="Wait until it ended, or cancel it.",
        )


# There is nothing to lock yet when settings are saved for the first time.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('kleidia_backup.settings of ' || %s, 0))"
_READ = "SELECT document, version, changed_by FROM kleidia_backup.settings WHERE target = %s"
_RESTORE = """
    SELECT id FROM kleidia_backup.jobs WHERE target = %s AND kind = 'restore' AND status IN ('pending', 'running')
"""
_SAVE = """
    INSERT INTO kleidia_backup.settings (target, document, version, changed_at, changed_by)
    VALUES (%s, %s, %s, now(), %s)
    ON CONFLICT (target) DO UPDATE SET document = excluded.document, version = excluded.version,
        changed_at = excluded.changed_at, changed_by = excluded.changed_by
"""
