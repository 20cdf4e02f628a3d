"""A service in real time: its database, vault and store go away one after another, answer slowly, and are full."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import psycopg
from aiohttp import web
from psycopg.conninfo import make_conninfo

from kleidia_backup import PostgresSettings, Root, S3Settings, TokenAuth, VaultSettings
from kleidia_backup.config.service import Intervals, ServiceSettings
from kleidia_backup.demo.servers.together import start_servers
from tests.databases import create
from tests.faults.proxy import HttpProxy, PgProxy, Strike, answer, http_proxy, pg_proxy, vault_operation
from tests.service.conftest import APPLICATION, SECRETS
from tests.stores.faults import Fault, Forward, reset

from ..chaos.commands import ROOT
from .samples import Sample, Sampler

PASSWORD = "canary-encryption-password"
#: Seconds of a fault, and of peace after it.
AWAY, PEACE = 8.0, 12.0
#: Seconds between two samples.
EVERY = 5.0
_FULL = answer(507, "<Error><Code>InsufficientStorage</Code><Message>full</Message></Error>", "application/xml")


async def _slow(_: web.BaseRequest, forward: Forward) -> web.StreamResponse:
    await asyncio.sleep(0.5)
    answered: web.StreamResponse = await forward()
    return answered


#: What becomes of an HTTP server.
FAULTS: dict[str, Fault] = {"away": reset, "slow": _slow, "full": _FULL}


async def soak(directory: Path, seconds: float, log: Path) -> tuple[list[Sample], list[str]]:
    """Run for so long; the samples, and what was done to which server."""
    with start_servers(directory, fsync=False) as servers:
        with psycopg.connect(servers.postgres.conninfo(), autocommit=True) as admin:
            name = create(admin)
        with psycopg.connect(servers.postgres.conninfo(name), autocommit=True) as connection:
            connection.execute(APPLICATION)
        kv = servers.openbao.mount("app")
        for number in range(SECRETS):
            kv.put(f"app/secret-{number}", {"value": f"s{number}"})
        bucket = servers.s3.create_bucket("soak")
        async with (
            pg_proxy(servers.postgres.host, servers.postgres.port) as postgres,
            http_proxy(servers.openbao.address, vault_operation) as vault,
            http_proxy(servers.s3.endpoint) as store,
        ):
            where = make_conninfo(
                servers.postgres.conninfo(name), port=str(postgres.listens), sslmode="disable", gssencmode="disable"
            )
            database = PostgresSettings(where, pg_dump=str(servers.postgres.bin_dir / "pg_dump"))
            settings = ServiceSettings(
                control=database,
                database=database,
                vault=VaultSettings(vault.endpoint, TokenAuth(servers.openbao.root_token), (Root("", "app", "app"),)),
                store=S3Settings(
                    bucket.name,
                    endpoint=store.endpoint,
                    access_key_id=servers.s3.access_key,
                    secret_access_key=servers.s3.secret_key,
                    prefix="backups/",
                    path_style=True,
                ),
                password=PASSWORD,
                secrets_mount="app",
                secrets_path="service",
                target="app",
                state=directory / "state",
                grace=5,
                intervals=Intervals(beat=1, poll=2, reap=2, dead=20, tick=1, margin=30),
            )
            async with _replica(settings, log) as process:
                sampler = Sampler(psutil.Process(process.pid), servers.postgres.conninfo(name))
                done: list[str] = []
                breaking = asyncio.create_task(_break(postgres, vault, store, done))
                try:
                    return await _sampled(sampler, process, seconds), done
                finally:
                    breaking.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await breaking
                    await postgres.release()
                    vault.plan = store.plan = None


async def _sampled(sampler: Sampler, process: subprocess.Popen[bytes], seconds: float) -> list[Sample]:
    samples: list[Sample] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, "the service has ended"
        samples.append(await asyncio.to_thread(sampler.sample))
        await asyncio.sleep(EVERY)
    return samples


async def _break(postgres: PgProxy, vault: HttpProxy, store: HttpProxy, done: list[str]) -> None:
    """One server after another, in a random order."""
    chance = random.Random(20261129)
    every = [("postgres", "away"), ("vault", "away"), ("vault", "slow"), *(("store", each) for each in FAULTS)]
    while True:
        for server, fault in chance.sample(every, len(every)):
            await asyncio.sleep(PEACE)
            done.append(f"{server} {fault}")
            if server == "postgres":
                postgres.plan = Strike({0}, ever=True), "client", "reset"
            else:
                (vault if server == "vault" else store).plan = Strike({0}, ever=True), FAULTS[fault]
            await asyncio.sleep(AWAY)
            await postgres.release()
            vault.plan = store.plan = None
            for each in (vault, store):
                each.trace.clear()
            postgres.trace.clear()


@asynccontextmanager
async def _replica(settings: ServiceSettings, log: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: ASYNC220 - it takes milliseconds, once
            [sys.executable, "-m", "benchmarks.soak.replica"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            cwd=ROOT,
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(pickle.dumps(settings))
            process.stdin.close()
            assert await asyncio.to_thread(process.stdout.readline) == b"ready\n", f"see {log}"
            yield process
            process.terminate()
            await asyncio.to_thread(process.wait, 60)
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)
