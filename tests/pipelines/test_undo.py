"""A restore that fails, is stopped or dies after it began to write secrets: vault and database are as before."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from psycopg.conninfo import make_conninfo

from kleidia_backup import (
    ConfigurationError,
    KleidiaError,
    PostgresSettings,
    Progress,
    TokenAuth,
    dismiss_restore,
    restore,
    undo_restore,
)
from kleidia_backup.pipeline.parts import undoing
from kleidia_backup.stages.errors import (
    Busy,
    CommitUncertain,
    DatabaseUnreachable,
    JobTimeout,
    RestoreFailed,
    UnfinishedRestore,
    VaultThreshold,
    VaultUnreachable,
)
from kleidia_backup.stages.pg.server import outcome
from kleidia_backup.stages.pg.session import RestoreSession
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.undo.journal import Journal, unfinished
from kleidia_backup.stages.vault.undo.journal_files import state_directory

from ..archive_format import backup, both_formats
from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio

#: The restore's session on the server.
SESSIONS = "FROM pg_stat_activity WHERE application_name LIKE 'kleidia-restore-%%'"

Hook = Callable[[str], Awaitable[None]]


@pytest.fixture
async def archive(system: System, anyio_backend: str) -> str:
    """An archive of the system, which is wrecked since, so that a restore has something to write."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    wreck(system)
    soft_delete(system, "0021/piv")
    return made.name


def soft_delete(system: System, path: str) -> None:
    system.yubikeys.server.request("DELETE", f"{system.yubikeys.path}/data/{path}")


def bring_back(system: System, name: str, **options: Any) -> Awaitable[Any]:
    given = {"database": system.postgres, "vault": system.vault, "store": system.store, "password": PASSWORD}
    return restore(name, **{**given, **options})


