"""A cluster of three servers on raft storage, whose leader is killed in the middle of a backup and of a restore.

The job goes on when another server leads, or ends with an error that says what became of the data; and that is so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from kleidia_backup import PostgresSettings, Root, TokenAuth, VaultSettings, backup, restore, undo_restore
from kleidia_backup.demo.servers import openbao
from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.demo.servers.together import PostgresServer
from kleidia_backup.stages.errors import UnfinishedRestore, VaultUnreachable
from kleidia_backup.stages.vault.kv.answers import Found
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.transport import Call, Transport

from ..memory import in_memory
from ..openbaos import Cluster, Node, running
from .conftest import PASSWORD, System, fill, wreck

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

#: Secrets beside those that ``fill`` makes, so that there is a middle.
_MORE = 120


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three servers, of which each test may kill some."""
    with ExitStack() as stack:
        directory = stack.enter_context(in_memory(tmp_path_factory.mktemp("cluster")))
        yield stack.enter_context(running(directory, openbao.binary(), count=3))


@pytest.fixture
def clustered(
    cluster: Cluster, database: str, postgres_server: PostgresServer, tmp_path: Path
) -> Iterator[Callable[[Node], System]]:
    """Makes a filled system whose vault is the cluster, asked by way of one of its servers."""
    cluster.heal()
    mounts: list[KvMount] = []
    (tmp_path / "store").mkdir()

    def make(node: Node) -> System:
        server = cluster.server(cluster.leader)
        application, yubikeys = (server.mount(f"{tmp_path.name}-{name}".lower()) for name in ("app", "keys"))
        mounts.extend((application, yubikeys))
        system = System(
            database,
            PostgresSettings(database, pg_dump=str(postgres_server.bin_dir / "pg_dump")),
            VaultSettings(
                address=node.address,
                auth=TokenAuth(cluster.root_token),
                roots=(Root("", application.path, "kleidia"), Root("yubikeys/", yubikeys.path)),
                retry_budget=60.0,
                start_budget=60.0,
                retry_cap=0.5,
            ),
            application,
            yubikeys,
            tmp_path / "store",
        )
        fill(system)
        for n in range(_MORE):
            application.put(f"kleidia/more/{n:03}", {"n": n})
        return system

    yield make
    cluster.heal()
    for mount in mounts:
        replace(mount, server=cluster.server(cluster.leader)).remove()


def state(cluster: Cluster, system: System) -> tuple[Any, Any]:
    """All rows but those of the table that restores preserve, and all secrets as the server sees them that leads."""
    server = cluster.server(cluster.leader)
    mounts = (system.application, system.yubikeys)
    rows = {table: rows for table, rows in system.rows().items() if table != "backup_jobs"}
    return rows, [replace(mount, server=server).all() for mount in mounts]


def killing(
    monkeypatch: pytest.MonkeyPatch, at: Callable[[Call], bool], number: int, kill: Callable[[], None]
) -> list[str]:
    """Call ``kill`` before the ``number``-th request of a kind is sent; the list tells that it was."""
    once, seen, killed = Transport.once, 0, list[str]()

    async def counted(self: Transport, call: Call, token: str) -> Any:
        nonlocal seen
        seen += at(call)
        if seen == number and not killed:
            killed.append(call.path)
            await anyio.to_thread.run_sync(kill)
        return await once(self, call, token)

    monkeypatch.setattr(Transport, "once", counted)
    return killed


def reads(call: Call) -> bool:
    """Whether a request reads a secret."""
    return call.method == "GET" and "/data/" in call.path


def writes(call: Call) -> bool:
    """Whether a request writes one."""
    return call.method == "POST" and "/data/" in call.path


async def test_a_standby_answers_as_the_active_server_does(
    cluster: Cluster, clustered: Callable[[Node], System]
) -> None:
    """What was written through the active server a moment ago is read through a standby, each time."""
    system = clustered(cluster.standbys[0])
    kv = replace(system.application, server=cluster.server(cluster.leader))
    async with VaultClient(system.vault) as client:
        assert client.consistent
        for n in range(40):
            await anyio.to_thread.run_sync(kv.put, "kleidia/moving", {"n": n})
            found = await client.read(kv.path, "kleidia/moving")
            assert isinstance(found, Found)
            assert found.version == n + 1


