"""The references: the same work with nothing around it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter

import aiohttp
import msgspec
from yarl import URL

from kleidia_backup import PostgresSettings, TokenAuth, VaultSettings

WORKERS = 20

#: What our backup asks of pg_dump.
DUMP = [
    "--format=plain",
    "--clean",
    "--if-exists",
    "--encoding=UTF8",
    "--no-password",
    "--exclude-table-data=backup_jobs",
]


class _Keys(msgspec.Struct):
    keys: list[str]


class _Names(msgspec.Struct):
    data: _Keys


_names = msgspec.json.Decoder(_Names).decode


def _session(settings: VaultSettings) -> aiohttp.ClientSession:
    assert isinstance(settings.auth, TokenAuth)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=WORKERS),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"X-Vault-Token": settings.auth.token},
    )


async def _read(settings: VaultSettings, listing: str) -> tuple[float, int]:
    """LIST and GET everything below the roots; seconds and requests."""
    requests = 0
    async with _session(settings) as session:

        async def get(url: str) -> bytes:
            nonlocal requests
            requests += 1
            async with session.get(URL(url, encoded=True)) as response:
                assert response.status == 200
                return await response.read()

        async def names(mount: str, folder: str) -> list[str]:
            return _names(await get(f"{settings.address}/v1/{mount}/{listing}/{folder}?list=true")).data.keys

        async def work(mount: str, folder: str, found: Iterator[str]) -> None:
            for name in found:
                if name.endswith("/"):
                    inner = folder + name
                    await work(mount, inner, iter(await names(mount, inner)))
                else:
                    await get(f"{settings.address}/v1/{mount}/data/{folder}{name}")

        started = perf_counter()
        for root in settings.roots:
            top = iter(await names(root.mount, root.folder))
            await asyncio.gather(*(work(root.mount, root.folder, top) for _ in range(WORKERS)))
        return perf_counter() - started, requests


def read_vault(settings: VaultSettings, listing: str = "metadata") -> tuple[float, int]:
    """As the source of a backup reads it: seconds and requests.

    Format V2, which holds the keys' own metadata, lists ``detailed-metadata``.
    """
    return asyncio.run(_read(settings, listing))


async def _list(settings: VaultSettings) -> float:
    """The names of the first root's folders, then what the server keeps of all keys in each; seconds."""
    mount = settings.roots[0].mount
    async with _session(settings) as session:

        async def get(path: str) -> bytes:
            async with session.get(URL(f"{settings.address}/v1/{mount}/{path}?list=true", encoded=True)) as response:
                assert response.status == 200
                return await response.read()

        async def work(folders: Iterator[str]) -> None:
            for folder in folders:
                await get(f"detailed-metadata/{folder}")

        started = perf_counter()
        left = iter(_names(await get("metadata/")).data.keys)
        await asyncio.gather(*(work(left) for _ in range(WORKERS)))
        return perf_counter() - started


def list_folders(settings: VaultSettings) -> float:
    """Ask for what an incremental read of one level of folders must know, and throw it away; seconds."""
    return asyncio.run(_list(settings))


async def _ask(settings: VaultSettings, secrets: Iterable[tuple[str, bytes]], *, write: bool) -> float:
    """POST every value to ``mount/data/path``, or GET what is there; seconds."""
    requests = [(URL(f"{settings.address}/v1/{path}", encoded=True), body) for path, body in secrets]
    headers = {"Content-Type": "application/json"}
    async with _session(settings) as session:
        left = iter(requests)

        async def work() -> None:
            for url, body in left:
                asked = session.post(url, data=body, headers=headers) if write else session.get(url)
                async with asked as response:
                    assert response.status == 200, await response.text()
                    await response.read()

        started = perf_counter()
        await asyncio.gather(*(work() for _ in range(WORKERS)))
        return perf_counter() - started


def write_vault(settings: VaultSettings, secrets: Iterable[tuple[str, bytes]]) -> float:
    """Write values (path from behind ``/v1/``, body) with as many workers as the product has; seconds."""
    return asyncio.run(_ask(settings, secrets, write=True))


def get_vault(settings: VaultSettings, secrets: Iterable[tuple[str, bytes]]) -> float:
    """Read the values at the same paths likewise; seconds."""
    return asyncio.run(_ask(settings, secrets, write=False))


def pg_dump(database: PostgresSettings, to: Path | None = None) -> None:
    """``pg_dump``, to a file or to nowhere."""
    with (to or Path("/dev/null")).open("wb") as out:
        subprocess.run(dump_command(database), stdout=out, env=database.environment(), check=True)


def dump_command(database: PostgresSettings) -> list[str]:
    """What a backup runs."""
    return [database.pg_dump, *DUMP, f"--dbname={database.public_conninfo()}"]


def psql(database: PostgresSettings, file: Path) -> None:
    """``psql -1 -f`` of a plain file."""
    command = [*psql_command(database), "-f", str(file)]
    subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=database.environment(), check=True
    )


def psql_command(database: PostgresSettings) -> list[str]:
    """Everything in one transaction, which ends at the first error."""
    program = str(Path(database.pg_dump).with_name("psql"))
    return [program, "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", database.public_conninfo()]
