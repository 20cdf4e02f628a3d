"""Ctrl-C and SIGTERM for the command while a server keeps it waiting: its exit status, and nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
from psycopg.conninfo import conninfo_to_dict

from kleidia_backup.stages.vault.undo.journal import unfinished

from ..archive_format import current
from ..stores.faults import operation
from .judging import Job
from .proxy import Strike, http_proxy, pg_proxy, stall, vault_operation
from .site import PASSWORD, PREFIX, Site

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]


def configuration(site: Site, job: Job, *, postgres: int, vault: str, store: str) -> str:
    """What the command is to be told, as TOML."""
    where = conninfo_to_dict(site.database.settings(postgres).conninfo)
    bin_dir, server = site.database.server.bin_dir, site.bucket.server
    if job == "backup":
        target = (
            f'type = "s3"\nendpoint = "{store}"\nbucket = "{site.bucket.name}"\npath_style = true\n'
            f'access_key_id = "{server.access_key}"\nsecret_access_key = "{server.secret_key}"'
        )
    else:
        target = f'type = "directory"\npath = "{site.directory}"'
    return f"""
[database]
conninfo = "host={where["host"]} port={postgres} sslmode=disable gssencmode=disable"
name = "{where["dbname"]}"
user = "{where["user"]}"
password = "{where["password"]}"
pg_dump = "{bin_dir / "pg_dump"}"
[vault]
address = "{vault}"
[[vault.roots]]
mount = "{site.application.path}"
path = "kleidia"
[[vault.roots]]
prefix = "yubikeys/"
mount = "{site.yubikeys.path}"
[vault.auth]
token = "{site.vault.root_token}"
[store]
{target}
prefix = "{PREFIX}"
[backup]
format = "{current()}"
"""


@pytest.mark.parametrize(
    ("job", "server", "message", "number", "name", "archive_format"),
    [
        ("backup", "vault", "GET data", 5, "SIGINT", "v1"),
        ("backup", "postgres", "d", 5, "SIGTERM", "v1"),
        ("backup", "store", "PutObject", 0, "SIGINT", "v1"),
        ("backup", "store", "PutObject", 0, "SIGINT", "v2"),
        ("restore", "postgres", "d", 1, "SIGINT", "v1"),
        ("restore", "postgres", "d", 1, "SIGINT", "v2"),
        ("restore", "vault", "POST data", 5, "SIGTERM", "v1"),
        ("restore", "vault", "POST data", 5, "SIGTERM", "v2"),
    ],
    indirect=["archive_format"],
)
async def test_stopped(
    job: Job, server: str, message: str, number: int, name: str, sites: list[Site], tmp_path: Path
) -> None:
    """The whole group of processes gets the signal, as from a terminal; secrets that were written are put back."""
    site, plan, which = sites[0], Strike({number}, only=message), signal.Signals[name]
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(pg_proxy("127.0.0.1", site.database.server.port))
        vault = await stack.enter_async_context(http_proxy(site.vault.address, vault_operation))
        store = await stack.enter_async_context(http_proxy(site.bucket.server.endpoint, operation))
        if server == "postgres":
            postgres.plan = (plan, "server" if job == "backup" else "client", "stall")
        else:
            {"vault": vault, "store": store}[server].plan = (plan, stall)
        config = tmp_path / "config.toml"
        config.touch(mode=0o600)
        config.write_text(
            configuration(site, job, postgres=postgres.listens, vault=vault.endpoint, store=store.endpoint),
            encoding="utf-8",
        )
        arguments = ["restore", site.archive, "--yes"] if job == "restore" else ["backup"]
        async with await anyio.open_process(
            [sys.executable, "-m", "kleidia_backup.cli", "--config", config, *arguments],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "KLEIDIA_BACKUP_PASSWORD": PASSWORD,
                "KLEIDIA_STATE_DIR": str(site.journal),
            },
        ) as command:
            await plan.struck.wait()
            os.killpg(command.pid, which)
            assert command.stderr is not None
            said = "".join([text.decode() async for text in command.stderr])
            await command.wait()
    assert command.returncode == 128 + which
    assert said.count("error: ") == 1
    assert f"Stopped by {'Ctrl-C' if name == 'SIGINT' else 'SIGTERM'}." in said
    assert "Traceback" not in said
    assert "canary" not in said
    site.database.nobody_holds_it()
    assert not unfinished(site.journal)
    assert site.state() == site.wrecked
    assert (site.keys(), site.uploads()) == (site.archives, [])
