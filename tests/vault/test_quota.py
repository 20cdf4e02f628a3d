"""A real server's rate limit: what of it is used, what is said of it, and when a job does not even try."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kleidia_backup import DirectorySettings, Root, TokenAuth, VaultSettings, backup, restore
from kleidia_backup.demo.servers.together import KvMount, OpenBaoServer
from kleidia_backup.pipeline.reports import words
from kleidia_backup.pipeline.reports.jobs import Progress
from kleidia_backup.stages.errors import JobTimeout, VaultUnreachable

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery staple"


@contextmanager
def quota(server: OpenBaoServer, path: str, rate: float, interval: str = "1s") -> Iterator[None]:
    """A limit of so many requests in each interval below a path."""
    name = f"sys/quotas/rate-limit/{secrets.token_hex(6)}"
    assert server.request("POST", name, {"path": path, "rate": rate, "interval": interval})[0] == 204
    try:
        yield
    finally:
        server.request("DELETE", name)


def vault(kv: KvMount, **more: float) -> VaultSettings:
    """The settings of a job with all of a mount."""
    return VaultSettings(kv.server.address, TokenAuth(kv.server.root_token), (Root("", kv.path),), **more)  # type: ignore[arg-type]


def fill(kv: KvMount, number: int) -> None:
    for n in range(number):
        kv.put(f"s{n}", {"n": n})


@pytest.mark.parametrize(("rate", "number"), [(20, 200), (100, 600)])
async def test_most_of_a_quota_is_used(
    kv_mount: Callable[[int], KvMount], store_directory: Path, rate: int, number: int
) -> None:
    """Nine tenths of 20 a second; and of that, and of 100 a second, at most one request in ten is refused."""
    kv = kv_mount(2)
    fill(kv, number)
    seen: list[Progress] = []
    with quota(kv.server, kv.path, rate):
        made = await backup(
            vault=vault(kv), store=DirectorySettings(store_directory), password=PASSWORD, on_progress=seen.append
        )
    assert made.secrets == number
    load = made.load.vault
    assert load is not None
    assert load.refused <= 0.1 * load.requests
    used = number / (made.seconds["backup"] * rate)
    assert used >= 0.9 or rate > 20, used  # a busy machine may not manage more than 20
    assert load.lets_pass == pytest.approx(rate, rel=0.15)
    assert "slowed down by the vault (429) to " in words.loads(made.load)["load on vault"]
    told = [each for each in seen if each.vault_lets_pass]
    assert told, "progress says nothing of the limit"
    assert words.amounts(told[-1])["secrets"].endswith("requests a second")


async def test_a_job_that_cannot_end_in_its_time_ends_at_once(kv: KvMount, store_directory: Path) -> None:
    """With 3 requests a minute: neither a backup of a thousand secrets nor a restore is tried for its whole time."""
    fill(kv, 1000)
    store = DirectorySettings(store_directory)
    made = await backup(vault=vault(kv), store=store, password=PASSWORD)
    with quota(kv.server, kv.path, 3, "60s"), pytest.raises(JobTimeout) as caught:
        await backup(vault=vault(kv), store=store, password=PASSWORD, timeout=600)
    said = str(caught.value)
    assert "429" in said
    assert "a minute" in said
    assert "requests are left" in said
    assert "quota" in caught.value.hint
    before = kv.all()
    with quota(kv.server, kv.path, 3, "60s"), pytest.raises(JobTimeout, match="429"):
        await restore(made.name, vault=vault(kv), store=store, password=PASSWORD, timeout=600)
    assert kv.all() == before


async def test_a_job_that_can_end_in_its_time_does(kv: KvMount, store_directory: Path) -> None:
    """Ten requests in five seconds, and forty secrets: that takes twenty seconds of sixty."""
    fill(kv, 40)
    with quota(kv.server, kv.path, 10, "5s"):
        made = await backup(vault=vault(kv), store=DirectorySettings(store_directory), password=PASSWORD, timeout=120)
    assert made.secrets == 40


async def test_the_limit_of_time_says_what_it_waited_for(kv: KvMount, store_directory: Path) -> None:
    """Where what is left is not known, the job's own limit ends it, and says that the vault slowed it down."""
    kv.put("a/b/c/d/e/f/g", {"n": 1})
    with quota(kv.server, kv.path, 1, "60s"), pytest.raises(JobTimeout, match=r"slowed down by the vault \(429\)"):
        await backup(vault=vault(kv), store=DirectorySettings(store_directory), password=PASSWORD, timeout=5)


@pytest.fixture
def told(openbao_server: OpenBaoServer) -> Iterator[None]:
    """The server says with each refusal when to ask again; by itself it does not."""
    assert openbao_server.request("POST", "sys/quotas/config", {"enable_rate_limit_response_headers": True})[0] == 204
    yield
    openbao_server.request("POST", "sys/quotas/config", {"enable_rate_limit_response_headers": False})


@pytest.mark.usefixtures("told")
async def test_a_server_that_says_when_to_ask_again(kv: KvMount, store_directory: Path) -> None:
    """Is asked then: nothing is lost by it."""
    fill(kv, 60)
    with quota(kv.server, kv.path, 20, "2s"):
        made = await backup(vault=vault(kv), store=DirectorySettings(store_directory), password=PASSWORD)
    assert made.secrets == 60
    assert made.load.vault is not None
    assert made.load.vault.lets_pass == pytest.approx(10, rel=0.3)


@pytest.mark.usefixtures("told")
async def test_a_quota_that_asks_for_an_hour(kv: KvMount, store_directory: Path) -> None:
    """Is not waited for, and the error says for how long the vault asks."""
    kv.put("a/b", {"n": 1})
    with quota(kv.server, kv.path, 1, "3600s"), pytest.raises(VaultUnreachable, match=r"429.* left alone for 60 min"):
        await backup(vault=vault(kv), store=DirectorySettings(store_directory), password=PASSWORD)