async def test_a_backup_goes_on_when_another_server_leads(
    cluster: Cluster, clustered: Callable[[Node], System], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By way of a standby: every secret is in the archive, and a restore of it gives them all back."""
    system = clustered(cluster.standbys[0])
    original = state(cluster, system)
    killed = killing(monkeypatch, reads, 60, cluster.leader.kill)
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    assert killed
    assert (made.secrets, made.unreadable_count) == (sum(map(len, original[1])), 0)
    wreck(replace(system, **_at(cluster, system)))
    await restore(made.name, database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    assert state(cluster, system) == original


async def test_a_restore_goes_on_when_another_server_leads(
    cluster: Cluster, clustered: Callable[[Node], System], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By way of a standby: everything is as in the archive, and no secret got a version too many."""
    system = clustered(cluster.standbys[0])
    original = state(cluster, system)
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    for n in range(_MORE):
        system.application.put(f"kleidia/more/{n:03}", {"wrong": n})
    wreck(system)
    killed = killing(monkeypatch, writes, 40, cluster.leader.kill)
    done = await restore(made.name, database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    assert killed
    assert done.failed_count == 0
    assert state(cluster, system) == original
    for n in range(_MORE):
        path = f"{system.application.path}/metadata/kleidia/more/{n:03}"
        _, answer = cluster.server(cluster.leader).request("GET", path)
        assert answer["data"]["current_version"] == 3, "a repeated write spent a version"


async def test_a_server_that_comes_back_as_a_standby(
    cluster: Cluster, clustered: Callable[[Node], System], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configured server is the one that is killed; it is started again, no more the leader, and the job goes on."""
    leader = cluster.leader
    system = clustered(leader)
    original = state(cluster, system)
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    wreck(system)

    def restart() -> None:
        leader.kill()
        leader.start()

    killed = killing(monkeypatch, writes, 5, restart)
    await restore(made.name, database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    assert killed
    assert state(cluster, system) == original


async def test_a_server_that_stays_away_ends_both(
    cluster: Cluster, clustered: Callable[[Node], System], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A backup leaves nothing. A restore says what it could not put back, and ``undo_restore`` does it afterwards."""
    leader = cluster.leader
    system = clustered(leader)
    impatient = replace(system.vault, retry_budget=1.0, start_budget=1.0)
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    wreck(system)
    wrecked = state(cluster, system)

    with monkeypatch.context() as patch:
        killed = killing(patch, reads, 60, leader.kill)
        with pytest.raises(VaultUnreachable, match="No vault answers") as caught:
            await backup(database=system.postgres, vault=impatient, store=system.store, password=PASSWORD)
        assert killed
        assert caught.value.hint
    assert len(system.archives()) == 1
    cluster.heal()

    system = replace(system, vault=replace(system.vault, address=cluster.leader.address))
    impatient = replace(impatient, address=cluster.leader.address)
    with monkeypatch.context() as patch:
        killed = killing(patch, writes, 5, cluster.leader.kill)
        with pytest.raises(VaultUnreachable) as caught:
            await restore(
                made.name,
                database=system.postgres,
                vault=impatient,
                store=system.store,
                password=PASSWORD,
                state=tmp_path / "state",
            )
        assert killed
    assert (caught.value.effect, caught.value.remedies) == ("secrets", ("undo", "dismiss"))
    cluster.heal()
    with pytest.raises(UnfinishedRestore):
        await restore(
            made.name,
            database=system.postgres,
            vault=system.vault,
            store=system.store,
            password=PASSWORD,
            state=tmp_path / "state",
        )
    undone = await undo_restore(database=system.postgres, vault=system.vault, state=tmp_path / "state")
    assert (undone.left_count, undone.committed) == (0, False)
    assert state(cluster, system) == wrecked


def _at(cluster: Cluster, system: System) -> dict[str, KvMount]:
    """The mounts of a system, on the server that leads now."""
    server = cluster.server(cluster.leader)
    return {
        "application": replace(system.application, server=server),
        "yubikeys": replace(system.yubikeys, server=server),
    }
