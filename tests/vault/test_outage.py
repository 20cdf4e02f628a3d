"""A vault of our own: filled with many secrets, and sealed and restarted during a job."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from kleidia_backup.demo.servers.openbao import start_openbao, start_server
from kleidia_backup.demo.servers.processes import ServerProcess
from kleidia_backup.demo.servers.together import KvMount, OpenBaoServer
from kleidia_backup.formats.secret import Secret
from kleidia_backup.pipeline.engine import Inlet, Pipeline
from kleidia_backup.pipeline.engine.testing import ListSink, collect, run_sink
from kleidia_backup.stages.errors import VaultSealed
from kleidia_backup.stages.vault.kv.answers import Written
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.settings import Root
from kleidia_backup.stages.vault.sink import Change, VaultSink
from kleidia_backup.stages.vault.source import VaultSource

from ..openbao_again import wait_active
from .stub import counters, settings

pytestmark = pytest.mark.anyio


@dataclass
class Outage:
    """An OpenBao that can be stopped and started."""

    server: OpenBaoServer
    process: ServerProcess
    directory: Path
    starting: threading.Thread | None = None

    def crash(self) -> None:
        """End the process at once, and begin to start it again on the same storage."""
        self.process.stop()
        self.starting = threading.Thread(target=self._start)
        self.starting.start()

    def _start(self) -> None:
        self.process = start_server(self.directory)
        wait_active(self.server.address, self.process)

    def end(self) -> None:
        """End it for good."""
        if self.starting:
            self.starting.join()
        self.process.stop()


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    """A running one."""
    directory = tmp_path_factory.mktemp("outage")
    with ExitStack() as stack:
        server, process = start_openbao(directory)
        made = Outage(server, process, directory)
        stack.callback(made.end)
        yield made


async def test_many_secrets_with_twenty_workers(outage: Outage) -> None:
    """1,500 secrets in 700 folders: the same set arrives, whatever the workers did when."""
    kv = outage.server.mount("many")  # which takes longer to remove than to fill, so it ends with its server
    paths = [f"yubikeys/{n:04}/piv" for n in range(600)] + [f"flat/{n}" for n in range(600)]
    paths += [f"deep/{n % 10}/{n % 100}/{n}" for n in range(300)]
    async with VaultClient(settings(outage.server, Root("", kv.path))) as client:
        limiter = anyio.CapacityLimiter(20)

        async def put(path: str) -> None:
            async with limiter:
                assert await client.write(kv.path, path, json.dumps({"at": path}).encode(), cas=0) == Written(1)

        async with anyio.create_task_group() as tasks:
            for path in paths:
                tasks.start_soon(put, path)
        source = VaultSource(client, client.settings.roots)
        found = {secret.path: json.loads(secret.value) for secret in await collect(source)}
    assert found == {path: {"at": path} for path in paths}
    assert source.report.read == 1500


def mounted(server: OpenBaoServer) -> KvMount:
    """A KV engine with 60 secrets."""
    kv = server.mount("secret")
    for n in range(60):
        kv.put(f"s{n}", {"n": n})
    return kv


async def test_a_restart_and_a_seal_in_the_middle_of_jobs(outage: Outage) -> None:
    """A backup and a restore survive a crash that is over in time; a sealed vault ends them with that word."""
    mounted(outage.server)
    async with VaultClient(settings(outage.server, retry_budget=20, retry_cap=0.2)) as client:
        roots = client.settings.roots
        secrets = await _backup_with_restart(outage, client, roots)
        assert {secret.path for secret in secrets} == {f"s{n}" for n in range(60)}
        assert counters(client).retries > 0

        await _restore_with_restart(outage, client, roots)

        client._transport.backoff.budget = 0.3
        assert outage.server.request("PUT", "sys/seal")[0] == 204
        with pytest.raises(VaultSealed, match="is sealed"):
            await run_sink(VaultSink(client, roots), secrets)
    with pytest.raises(VaultSealed, match="Unseal it"):
        async with VaultClient(settings(outage.server)):
            pass


async def _backup_with_restart(outage: Outage, client: VaultClient, roots: tuple[Root, ...]) -> list[Secret]:
    kept: ListSink[Secret] = ListSink()
    seen = 0

    async def crash(secrets: Inlet[Secret]) -> None:
        nonlocal seen
        async for secret in secrets:
            kept.items.append(secret)
            seen += 1
            if seen == 10:
                await anyio.to_thread.run_sync(outage.crash)

    pipeline = Pipeline(depth=1)
    pipeline.sink(crash, pipeline.source(VaultSource(client, roots)))
    await pipeline.run()
    return kept.items


async def _restore_with_restart(outage: Outage, client: VaultClient, roots: tuple[Root, ...]) -> None:
    writes = 0

    async def crash(*changes: Change) -> None:
        nonlocal writes
        writes += changes[0].after is None
        if writes == 30 and changes[0].after is None:
            writes += 1
            await anyio.to_thread.run_sync(outage.crash)

    sink = VaultSink(client, roots, journal=crash)
    await run_sink(sink, [Secret(f"s{n}", b'{"new":%d}' % n) for n in range(60)])
    assert (sink.report.written, sink.report.failed.count) == (60, 0)
    kv = KvMount(outage.server, "secret")
    assert kv.all() == {f"s{n}": {"new": n} for n in range(60)}
    for n in range(60):
        metadata = outage.server.request("GET", f"secret/metadata/s{n}")[1]["data"]
        assert metadata["current_version"] == 2, "a repeated write spent a version"
