"""PostgreSQL behind a proxy that breaks things, at the first, a middle and the last message, and around COMMIT."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic, sleep
from typing import TypeAlias

import anyio
import pytest

from kleidia_backup import DatabaseError, JobTimeout, KleidiaError
from kleidia_backup.pipeline.parts.request import Format
from kleidia_backup.pipeline.reports.jobs import Progress
from kleidia_backup.stages.errors import CommitUncertain

from ..archive_format import FORMATS, current, writing
from .conftest import hurry
from .judging import Job, Outcome, Settings, blames, judge, run
from .proxy import Message, PgFault, PgProxy, Sender, Strike, pg_proxy
from .site import Site

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick", "nothing_left")]

#: Whose messages are counted, and the number of the one that is struck.
Place: TypeAlias = tuple[Sender, int]

#: The connections of a job are a question, the lock, another question, and pg_dump or the restore's session.
LOCK, SESSION = 1, 3
JOBS: tuple[Job, ...] = ("backup", "restore")
#: Where limits of their own count, as where a connection begins.
AROUND_COMMIT: dict[Job, set[str]] = {"backup": set(), "restore": {"COMMIT", "answer to COMMIT", "last"}}

#: Seconds that a job may need to clean up when its time is over.
CLEANING = 20.0


def through(site: Site, proxy: PgProxy) -> Settings:
    """Settings that lead to PostgreSQL through the proxy."""
    return Settings(site.database.settings(proxy.listens), site.vault_settings(), site.store_settings())


@dataclass(frozen=True)
class Usual:
    """An undisturbed run: where the messages are that matter, and the seconds to give a job that will stall."""

    places: dict[str, Place]
    limit: float


@pytest.fixture(scope="session")
def usual(sites: list[Site]) -> dict[tuple[Format, Job], Usual]:
    """What counts: for a backup the server's messages, for a restore ours."""
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        found: dict[tuple[Format, Job], Usual] = {}
        for each in FORMATS:
            with writing(each):
                found |= {(each, job): usual for job, usual in anyio.run(undisturbed, sites[0]).items()}
        return found


