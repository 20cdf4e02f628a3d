"""What the store gives a second time is used only if it is what was verified; and COMMIT is not torn apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from kleidia_backup import Root, restore
from kleidia_backup.pipeline.job import within
from kleidia_backup.stages.archive.fingerprint import DIGEST, Fingerprint
from kleidia_backup.stages.errors import ConfigurationError, JobTimeout, ObjectChanged, VaultForbidden
from kleidia_backup.stages.stores.base import ObjectInfo
from kleidia_backup.stages.stores.directory.store import DirectoryStore

from ..archive_format import backup, both_formats
from .conftest import PASSWORD, System, leading_to, wreck

pytestmark = pytest.mark.anyio


class TwoFaced(DirectoryStore):
    """A store that gives one other byte in the second reading of the ciphertext, under the same pin."""

    readings = 0

    @asynccontextmanager
    async def get(
        self, name: str, *, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        self.readings += start > 0
        lie = start > 0 and self.readings == 2

        async def other(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
            async for chunk in chunks:
                yield (chunk[:100] + bytes([chunk[100] ^ 1]) + chunk[101:]) if lie else chunk

        async with super().get(name, start=start, end=end, pin=pin) as chunks, aclosing(other(chunks)) as changed:
            yield changed


async def test_other_bytes_in_the_second_reading_are_not_used(system: System) -> None:
    """The size, the pin, the header, salt and nonce are the same: only the digests of the blocks tell."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    wreck(system)
    before = system.rows(), system.secrets()
    store = TwoFaced(system.store)
    lying = leading_to(store, system.store)
    with pytest.raises(ObjectChanged, match="other bytes"):
        await restore(made.name, database=system.postgres, vault=system.vault, store=lying, password=PASSWORD)
    assert store.readings == 2
    assert (system.rows(), system.secrets()) == before


def test_a_block_fits_at_its_own_place_and_under_its_own_key_alone() -> None:
    """Another bit, another place, one block more, or the digests of another reading: nothing of it fits."""
    blocks = [b"first" * 1000, b"second" * 1000, b"first" * 1000]
    marks, other = Fingerprint(), Fingerprint()
    for block in blocks:
        marks.add(block)
        other.add(block)
    assert [marks.fits(number, block) for number, block in enumerate(blocks)] == [True] * 3
    assert not marks.fits(0, b"First" + blocks[0][5:])
    assert not marks.fits(1, blocks[0])
    assert not marks.fits(3, b"")
    assert len(marks) == 3
    assert marks._digests != other._digests
    # The same block twice does not have the same digest, or its number would not count.
    assert marks._digests[:DIGEST] != marks._digests[2 * DIGEST :]


async def test_asyncio_cancellation_does_not_break_a_shield() -> None:
    """``task.cancel()`` waits for what is shielded, as anyio's own cancellation does."""
    import anyio

    log: list[str] = []
    inside = asyncio.Event()

    async def work() -> None:
        with anyio.CancelScope(shield=True):
            inside.set()
            for _ in range(10):
                await asyncio.sleep(0)
            log.append("committed")

    task = asyncio.create_task(within(5, work))
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["committed"]


async def test_what_is_done_when_the_limit_strikes_is_done() -> None:
    """A result that was there in time is returned; work that was not is cancelled, and is an error."""
    import anyio

    async def shielded() -> str:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.05)
        return "committed"

    assert await within(0.01, shielded) == "committed"
    with pytest.raises(JobTimeout, match=r"limit of 0\.01 s"):
        await within(0.01, anyio.sleep_forever)


@both_formats
async def test_prune_refuses_a_root_that_the_archive_does_not_know(system: System) -> None:
    """An archive of one root says nothing of another that was configured later."""
    from dataclasses import replace

    only = replace(system.vault, roots=system.vault.roots[:1])
    made = await backup(vault=only, store=system.store, password=PASSWORD)
    before = system.secrets()
    with pytest.raises(ConfigurationError, match=f"no secret of {system.yubikeys.path}/"):
        await restore(made.name, vault=system.vault, store=system.store, password=PASSWORD, prune=True)
    assert system.secrets() == before


@both_formats
async def test_a_token_that_may_not_write_is_refused_first(system: System) -> None:
    """Before the archive is read, and so before any table is locked."""
    from dataclasses import replace

    from kleidia_backup import TokenAuth

    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    server = system.application.server
    policy = "".join(f'path "{root.mount}/*" {{ capabilities = ["read", "list"] }}\n' for root in system.vault.roots)
    assert isinstance(system.vault.roots[0], Root)
    server.request("PUT", "sys/policies/acl/reader", {"policy": policy})
    _, answer = server.request("POST", "auth/token/create", {"policies": ["reader"]})
    reader = replace(system.vault, auth=TokenAuth(answer["auth"]["client_token"]))
    before = system.rows(), system.secrets()
    phases: list[str] = []
    with pytest.raises(VaultForbidden, match=r"lacks .*create"):
        await restore(
            made.name,
            database=system.postgres,
            vault=reader,
            store=system.store,
            password=PASSWORD,
            on_progress=lambda progress: phases.append(progress.phase),
        )
    assert (system.rows(), system.secrets()) == before
    assert set(phases) <= {"prepare"}
