"""Putting back what a restore wrote, secret by secret, against the real server."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from kleidia_backup.demo.servers.together import KvMount, OpenBaoServer
from kleidia_backup.formats.secret import Secret
from kleidia_backup.pipeline.engine.testing import run_sink
from kleidia_backup.stages.errors import VaultForbidden, VaultUnreachable
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.settings import Root, TokenAuth, VaultSettings
from kleidia_backup.stages.vault.sink import Change, VaultSink
from kleidia_backup.stages.vault.undo import journal as journals
from kleidia_backup.stages.vault.undo import undo as undoing
from kleidia_backup.stages.vault.undo.journal import Journal, unfinished
from kleidia_backup.stages.vault.undo.undo import VaultUndo, VaultUndoReport

from .conftest import Policies
from .stub import StubVault, settings

pytestmark = pytest.mark.anyio

Mounter = Callable[[int], KvMount]
Write = Callable[..., Awaitable[Journal]]


@pytest.fixture
def restored(tmp_path: Path) -> Write:
    """Writes ``{"new": …}`` to these paths as a restore does, and leaves the journal as its death does."""

    async def write(vault: VaultSettings, *paths: str) -> Journal:
        journal = Journal.begin("x", vault, tmp_path)
        async with VaultClient(vault) as client:
            sink = VaultSink(client, vault.roots, journal=journal)
            await run_sink(sink, [Secret(path, b'{"new":true}') for path in paths])
        journal.close()
        return Journal.resume(tmp_path)

    return write


async def undo(vault: VaultSettings, journal: Journal, **options: Any) -> VaultUndoReport:
    async with VaultClient(vault) as client:
        undo = VaultUndo(client, journal, **options)
        await undo()
    return undo.report


def metadata(kv: KvMount, path: str) -> Any:
    """Everything a key has besides its values; None when there is no key."""
    status, answer = kv.server.request("GET", f"{kv.path}/metadata/{path}")
    return answer["data"] if status == 200 else None


def edit(journal: Journal, change: Callable[[list[Any]], list[Any] | None]) -> Journal:
    """The same journal with other lines."""
    journal.close()
    first, *lines = journal.path.read_text(encoding="utf-8").splitlines()
    changed = [each for line in lines if (each := change(json.loads(line))) is not None]
    journal.path.write_text("\n".join([first, *map(json.dumps, changed)]) + "\n", encoding="utf-8")
    return Journal.resume(journal.path.parent)


async def planned(vault: VaultSettings, state: Path, sent: tuple[str, ...] = ()) -> Journal:
    """The journal of a restore that was killed when it had told what it would create, and sent some of it."""
    journal = Journal.begin("x", vault, state)
    changes = [Change(vault.roots[0].mount, path, 2, 0, existed=False, planned=True) for path in ("a", "b", "c")]
    await journal(*(replace(change, ahead=True) for change in changes))
    for change in changes:
        if change.path in sent:
            await journal(change)
    journal.close()
    return journal


async def test_what_was_planned_and_never_sent_is_nobodys_business(
    openbao_server: OpenBaoServer, kv: KvMount, tmp_path: Path
) -> None:
    """Killed before it sent a planned write, a restore cannot have made the version that somebody else made."""
    vault = settings(openbao_server, Root("", kv.path))
    await planned(vault, tmp_path)
    assert unfinished(tmp_path) is None
    await planned(vault, tmp_path, sent=("a",))
    found = unfinished(tmp_path)
    assert found is not None
    assert found.count == 1
    kv.put("a", {"new": True})  # ours
    kv.put("b", {"mine": True})
    report = await undo(vault, Journal.resume(tmp_path))
    assert (report.removed, report.unchanged, report.left.names) == (1, 0, [])
    assert kv.all() == {"b": {"mine": True}}


async def test_after_the_machine_went_down_a_planned_write_may_have_been_sent(
    openbao_server: OpenBaoServer, kv: KvMount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then only the plan is sure to be on the disk, and what has its version is taken for ours."""
    vault = settings(openbao_server, Root("", kv.path))
    await planned(vault, tmp_path, sent=("a",))
    kv.put("a", {"new": True})
    kv.put("b", {"new": True})
    monkeypatch.setattr("kleidia_backup.stages.vault.undo.journal_files.boot", lambda: "another")
    found = unfinished(tmp_path)
    assert found is not None
    assert found.count == 3
    report = await undo(vault, Journal.resume(tmp_path))
    assert (report.removed, report.unchanged, report.left.names) == (2, 1, [])
    assert kv.all() == {}