async def undisturbed(site: Site) -> dict[Job, Usual]:
    traces: dict[Job, PgProxy] = {}
    limits: dict[Job, float] = {}
    for job in JOBS:
        async with pg_proxy("127.0.0.1", site.database.server.port) as proxy:
            settings = through(site, proxy)
            began = monotonic()
            name, outcome = await run(job, site, settings)
            limits[job] = max(1.0, 4 * (monotonic() - began))
            assert outcome.error is None
            await judge(job, site, settings, name, outcome)
        traces[job] = proxy
    dumped, ours, theirs = (
        traces["backup"].sent("server"),
        traces["restore"].sent("client"),
        traces["restore"].sent("server"),
    )
    backup_places: dict[str, Place] = {
        "first": ("server", 0),
        "first question": ("server", _number(dumped, 0, "D")),
        "lock": ("server", _number(dumped, LOCK, "D")),
        "middle": ("server", len(dumped) // 2),
        "last": ("server", len(dumped) - 1),
    }
    restore_places: dict[str, Place] = {
        "first": ("client", 0),
        "first question": ("server", _number(theirs, 0, "D")),
        "lock": ("server", _number(theirs, LOCK, "D")),
        "middle": ("client", len(ours) // 2),
        "COMMIT": ("client", _number(ours, SESSION, "Q", b"COMMIT")),
        "answer to COMMIT": ("server", _number(theirs, SESSION, "C", b"COMMIT")),
        "last": ("server", len(theirs) - 1),
    }
    return {"backup": Usual(backup_places, limits["backup"]), "restore": Usual(restore_places, limits["restore"])}


def _number(messages: list[Message], connection: int, kind: str, content: bytes = b"") -> int:
    """The number of the first message of this kind on a connection."""
    return next(
        number
        for number, message in enumerate(messages)
        if (message.connection, message.kind) == (connection, kind) and message.content.startswith(content)
    )


@pytest.mark.parametrize(
    ("fault", "archive_format"),
    [
        *[(fault, "v1") for fault in ("reset", "cut", "stall")],
        ("reset", "v2"),
        *[pytest.param(fault, "v2", marks=pytest.mark.thorough) for fault in ("cut", "stall")],
    ],
    indirect=["archive_format"],
)
@pytest.mark.parametrize(
    ("job", "ever"),
    [("backup", False), ("restore", False), ("restore", True)],  # a backup connects no more after a failure
    ids=["backup", "restore-once", "restore-for ever"],
)
async def test_fault(
    job: Job,
    fault: PgFault,
    ever: bool,
    sites: list[Site],
    usual: dict[tuple[Format, Job], Usual],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The job fails, and says that it was PostgreSQL; but for a COMMIT that took place, which is a success."""
    if fault == "stall":
        # Two seconds are the shortest that libpq, and after it psycopg, can be told to wait for a connection.
        monkeypatch.setattr("psycopg.connection.timeout_from_conninfo", lambda _: 0.5)
    problems: list[str] = []
    todo = list(usual[current(), job].places.items())

    async def strike(site: Site, what: str, place: Place, *, again: int = 2) -> None:
        async with pg_proxy("127.0.0.1", site.database.server.port) as proxy:
            plan = Strike({place[1]}, ever)
            proxy.plan = (plan, place[0], fault)
            settings = through(site, proxy)
            own_limit = {"first", *AROUND_COMMIT[job]}
            seconds = usual[current(), job].limit if fault == "stall" and what not in own_limit else 60.0
            name, outcome, hung = await bounded(job, site, settings, proxy, seconds)
            await proxy.release()
            if fault != "stall" or plan.struck.is_set() or not again:
                try:
                    assert plan.struck.is_set()
                    await judge(job, site, settings, name, outcome)
                    assert not hung
                    expect(job, what, fault, outcome, ever=ever)
                except (AssertionError, KleidiaError) as exc:
                    problems.append(f"{what}: {outcome}: {str(exc)[:1500]}")
                request.node.user_properties.append((what, f"{outcome}{' HUNG' if hung else ''}"))
                return
        # On a busy machine a connection took longer than it has here, before the fault.
        await strike(site, what, place, again=again - 1)

    async def lane(site: Site) -> None:
        while todo:
            await strike(site, *todo.pop())

    async with anyio.create_task_group() as tasks:
        for site in sites:
            tasks.start_soon(lane, site)
    assert not problems, "\n".join(problems)


async def bounded(
    job: Job, site: Site, settings: Settings, proxy: PgProxy, seconds: float
) -> tuple[str, Outcome, bool]:
    """Run a job with a time limit; what hangs beyond it is let go by ending its connections, and said to hang."""
    hung = False

    async def watch() -> None:
        nonlocal hung
        await anyio.sleep(seconds + CLEANING)
        hung = True
        await proxy.release()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        name, outcome = await run(job, site, settings, timeout=seconds)
        tasks.cancel_scope.cancel()
    return name, outcome, hung


def expect(job: Job, what: str, fault: PgFault, outcome: Outcome, *, ever: bool) -> None:
    """The error is the one that this fault deserves, or there is none."""
    stalls = fault == "stall"
    if outcome.error is None:
        # Either pg_dump had everything already, or the transaction was committed, as the server says.
        assert what in {"last", "answer to COMMIT"}
    elif ever and what in AROUND_COMMIT[job]:
        blames(outcome.error, CommitUncertain)
    else:
        # A silent server may be working: until a limit ends the wait for it, here the job's own.
        blames(outcome.error, JobTimeout if stalls and what not in {"first", *AROUND_COMMIT[job]} else DatabaseError)
        assert "PostgreSQL" in str(outcome.error) or fault != "stall"


async def test_limit_during_commit(sites: list[Site], usual: dict[tuple[Format, Job], Usual]) -> None:
    """A job whose time ends while the server commits is as long as it takes: what is told is what became of it."""
    site, seconds = sites[0], usual[current(), "restore"].limit
    async with pg_proxy("127.0.0.1", site.database.server.port) as proxy:
        settings = through(site, proxy)
        ends = monotonic() + seconds

        def wait(message: Message) -> None:
            if message.connection == SESSION and message.content.startswith(b"COMMIT"):
                sleep(max(0.0, ends - monotonic()))

        proxy.on_message = wait
        name, outcome = await run("restore", site, settings, timeout=seconds)
        assert outcome.error is None
        await judge("restore", site, settings, name, outcome)


@pytest.mark.parametrize("job", JOBS)
async def test_lost_lock(job: Job, sites: list[Site]) -> None:
    """The session that holds the lock is lost in the middle: the job goes on, for what it does is whole without it."""
    site = sites[0]
    async with pg_proxy("127.0.0.1", site.database.server.port) as proxy:
        settings = through(site, proxy)

        def lose(progress: Progress) -> None:
            if progress.phase == job and proxy.connected(LOCK):
                proxy.end(LOCK)

        name, outcome = await run(job, site, settings, on_progress=lose)
        assert not proxy.connected(LOCK)
        assert outcome.error is None
        await judge(job, site, settings, name, outcome)