@pytest.fixture
def on_write(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets something happen after the n-th write to the vault was confirmed (to us; the journal does not know yet)."""

    def use(number: int, hook: Hook, *, before: bool = False) -> None:
        write, count = VaultClient.write, 0

        async def hooked(client: VaultClient, mount: str, path: str, *arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            mine = count == number
            if mine and before:
                await hook(f"{mount}/{path}")
            result = await write(client, mount, path, *arguments, **options)
            if mine and not before:
                await hook(f"{mount}/{path}")
            return result

        monkeypatch.setattr(VaultClient, "write", hooked)

    return use


def journal() -> Path:
    return state_directory() / "restore.journal"


@asynccontextmanager
async def as_before(system: System, error: type[BaseException], match: str) -> AsyncIterator[None]:
    """The body fails with ``error``; rows and secrets are as before, and no journal is left."""
    before = system.rows(), system.secrets()
    with pytest.raises(error, match=match) as caught:
        yield
    assert (system.rows(), system.secrets()) == before
    assert not journal().exists()
    if isinstance(caught.value, KleidiaError):
        assert "put back" in caught.value.message
        assert caught.value.hint


# It fails -----------------------------------------------------------------------------------------------------------


@both_formats
async def test_half_of_the_secrets_fail(system: System, archive: str) -> None:
    """The restore failed by its threshold: what it could write goes back."""
    server = system.application.server
    rules = "".join(
        f'path "{path}" {{ capabilities = ["{rights}"] }}\n'.replace(", ", '", "')
        for path, rights in {
            f"{system.application.path}/*": "create, update, read, delete",
            f"{system.yubikeys.path}/*": "create, update, read, delete",
            f"{system.yubikeys.path}/data/+/piv": "read",
            f"{system.yubikeys.path}/data/0020/piv": "create, update, read",
            f"{system.yubikeys.path}/data/0001/piv": "create, update, read",
        }.items()
    )
    for n in range(2, 20):
        system.yubikeys.put(f"{n:04}/piv", {"management_key": "wrong"})
    server.request("PUT", "sys/policies/acl/half", {"policy": rules})
    _, answer = server.request("POST", "auth/token/create", {"policies": ["half"]})
    vault = replace(system.vault, auth=TokenAuth(answer["auth"]["client_token"]))
    async with as_before(system, VaultThreshold, r"20 of 33 secrets could not be written.*The 3 secrets that it had"):
        await bring_back(system, archive, vault=vault)
    assert system.yubikeys.names("0001/") == []
    server.request("DELETE", "sys/policies/acl/half")


@both_formats
async def test_the_connection_to_postgresql_is_lost_while_secrets_are_written(
    system: System, archive: str, on_write: Callable[..., None]
) -> None:
    """It shows when COMMIT is sent."""

    async def cut(_: str) -> None:
        system.sql(f"SELECT pg_terminate_backend(pid) {SESSIONS}")

    on_write(6, cut)
    async with as_before(system, DatabaseUnreachable, "The connection to PostgreSQL was lost"):
        await bring_back(system, archive)


@both_formats
async def test_a_commit_that_fails(system: System, archive: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything was written; a deferred trigger refuses at the last moment."""
    system.sql("CREATE TABLE kept (id int)")
    body = "BEGIN RAISE EXCEPTION $$not today$$; END"
    system.sql(f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS '{body}'")
    system.sql(
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON kept DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    system.sql("ALTER TABLE kept ENABLE ALWAYS TRIGGER late")
    after = RestoreSession._after

    def one_row_more(session: RestoreSession) -> None:
        assert session._wire is not None
        after(session)
        session._wire.execute(b"SET CONSTRAINTS ALL DEFERRED")
        session._wire.execute(b"INSERT INTO public.kept VALUES (1)")

    monkeypatch.setattr(RestoreSession, "_after", one_row_more)
    async with as_before(system, RestoreFailed, "PostgreSQL refused the restore at COMMIT: not today"):
        await bring_back(system, archive)


@both_formats
async def test_an_archive_of_secrets_alone(system: System, archive: str, on_write: Callable[..., None]) -> None:
    """Without a database there is no transaction; the vault is as before all the same."""

    async def fail(_: str) -> None:
        raise VaultUnreachable("The vault went away.", hint="Look after it.")

    on_write(6, fail)
    async with as_before(system, VaultUnreachable, "The vault went away"):
        await bring_back(system, archive, only="vault")


@both_formats
async def test_nothing_was_written_yet(system: System, archive: str, on_write: Callable[..., None]) -> None:
    """Then there is nothing to say about it."""
    before = system.rows(), system.secrets()

    async def fail(_: str) -> None:
        raise VaultUnreachable("The vault went away.", hint="Look after it.")

    on_write(1, fail, before=True)
    with pytest.raises(VaultUnreachable) as caught:
        await bring_back(system, archive, vault=replace(system.vault, workers=1))
    assert str(caught.value) == "The vault went away. Look after it."
    assert (system.rows(), system.secrets()) == before
    assert not journal().exists()


# It is stopped ------------------------------------------------------------------------------------------------------


@both_formats
async def test_it_is_cancelled_while_secrets_are_written(
    system: System, archive: str, on_write: Callable[..., None]
) -> None:
    """The cancellation passes through when everything is back; progress says what happens."""
    before, seen = (system.rows(), system.secrets()), list[Progress]()
    with anyio.CancelScope() as scope:

        async def cancel(_: str) -> None:
            scope.cancel()
            await anyio.lowlevel.checkpoint()

        on_write(6, cancel)
        await bring_back(system, archive, on_progress=seen.append)
    assert scope.cancelled_caught
    assert (system.rows(), system.secrets()) == before
    assert not journal().exists()
    assert [progress.phase for progress in seen][-1] == "undo"


@both_formats
async def test_its_task_is_cancelled_as_asyncio_does(
    system: System, archive: str, on_write: Callable[..., None]
) -> None:
    """A service that embeds us cancels tasks, not scopes."""
    before = system.rows(), system.secrets()

    async def cancel(_: str) -> None:
        task.cancel()
        await anyio.lowlevel.checkpoint()

    on_write(6, cancel)
    task = asyncio.ensure_future(bring_back(system, archive))
    await asyncio.wait([task])
    assert task.cancelled()
    assert (system.rows(), system.secrets()) == before
    assert not journal().exists()


@both_formats
async def test_its_time_is_over(system: System, archive: str, on_write: Callable[..., None]) -> None:
    """The undo has time of its own."""
    before = system.rows(), system.secrets()

    async def wait(_: str) -> None:
        await anyio.sleep_forever()

    on_write(6, wait)
    with pytest.raises(JobTimeout):
        await bring_back(system, archive, timeout=4.0)
    assert (system.rows(), system.secrets()) == before
    assert not journal().exists()


# Not everything comes back ------------------------------------------------------------------------------------------


@both_formats
async def test_somebody_else_wrote_meanwhile(system: System, archive: str, on_write: Callable[..., None]) -> None:
    """Theirs stays and is named in the error; the journal stays, and stops the next restore until it is dismissed."""
    rows, secrets = system.rows(), system.secrets()
    kv, written = system.yubikeys, list[str]()

    async def change(path: str) -> None:
        written.append(path)
        status, _ = kv.server.request("POST", path.replace("/", "/data/", 1), {"data": {"by": "somebody"}})
        assert status == 200
        raise VaultUnreachable("The vault went away.", hint="Look after it.", effect="nothing")

    on_write(6, change)
    with pytest.raises(VaultUnreachable) as caught:
        await bring_back(system, archive)
    error, path = caught.value, written[0]
    said = f"1 secret that it wrote could not be put back ({path}: somebody else has written it since)."
    assert said in error.message
    assert str(journal()) in error.hint
    assert "--dismiss" in error.hint
    assert "Nothing was changed" not in str(error)
    assert "The database is as before." in error.summary
    assert (error.effect, error.remedies) == ("secrets", ("undo", "dismiss"))
    mount, _, name = path.partition("/")
    part = "yubikeys" if mount == kv.path else "application"
    secrets[part][name] = {"by": "somebody"}
    assert (system.rows(), system.secrets()) == (rows, secrets)
    assert ["left", mount, name, "somebody else has written it since"] in lines()

    with pytest.raises(UnfinishedRestore, match=rf"{archive}.*up to 1 secret that it wrote is in the vault"):
        await bring_back(system, archive)
    report = await undo_restore(vault=system.vault)
    assert (report.left, report.journal) == (((path, "somebody else has written it since"),), str(journal()))
    assert await dismiss_restore() == journal()
    await bring_back(system, archive)
    assert not journal().exists()


def lines() -> list[Any]:
    return [json.loads(line) for line in journal().read_text(encoding="utf-8").splitlines()]


@both_formats
async def test_a_vault_that_stays_away(
    system: System, archive: str, on_write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error that ended the restore is told, and what is to do; later everything comes back by ``undo_restore``."""
    before = system.rows(), system.secrets()
    read = VaultClient.read

    async def gone(*_: Any, **__: Any) -> Any:
        raise VaultUnreachable("Nobody answers.", hint="Look after it.")

    async def fail(_: str) -> None:
        monkeypatch.setattr(VaultClient, "read", gone)
        raise VaultThreshold("Too many failed.", hint="Mend it.")

    on_write(6, fail)
    with pytest.raises(VaultThreshold) as caught:
        await bring_back(system, archive, vault=replace(system.vault, workers=1))
    assert caught.value.message == (
        "Too many failed. Up to 6 secrets that it wrote are still in the vault: Nobody answers."
    )
    assert "restore --undo" in caught.value.hint
    assert caught.value.hint.endswith("Mend it.")
    monkeypatch.setattr(VaultClient, "read", read)
    report = await undo_restore(vault=system.vault)
    assert report.put_back + report.removed == 6
    assert (report.archive, report.left_count, report.committed) == (archive, 0, False)
    assert (system.rows(), system.secrets()) == before
    assert not journal().exists()


@both_formats
async def test_a_cancellation_that_cannot_put_everything_back_says_so(
    system: System, archive: str, on_write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is an error instead, for a cancellation cannot carry the names; and so there is when time is short."""
    before = system.rows(), system.secrets()
    monkeypatch.setattr(undoing, "UNDO_TIMEOUT", 0.0)

    async def stopped() -> None:
        with anyio.CancelScope() as scope:

            async def cancel(_: str) -> None:
                scope.cancel()
                await anyio.lowlevel.checkpoint()

            on_write(6, cancel)
            await bring_back(system, archive)

    said = r"The restore was stopped\. Up to .* are still in the vault: there was no time"
    with pytest.raises(UnfinishedRestore, match=said):
        await stopped()
    await undo_restore(vault=system.vault)
    assert (system.rows(), system.secrets()) == before


# It dies ------------------------------------------------------------------------------------------------------------

_DIES = """
import json, os, signal, sys
from pathlib import Path
import anyio
from kleidia_backup import *
from kleidia_backup.stages.pg.session import RestoreSession
from kleidia_backup.stages.vault.kv.client import VaultClient

given = json.load(sys.stdin)
write, count = VaultClient.write, 0

async def dies(*arguments, **options):
    global count
    count += 1
    if count == given["number"] and given["when"] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = await write(*arguments, **options)
    if count >= given["number"] and given["when"] == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return result

commit = RestoreSession.commit

async def dies_in_commit(session):
    if given["when"] == "before commit":
        os.kill(os.getpid(), signal.SIGKILL)
    await commit(session)
    if given["when"] == "after commit":
        os.kill(os.getpid(), signal.SIGKILL)

VaultClient.write = dies
RestoreSession.commit = dies_in_commit
anyio.run(lambda: restore(
    given["name"],
    store=DirectorySettings(Path(given["directory"]), prefix="backups/"),
    password=given["password"],
    database=PostgresSettings(given["conninfo"], pg_dump=given["pg_dump"]),
    vault=VaultSettings(given["address"], TokenAuth(given["token"]), tuple(Root(*each) for each in given["roots"])),
))
"""


def die(system: System, name: str, when: str, number: int = 0) -> None:
    """Restore in a process that is killed by SIGKILL."""
    given = {
        "name": name,
        "directory": str(system.directory),
        "password": PASSWORD,
        "conninfo": system.conninfo,
        "pg_dump": system.postgres.pg_dump,
        "address": system.vault.address,
        "token": system.application.server.root_token,
        "roots": [[root.prefix, root.mount, root.path] for root in system.vault.roots],
        "when": when,
        "number": number,
    }
    done = subprocess.run(
        [sys.executable, "-c", _DIES], input=json.dumps(given), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    # the server notices that the connection is gone a moment later
    while system.sql(f"SELECT 1 {SESSIONS}"):
        pass


@both_formats
@pytest.mark.parametrize(("when", "number"), [("before", 1), ("before", 7), ("after", 7)])
async def test_a_killed_restore_is_undone_by_the_next_run(system: System, archive: str, when: str, number: int) -> None:
    """It is found, refuses another restore, and undone everything is as before."""
    before = system.rows(), system.secrets()
    die(system, archive, when, number)
    assert system.rows() == before[0]
    left = unfinished()
    assert left is not None
    assert left.archive == archive
    assert left.count >= number
    for options in ({}, {"only": "database"}):
        with pytest.raises(UnfinishedRestore, match=rf"{archive}, begun at {left.started}") as caught:
            await bring_back(system, archive, **options)
        assert (caught.value.archive, caught.value.count, caught.value.started) == (archive, left.count, left.started)
    assert PASSWORD not in journal().read_text(encoding="utf-8")
    assert "wrong" not in journal().read_text(encoding="utf-8")
    report = await undo_restore(vault=system.vault)
    assert (report.archive, report.started, report.left_count) == (archive, left.started, 0)
    assert (system.rows(), system.secrets()) == before
    assert not journal().exists()
    with pytest.raises(ConfigurationError, match="No restore is unfinished"):
        await undo_restore(vault=system.vault)
    await bring_back(system, archive)
    assert system.yubikeys.get("0003/piv") is not None


def say_cluster(name: str) -> None:
    """Let the journal say that another vault was written to; nothing, as journals of older versions do, when empty."""
    first, rest = journal().read_text(encoding="utf-8").split("\n", 1)
    header = json.loads(first)
    assert header.pop("cluster")
    journal().write_text(json.dumps({**header, "cluster": name} if name else header) + "\n" + rest, encoding="utf-8")


@both_formats
async def test_a_killed_restore_is_not_undone_in_another_vault(system: System, archive: str) -> None:
    """Neither at other roots nor in another vault, even at the same address; nothing is touched."""
    die(system, archive, "after", 7)
    before = system.secrets()
    with pytest.raises(ConfigurationError, match="another vault"):
        await undo_restore(vault=replace(system.vault, roots=system.vault.roots[:1]))
    say_cluster("another")
    with pytest.raises(ConfigurationError, match=r"another vault.*cluster another"):
        await undo_restore(vault=system.vault)
    assert system.secrets() == before
    await dismiss_restore()
    with pytest.raises(ConfigurationError, match="No restore is unfinished"):
        await dismiss_restore()


@both_formats
async def test_a_killed_restore_is_undone_at_another_address_of_its_vault(system: System, archive: str) -> None:
    """The vault is known by what it calls itself; by its address alone where the journal does not say that."""
    before = system.rows(), system.secrets()
    die(system, archive, "after", 7)
    moved = replace(system.vault, address=system.vault.address.replace("127.0.0.1", "localhost"))
    assert moved.address != system.vault.address
    told = journal().read_bytes()
    say_cluster("")
    with pytest.raises(ConfigurationError, match="another vault"):
        await undo_restore(vault=moved)
    journal().write_bytes(told)
    report = await undo_restore(vault=moved)
    assert report.left_count == 0
    assert (system.rows(), system.secrets()) == before


@both_formats
async def test_killed_before_commit(system: System, archive: str) -> None:
    """PostgreSQL says that it was rolled back; so the secrets go back."""
    before = system.rows(), system.secrets()
    die(system, archive, "before commit")
    with pytest.raises(UnfinishedRestore, match="ended during COMMIT, so only PostgreSQL knows"):
        await bring_back(system, archive)
    with pytest.raises(UnfinishedRestore, match="no database is configured") as caught:
        await undo_restore(vault=system.vault)
    assert "SELECT txid_status(" in caught.value.hint
    other = PostgresSettings(system.conninfo, pg_dump=system.postgres.pg_dump)
    with pytest.raises(ConfigurationError, match="another database"):
        await undo_restore(
            vault=system.vault, database=replace(other, conninfo=make_conninfo(system.conninfo, dbname="postgres"))
        )
    report = await undo_restore(vault=system.vault, database=system.postgres)
    assert not report.committed
    assert report.put_back + report.removed == 13
    assert (system.rows(), system.secrets()) == before


@both_formats
async def test_killed_after_commit(system: System, archive: str) -> None:
    """PostgreSQL says that the restore took place; so the secrets stay."""
    die(system, archive, "after commit")
    after = system.rows(), system.secrets()
    report = await undo_restore(vault=system.vault, database=system.postgres)
    assert (report.committed, report.put_back, report.removed) == (True, 0, 0)
    assert (system.rows(), system.secrets()) == after
    assert system.secrets()["yubikeys"]["0003/piv"] is not None
    assert not journal().exists()


@both_formats
async def test_a_commit_of_which_nobody_knows(system: System, archive: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is undone blindly: the journal stays, the error says what to do, and later the server is asked."""
    before = system.rows(), system.secrets()
    monkeypatch.setattr(outcome, "SETTLING", 0.2)
    commit = RestoreSession.commit

    async def lost(session: RestoreSession) -> None:
        assert session._wire is not None
        session._wire.close()
        with monkeypatch.context() as patch:
            gone = replace(session.settings, conninfo="host=127.0.0.1 port=1 dbname=x user=y")
            patch.setattr(session, "settings", gone)
            await commit(session)

    async def unknown(*_: Any) -> bool:
        return False

    monkeypatch.setattr(RestoreSession, "commit", lost)
    monkeypatch.setattr(outcome, "end_backend", unknown)
    with pytest.raises(CommitUncertain) as caught:
        await bring_back(system, archive)
    assert "Up to 13 secrets that it wrote are in the vault." in caught.value.message
    assert "restore --undo" in caught.value.hint
    assert "txid_status" in caught.value.hint
    assert system.secrets() != before[1]
    await undo_restore(vault=system.vault, database=system.postgres)
    assert (system.rows(), system.secrets()) == before


# One at a time ------------------------------------------------------------------------------------------------------


@both_formats
async def test_a_running_restore_is_left_alone(system: System, archive: str, on_write: Callable[..., None]) -> None:
    """Nobody undoes, dismisses or joins it; a restore of a database alone has nothing to do with its vault."""

    async def look(_: str) -> None:
        for attempt in (
            undo_restore(vault=system.vault),
            dismiss_restore(),
            bring_back(system, archive, database=None),
        ):
            with pytest.raises(Busy):
                await attempt

    on_write(6, look)
    await bring_back(system, archive)
    assert not journal().exists()


@both_formats
async def test_each_state_directory_has_its_own(system: System, archive: str, tmp_path: Path) -> None:
    """The setting decides where a journal is looked for."""
    held = Journal.begin("x", system.vault, tmp_path / "one")
    with pytest.raises(Busy):
        await bring_back(system, archive, state=tmp_path / "one")
    await bring_back(system, archive, state=tmp_path / "two")
    held.remove()


@both_formats
async def test_a_state_directory_that_cannot_be_used(system: System, archive: str, tmp_path: Path) -> None:
    """It shows before anything is written; a restore of the database alone does not need one."""
    before = system.rows(), system.secrets()
    with pytest.raises(ConfigurationError, match="cannot be used for state"):
        await bring_back(system, archive, state=Path("/proc/nowhere"))
    assert (system.rows(), system.secrets()) == before
    await bring_back(system, archive, state=Path("/proc/nowhere"), only="database")