def soft_delete(kv: KvMount, path: str) -> None:
    kv.server.request("DELETE", f"{kv.path}/data/{path}")


# What comes back --------------------------------------------------------------------------------------------------


async def test_everything_is_as_before(openbao_server: OpenBaoServer, kv: KvMount, restored: Write) -> None:
    """Overwritten ones have their value, created ones are gone, deleted and destroyed ones have no value."""
    kv.server.request("POST", f"{kv.path}/config", {"cas_required": False})
    kv.put("overwritten", {"a": 1, "b": ["ü", None, 1.5]})
    kv.put("emptied", {})
    kv.put("deep/er/one", {"x": "y"})
    kv.put("deleted", {"a": 1})
    soft_delete(kv, "deleted")
    kv.put("destroyed", {"a": 1})
    kv.server.request("PUT", f"{kv.path}/destroy/destroyed", {"versions": [1]})
    kv.server.request("POST", f"{kv.path}/metadata/bare", {"custom_metadata": {"owner": "me"}})
    kv.server.request("POST", f"{kv.path}/metadata/bare2", {"max_versions": 7})
    before = kv.all()
    names = (
        "overwritten",
        "emptied",
        "deep/er/one",
        "deleted",
        "destroyed",
        "bare",
        "bare2",
        "created",
        "folder/created",
    )
    vault = settings(openbao_server, Root("", kv.path))
    journal = await restored(vault, *names)
    assert kv.all() == {name: {"new": True} for name in names}
    report = await undo(vault, journal)
    assert kv.all() == before
    assert (report.put_back, report.removed, report.unchanged, report.left.names) == (3, 6, 0, [])
    assert metadata(kv, "created") is None
    assert metadata(kv, "bare")["custom_metadata"] == {"owner": "me"}
    assert metadata(kv, "bare2")["max_versions"] == 7
    journal.close()
    assert unfinished(journal.path.parent) is None


async def test_a_second_undo_changes_nothing(openbao_server: OpenBaoServer, kv: KvMount, restored: Write) -> None:
    """One that died before it could note what it did is repeated without harm."""
    kv.put("overwritten", {"a": 1})
    kv.put("deleted", {"a": 1})
    soft_delete(kv, "deleted")
    vault = settings(openbao_server, Root("", kv.path))
    journal = await restored(vault, "overwritten", "deleted", "created")
    text = journal.path.read_bytes()
    await undo(vault, journal)
    journal.close()
    before = kv.all(), {path: metadata(kv, path) for path in kv.paths()}
    journal.path.write_bytes(text)
    journal = Journal.resume(journal.path.parent)
    report = await undo(vault, journal)
    assert (report.unchanged, report.total) == (3, 3)
    assert (kv.all(), {path: metadata(kv, path) for path in kv.paths()}) == before
    journal.remove()


