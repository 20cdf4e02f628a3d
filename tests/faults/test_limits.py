"""A job's own time limit: what it says, and what it says of the server that kept the job waiting."""

from __future__ import annotations

import anyio
import pytest

from kleidia_backup import JobTimeout
from kleidia_backup.pipeline.job import Job as Running
from kleidia_backup.pipeline.job import duration, within
from kleidia_backup.pipeline.parts.request import Format

from ..archive_format import both_formats, current
from ..stores.faults import operation
from .judging import Job, Settings, blames, judge, run
from .proxy import Strike, http_proxy, stall, vault_operation
from .site import Site

pytestmark = pytest.mark.anyio


#: Where a server stalls: the job, the server, its message and which of that name, and the phase that the job is in.
STALLS: list[tuple[Job, str, str, int, str]] = [
    ("backup", "the vault", "GET auth/token/lookup-self", 0, "prepare"),
    ("backup", "the vault", "GET data", 5, "backup"),
    ("backup", "the store", "HeadObject", 0, "prepare"),
    ("backup", "the store", "UploadPart", 1, "backup"),
    ("restore", "the store", "GetObject", 0, "prepare"),
    ("restore", "the vault", "POST data", 2, "restore"),
]
#: Which of a restore's requests for the archive is the first of a phase.
READS: dict[Format, dict[str, int]] = {"v1": {"verify": 1, "restore": 3}, "v2": {"verify": 3, "restore": 5}}


@both_formats
@pytest.mark.usefixtures("quick", "nothing_left")
async def test_who_kept_it_waiting(sites: list[Site]) -> None:
    """The error names the phase and the server, rounds the limit sensibly, and says which setting it is."""
    todo = list(STALLS)
    todo += [("restore", "the store", "GetObject", number, phase) for phase, number in READS[current()].items()]

    async def lane(site: Site) -> None:
        while todo:
            await stalled(site, *todo.pop())

    async with anyio.create_task_group() as tasks:
        for site in sites:
            tasks.start_soon(lane, site)


async def stalled(site: Site, job: Job, server: str, message: str, number: int, phase: str) -> None:
    for limit in (1.5, 10):  # on a busy machine a job may not come as far as that request in the shorter one
        plan = Strike({number}, only=message)
        async with (
            http_proxy(site.vault.address, vault_operation) as vault,
            http_proxy(site.bucket.server.endpoint, operation) as store,
        ):
            {"the vault": vault, "the store": store}[server].plan = (plan, stall)
            settings = Settings(
                site.database.settings(), site.vault_settings(vault.endpoint), site.store_settings(store.endpoint)
            )
            name, outcome = await run(job, site, settings, timeout=limit)
            await judge(job, site, settings, name, outcome)
        if plan.struck.is_set() and outcome.error is not None and f"waited for {server}" in str(outcome.error):
            break  # else the limit met the request when it was hardly made
    assert plan.struck.is_set(), (vault.trace, store.trace)
    assert outcome.error is not None
    blames(outcome.error, JobTimeout)
    expected = f"limit of {duration(limit)} and was stopped in the phase {phase}, while it waited for {server}."
    assert expected in outcome.error.message
    assert "job_timeout" in outcome.error.hint


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_from_the_commit_on_the_limit_counts_no_more() -> None:
    """However long the server takes: what became of it is told."""
    job = Running(None, None)

    async def work() -> str:
        job.begin("commit")
        await anyio.sleep(0.05)
        return "committed"

    assert await within(0.01, work, job) == "committed"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_the_phase_is_the_one_that_the_limit_met() -> None:
    """Not that of the cleaning up afterwards."""
    job = Running(None, None)

    async def work() -> None:
        job.begin("restore")
        try:
            await anyio.sleep_forever()
        finally:
            job.begin("undo")

    with pytest.raises(JobTimeout, match="in the phase restore"):
        await within(1.0, work, job)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7200, "2 h"), (5400, "90 min"), (3600, "60 min"), (7201, "7201 s"), (60, "60 s"), (9.9, "9.9 s"), (0.5, "0.5 s")],
)
def test_a_limit_is_told_as_it_was_set(seconds: float, text: str) -> None:
    """Half a second is not none."""
    assert duration(seconds) == text
