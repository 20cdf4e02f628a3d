"""Configuration files for the command."""

from __future__ import annotations

import json
from pathlib import Path

from kleidia_backup import DirectorySettings, PostgresSettings, S3Settings, TokenAuth, VaultSettings

PASSWORD = "a password that only benchmarks use"


def configuration(
    file: Path,
    *,
    database: PostgresSettings | None = None,
    vault: VaultSettings | None = None,
    store: DirectorySettings | S3Settings,
    state: Path,
    jobs: int | None = None,
) -> Path:
    """Write one, with the password beside it. ``jobs`` processes dump the database's tables of a MiB and more."""
    lines = [_store(store), f'[backup]\nstate_dir = "{state}"']
    if database is not None:
        conninfo = json.dumps(database.full_conninfo())
        several = "" if jobs is None else f'\njobs = {jobs}\nlarge_table = "1MiB"'
        lines.append(f'[database]\nconninfo = {conninfo}\npg_dump = "{database.pg_dump}"{several}')
    if vault is not None:
        assert isinstance(vault.auth, TokenAuth)
        lines.append(f'[vault]\naddress = "{vault.address}"')
        lines += [
            f'[[vault.roots]]\nprefix = "{each.prefix}"\nmount = "{each.mount}"\npath = "{each.path}"'
            for each in vault.roots
        ]
        lines.append(f'[vault.auth]\nmethod = "token"\ntoken = "{vault.auth.token}"')
    password = file.with_suffix(".password")
    password.touch(mode=0o600)
    password.write_text(PASSWORD + "\n")
    lines.append(f'[password]\nfile = "{password}"')
    file.touch(mode=0o600)
    file.write_text("\n\n".join(lines) + "\n")
    return file


def _store(store: DirectorySettings | S3Settings) -> str:
    if isinstance(store, DirectorySettings):
        return f'[store]\ntype = "directory"\npath = "{store.path}"'
    names = ("bucket", "endpoint", "region", "access_key_id", "secret_access_key")
    return '[store]\ntype = "s3"\n' + "\n".join(f'{name} = "{getattr(store, name)}"' for name in names)