async def test_many_in_parts(
    openbao_server: OpenBaoServer, kv: KvMount, restored: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the journal is divided, each secret is put back once; ``cas_required`` is no obstacle."""
    monkeypatch.setattr(journals, "PART", 4096)
    for n in range(0, 150, 2):
        kv.put(f"{n % 7}/{n}", {"n": n})
    kv.server.request("POST", f"{kv.path}/config", {"cas_required": True})
    before, steps = kv.all(), []
    vault = settings(openbao_server, Root("", kv.path))
    journal = await restored(vault, *(f"{n % 7}/{n}" for n in range(150)))
    assert journal.parts > 3
    report = await undo(vault, journal, step=lambda: steps.append(1))
    assert (report.put_back, report.removed, len(steps)) == (75, 75, 150)
    assert kv.all() == before
    journal.remove()


async def test_a_large_secret_comes_back(
    openbao_server: OpenBaoServer, kv: KvMount, restored: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One at a time, as everywhere."""
    monkeypatch.setattr(undoing, "SMALL", 1000)
    value = {"x": "y" * 100_000}
    for n in range(3):
        kv.put(f"large{n}", value)
    vault = settings(openbao_server, Root("", kv.path))
    journal = await restored(vault, "large0", "large1", "large2")
    assert (await undo(vault, journal)).put_back == 3
    assert kv.all() == {f"large{n}": value for n in range(3)}
    journal.remove()


# What somebody else did meanwhile ---------------------------------------------------------------------------------


async def test_what_somebody_else_did_since_is_not_touched(
    openbao_server: OpenBaoServer, kv: KvMount, restored: Write
) -> None:
    """Written, deleted or removed by somebody: it stays so, and is named with the reason."""
    names = ("changed", "deleted", "removed", "created/changed", "created/tagged", "revived", "untouched")
    for name in ("changed", "deleted", "removed", "untouched", "revived"):
        kv.put(name, {"old": name})
    soft_delete(kv, "revived")
    vault = settings(openbao_server, Root("", kv.path))
    journal = await restored(vault, *names)
    kv.put("changed", {"by": "somebody"})
    soft_delete(kv, "deleted")
    kv.delete("removed")
    kv.put("created/changed", {"by": "somebody"})
    kv.put("revived", {"by": "somebody"})
    kv.server.request("POST", f"{kv.path}/metadata/created/tagged", {"custom_metadata": {"owner": "somebody"}})
    report = await undo(vault, journal)
    assert kv.all() == {
        "changed": {"by": "somebody"},
        "deleted": None,
        "created/changed": {"by": "somebody"},
        "created/tagged": None,  # ours is gone, their metadata is not
        "revived": {"by": "somebody"},
        "untouched": {"old": "untouched"},
    }
    assert metadata(kv, "created/tagged")["custom_metadata"] == {"owner": "somebody"}
    assert dict(report.left.names) == {
        f"{kv.path}/changed": "somebody else has written it since",
        f"{kv.path}/deleted": "somebody else has deleted it since",
        f"{kv.path}/removed": "somebody else has removed it since",
        f"{kv.path}/created/changed": "somebody else has written it since",
        f"{kv.path}/revived": "somebody else has written it since",
    }
    left = [json.loads(line) for line in journal.path.read_text(encoding="utf-8").splitlines() if '"left"' in line]
    assert {f"{line[1]}/{line[2]}": line[3] for line in left} == dict(report.left.names)
    journal.close()
    remains = unfinished(journal.path.parent)
    assert remains is not None
    assert remains.count == 5


@pytest.mark.parametrize("path", ["changed", "created"])
async def test_somebody_writes_between_our_look_and_our_write(
    openbao_server: OpenBaoServer, kv: KvMount, restored: Write, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Check-and-set, and a second look before a removal, notice it."""
    kv.put("changed", {"old": True})
    vault = settings(openbao_server, Root("", kv.path))
    journal = await restored(vault, path)
    read = VaultClient.read

    async def slow(client: VaultClient, mount: str, path: str, **options: Any) -> Any:
        result = await read(client, mount, path, **options)
        if path == "created" or options.get("version"):
            kv.put(path, {"by": "somebody"})
        return result

    monkeypatch.setattr(VaultClient, "read", slow)
    report = await undo(vault, journal)
    assert report.left.names == [(f"{kv.path}/{path}", "somebody else has written it since")]
    assert kv.get(path) == {"by": "somebody"}
    journal.remove()


async def test_a_former_version_that_is_not_kept(openbao_server: OpenBaoServer, kv: KvMount, restored: Write) -> None:
    """Where a mount keeps one version, overwriting is for good: it is named."""
    kv.server.request("POST", f"{kv.path}/config", {"max_versions": 1})
    kv.put("x", {"a": 1})
    vault = settings(openbao_server, Root("", kv.path))
    journal = await restored(vault, "x", "created")
    report = await undo(vault, journal)
    assert report.left.names == [(f"{kv.path}/x", "the version that it had, 1, is not kept any more")]
    assert report.removed == 1
    assert kv.all() == {"x": {"new": True}}
    journal.remove()


async def test_kv_version_1_keeps_nothing(openbao_server: OpenBaoServer, kv_mount: Mounter, restored: Write) -> None:
    """What was overwritten is gone, what was created may be somebody else's by now: both are named, none is touched."""
    one = kv_mount(1)
    one.put("overwritten", {"a": 1})
    vault = settings(openbao_server, Root("", one.path))
    journal = await restored(vault, "overwritten", "created", "gone")
    one.delete("gone")
    report = await undo(vault, journal)
    assert dict(report.left.names) == {
        f"{one.path}/overwritten": "KV version 1 keeps no versions: the value that it had is gone",
        f"{one.path}/created": (
            "it was created, and KV version 1 does not tell whether somebody else has written it since"
        ),
    }
    assert report.unchanged == 1
    assert one.all() == {name: {"new": True} for name in ("overwritten", "created")}
    journal.remove()


# Writes that nobody confirmed ---------------------------------------------------------------------------------------


async def test_writes_without_a_confirmation(openbao_server: OpenBaoServer, kv: KvMount, restored: Write) -> None:
    """The restore died before it heard of them: those that arrived are undone, the others never happened."""
    for name in ("arrived", "never"):
        kv.put(name, {"old": name})
    before = kv.all()
    vault = settings(openbao_server, Root("", kv.path))
    journal = await restored(vault, "arrived", "created")
    journal.close()
    with journal.path.open("ab") as file:
        file.write(b'["write","%s","never",2,1,true,1000.0]\n' % kv.path.encode())
        file.write(b'["write","%s","never/created",2,0,false,1000.0]\n' % kv.path.encode())
    journal = edit(Journal.resume(journal.path.parent), lambda line: None if line[0] == "wrote" else line)
    report = await undo(vault, journal)
    assert kv.all() == before
    assert (report.put_back, report.removed, report.unchanged, report.left.names) == (1, 1, 2, [])
    journal.remove()


async def test_a_write_without_a_confirmation_that_somebody_else_made_later(
    openbao_server: OpenBaoServer, kv: KvMount, restored: Write
) -> None:
    """The version has the number that ours would have had; it came an hour after the restore died."""
    kv.put("x", {"old": True})
    vault = settings(openbao_server, Root("", kv.path))
    journal = await restored(vault, "x", "created")

    def long_ago(line: list[Any]) -> list[Any] | None:
        return None if line[0] == "wrote" else [*line[:6], line[6] - 3600]

    journal = edit(journal, long_ago)
    report = await undo(vault, journal)
    assert dict(report.left.names) == {
        f"{kv.path}/{name}": "somebody else has written it since" for name in ("x", "created")
    }
    assert kv.all() == {"x": {"new": True}, "created": {"new": True}}
    journal.remove()


async def test_a_write_that_arrives_late_is_waited_for(
    openbao_server: OpenBaoServer, kv: KvMount, restored: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was under way when the restore was stopped may still come."""
    kv.put("late", {"old": True})
    vault = settings(openbao_server, Root("", kv.path))
    journal = await restored(vault, "late")
    kv.delete("late")  # as it was before the write
    kv.put("late", {"old": True})
    journal = edit(journal, lambda line: None if line[0] == "wrote" else line)
    waited = []

    async def arrives(seconds: float) -> None:
        waited.append(seconds)
        kv.put("late", {"new": True})

    monkeypatch.setattr(anyio, "sleep", arrives)
    report = await undo(vault, journal)
    assert (report.put_back, report.left.names) == (1, [])
    assert kv.get("late") == {"old": True}
    assert len(waited) == 1
    assert 0 < waited[0] <= undoing.LATE_ARRIVAL
    journal.remove()


async def test_a_refused_write_is_not_taken_for_ours(
    openbao_server: OpenBaoServer, kv: KvMount, policies: Policies, restored: Write
) -> None:
    """A version that somebody else made in its place stays."""
    kv.put("closed/1", {"old": True})
    kv.put("closed/2", {"old": True})
    rules = {f"{kv.path}/data/*": ["create", "update", "read"], f"{kv.path}/data/closed/*": ["read"]}
    narrow = settings(openbao_server, Root("", kv.path), auth=TokenAuth(policies.token(rules)))
    journal = await restored(narrow, "closed/1", "closed/2", "open/1", "open/2", "open/3")
    kv.put("closed/2", {"by": "somebody"})
    report = await undo(settings(openbao_server, Root("", kv.path)), journal)
    assert kv.all() == {"closed/1": {"old": True}, "closed/2": {"by": "somebody"}}
    assert (report.removed, report.unchanged) == (3, 1)
    assert report.left.names == [(f"{kv.path}/closed/2", "it has a version that may be somebody else's")]
    journal.remove()


# Failures -----------------------------------------------------------------------------------------------------------


async def test_rights_that_are_missing_are_named(
    openbao_server: OpenBaoServer, kv: KvMount, policies: Policies, restored: Write
) -> None:
    """What the token may do is done."""
    kv.put("overwritten", {"old": True})
    kv.put("deleted", {"old": True})
    soft_delete(kv, "deleted")
    token = policies.token({f"{kv.path}/data/*": ["create", "update", "read"]})
    vault = settings(openbao_server, Root("", kv.path), auth=TokenAuth(token))
    journal = await restored(vault, "overwritten", "created", "deleted")
    report = await undo(vault, journal)
    assert kv.all() == {"overwritten": {"old": True}, "created": {"new": True}, "deleted": {"new": True}}
    assert {path for path, why in report.left.names if "permission denied" in why} == {
        f"{kv.path}/created",
        f"{kv.path}/deleted",
    }
    journal.close()
    journal = Journal.resume(journal.path.parent)
    report = await undo(settings(openbao_server, Root("", kv.path)), journal)
    assert (report.removed, report.total) == (2, 2), "what is back already is not looked at again"
    assert kv.all() == {"overwritten": {"old": True}, "deleted": None}
    journal.remove()


async def test_a_vault_that_is_gone_ends_the_undo(
    openbao_server: OpenBaoServer, kv: KvMount, restored: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal keeps what is not done yet, and the next undo does that and no more."""
    for n in range(30):
        kv.put(f"{n}", {"n": n})
    before = kv.all()
    vault = settings(openbao_server, Root("", kv.path))
    journal = await restored(vault, *(f"{n}" for n in range(30)))
    write, writes = VaultClient.write, iter(range(10))

    async def ten(*arguments: Any, **options: Any) -> Any:
        if next(writes, None) is None:
            raise VaultUnreachable("Nobody answers.")
        return await write(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(VaultClient, "write", ten)
        with pytest.raises(VaultUnreachable):
            await undo(vault, journal, workers=4)
    journal.close()
    journal = Journal.resume(journal.path.parent)
    assert 20 <= journal.writes < 30
    report = await undo(vault, journal)
    assert report.total == journal.writes
    assert kv.all() == before
    journal.remove()


async def test_a_token_that_died_ends_the_undo(
    openbao_server: OpenBaoServer, kv: KvMount, policies: Policies, restored: Write
) -> None:
    """The error says so, and nothing is lost."""
    token = policies.token({f"{kv.path}/*": ["create", "update", "read", "delete"]})
    vault = settings(openbao_server, Root("", kv.path), auth=TokenAuth(token))
    journal = await restored(vault, "created")
    async with VaultClient(vault) as client:
        openbao_server.request("POST", "auth/token/revoke", {"token": token})
        with pytest.raises(VaultForbidden):
            await VaultUndo(client, journal)()
    journal.close()
    left = unfinished(journal.path.parent)
    assert left is not None
    assert left.count == 1


async def test_twenty_at_a_time(stub: StubVault, restored: Write) -> None:
    """As many as there are workers, and no more."""
    stub.fill(100)
    vault = settings(stub, adaptive=False)  # as what undoes a restore has it
    journal = await restored(vault, *(f"s/{n}" for n in range(100)))

    stub.gathers(20, "/s/")
    stub.most_running = 0
    await undo(vault, journal, workers=20)
    assert stub.most_running == 20
    journal.remove()
