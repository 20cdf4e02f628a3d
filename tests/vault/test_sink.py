"""The fan-out sink against the real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from aiohttp import web

from kleidia_backup.demo.servers.together import KvMount, OpenBaoServer
from kleidia_backup.formats.secret import Secret, Version
from kleidia_backup.pipeline.engine.testing import check_cancellation, run_sink
from kleidia_backup.stages.errors import ConfigurationError, VaultError, VaultMountMissing, VaultThreshold
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.settings import Root, TokenAuth
from kleidia_backup.stages.vault.metadata.bring_back import BringBack
from kleidia_backup.stages.vault.reports import WriteReport
from kleidia_backup.stages.vault.sink import Change, VaultSink, WriteJournal

from .conftest import Policies
from .stub import StubVault, counters, settings

pytestmark = pytest.mark.anyio

Mounter = Callable[[int], KvMount]


def secret(path: str, value: object) -> Secret:
    """A secret of an archive."""
    return Secret(path, json.dumps(value, separators=(",", ":")).encode())


async def restore(
    server: OpenBaoServer | StubVault,
    secrets: list[Secret],
    *roots: Root,
    token: str = "",
    journal: WriteJournal | None = None,
) -> WriteReport:
    """Write secrets below the roots, as a restore does: not slowed by slow answers."""
    auth = TokenAuth(token) if token else None
    async with VaultClient(settings(server, *roots, auth=auth, adaptive=False)) as client:
        sink = VaultSink(client, roots or client.settings.roots, journal=journal)
        await run_sink(sink, secrets)
    assert sink.report.total == len(secrets)
    return sink.report


def newest(kv: KvMount, path: str) -> int:
    """The number of a secret's newest version."""
    status, answer = kv.server.request("GET", f"{kv.path}/metadata/{path}")
    assert status == 200
    return int(answer["data"]["current_version"])


@pytest.mark.parametrize("version", [1, 2])
async def test_a_restore_writes_what_differs(openbao_server: OpenBaoServer, kv_mount: Mounter, version: int) -> None:
    """New ones are created, changed ones overwritten, equal ones left alone."""
    kv = kv_mount(version)
    kv.put("same", {"a": 1, "b": "<&>"})
    kv.put("changed", {"a": 1})
    kv.put("kept", {"not": "in the archive"})
    report = await restore(
        openbao_server,
        [
            Secret("same", b'{ "b":"<&>", "a":1.0 }'),
            secret("changed", {"a": 2}),
            secret("new", {"a": 3}),
            secret("new/er", {"a": 4}),
        ],
        Root("", kv.path),
    )
    assert (report.written, report.unchanged, report.failed.count) == (3, 1, 0)
    assert report.warnings() == []
    assert kv.all() == {
        "same": {"a": 1, "b": "<&>"},
        "changed": {"a": 2},
        "kept": {"not": "in the archive"},
        "new": {"a": 3},
        "new/er": {"a": 4},
    }
    if version == 2:
        assert [newest(kv, name) for name in ("same", "changed", "new", "new/er")] == [1, 2, 1, 1]


async def test_a_second_restore_writes_nothing(openbao_server: OpenBaoServer, kv: KvMount) -> None:
    """Restoring what is already there spends no version."""
    secrets = [secret(f"{n % 7}/{n}", {"n": n, "pi": 3.14}) for n in range(100)]
    assert (await restore(openbao_server, secrets, Root("", kv.path))).written == 100
    again = await restore(openbao_server, secrets, Root("", kv.path))
    assert (again.unchanged, again.written) == (100, 0)


async def test_restore_to_other_places(openbao_server: OpenBaoServer, kv_mount: Mounter) -> None:
    """The roots decide where a prefix goes."""
    one, two = kv_mount(2), kv_mount(1)
    secrets = [secret("jwt-secret", {"a": 1}), secret("yubikeys/x/piv", {"b": 2})]
    await restore(openbao_server, secrets, Root("", one.path, "elsewhere/now"), Root("yubikeys/", two.path))
    assert one.all() == {"elsewhere/now/jwt-secret": {"a": 1}}
    assert two.all() == {"x/piv": {"b": 2}}


async def test_deleted_secrets_come_back(openbao_server: OpenBaoServer, kv: KvMount) -> None:
    """A soft-deleted, a destroyed and a metadata-only key get a new version, and are counted as written."""
    kv.put("deleted", {"a": 1})
    kv.put("destroyed", {"a": 1})
    kv.server.request("DELETE", f"{kv.path}/data/deleted")
    kv.server.request("PUT", f"{kv.path}/destroy/destroyed", {"versions": [1]})
    kv.server.request("POST", f"{kv.path}/metadata/bare", {"custom_metadata": {"owner": "me"}})
    names = ("deleted", "destroyed", "bare")
    report = await restore(openbao_server, [secret(name, {"a": 1}) for name in names], Root("", kv.path))
    assert report.written == 3
    assert kv.all() == {name: {"a": 1} for name in names}


async def test_a_mount_that_requires_cas(openbao_server: OpenBaoServer, kv: KvMount) -> None:
    """Every write names the version it replaces."""
    kv.put("x", {"a": 1})
    kv.server.request("POST", f"{kv.path}/config", {"cas_required": True})
    report = await restore(openbao_server, [secret("x", {"a": 2}), secret("y", {})], Root("", kv.path))
    assert (report.written, report.failed.count) == (2, 0)


async def test_long_numbers(openbao_server: OpenBaoServer, kv_mount: Mounter) -> None:
    """Version 1 takes them exactly and a second restore finds them equal; version 2 rounds what it reads."""
    one, two = kv_mount(1), kv_mount(2)
    value = Secret("n", b'{"n":12345678901234567890}')
    for _ in range(2):
        report = await restore(openbao_server, [value], Root("", one.path))
    assert report.unchanged == 1
    for _ in range(2):
        report = await restore(openbao_server, [value], Root("", two.path))
    assert report.written == 1  # the live value reads as another number, so it is written again rather than trusted


# Failures --------------------------------------------------------------------------------------------------------


async def test_below_half_is_a_warning(openbao_server: OpenBaoServer, kv: KvMount, policies: Policies) -> None:
    """49 of 100 fail: the report names them, and the run succeeds."""
    token = policies.token(
        {f"{kv.path}/data/*": ["create", "update", "read"], f"{kv.path}/data/closed/*": ["read"]},
    )
    secrets = [secret(f"closed/{n}" if n < 49 else f"open/{n}", {"n": n}) for n in range(100)]
    report = await restore(openbao_server, secrets, Root("", kv.path), token=token)
    assert (report.written, report.failed.count) == (51, 49)
    assert sorted(path for path, _ in report.failed.names) == sorted(f"closed/{n}" for n in range(49))
    (warning,) = report.warnings()
    assert "49 of 100 secrets could not be written: closed/" in warning
    assert "permission denied" in warning


@pytest.mark.parametrize("failing", [50, 100])
async def test_half_or_more_is_a_failure(
    openbao_server: OpenBaoServer, kv: KvMount, policies: Policies, failing: int
) -> None:
    """50 of 100 fail: so does the run, and the error names them."""
    token = policies.token(
        {f"{kv.path}/data/*": ["create", "update", "read"], f"{kv.path}/data/closed/*": ["read"]},
    )
    secrets = [secret(f"closed/{n}" if n < failing else f"open/{n}", {"n": n}) for n in range(100)]
    with pytest.raises(VaultThreshold, match=f"{failing} of 100 secrets") as caught:
        await restore(openbao_server, secrets, Root("", kv.path), token=token)
    assert len(caught.value.paths) == failing


async def test_nothing_to_restore_is_a_success(openbao_server: OpenBaoServer, kv: KvMount) -> None:
    """No secret means no failure."""
    assert (await restore(openbao_server, [], Root("", kv.path))).total == 0


async def test_what_a_server_does_not_take(openbao_server: OpenBaoServer, kv: KvMount) -> None:
    """Values too large, too many strings, names that cannot be printed: each fails for itself, with its reason."""
    good = [secret(f"good{n}", {"n": n}) for n in range(5)]
    bad = [
        secret("large", {"a": "x" * 2_000_000}),
        secret("many", {f"k{n}": "v" for n in range(600)}),
        secret("tab\t", {}),
    ]
    report = await restore(openbao_server, [*bad, *good], Root("", kv.path))
    reasons = dict(report.failed.names)
    assert sorted(reasons) == ["large", "many", "tab\t"]
    assert "too large" in reasons["large"]
    assert "maximum number of strings" in reasons["many"]
    assert report.written == 5


async def test_failures_are_counted_and_some_named(stub: StubVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report holds a bounded number of names."""
    monkeypatch.setattr("kleidia_backup.stages.vault.reports.NAMED", 30)
    secrets = [secret(f"x{n}", {}) for n in range(80)]

    async def fault(request: web.Request) -> web.StreamResponse | None:
        return web.json_response({"errors": ["no"]}, status=405) if request.method == "POST" else None

    stub.fault = fault
    with pytest.raises(VaultThreshold) as caught:
        await restore(stub, secrets)
    assert len(caught.value.paths) == 30
    assert "80 of 80" in str(caught.value)
    assert len(str(caught.value)) < 1000


async def test_a_path_without_a_root(openbao_server: OpenBaoServer, kv: KvMount) -> None:
    """It is a matter of configuration, not a failed secret."""
    with pytest.raises(ConfigurationError, match="No vault root takes the path 'jwt'"):
        await restore(openbao_server, [secret("jwt", {})], Root("yubikeys/", kv.path))
    assert kv.all() == {}


async def test_a_missing_mount_shows_before_anything_is_written(openbao_server: OpenBaoServer, kv: KvMount) -> None:
    """Even when the first secrets belong to a root that is there."""
    with pytest.raises(VaultMountMissing):
        await restore(openbao_server, [secret("x", {})], Root("", kv.path), Root("y/", "nowhere"))
    assert kv.all() == {}


async def test_an_input_that_fails_ends_the_sink(openbao_server: OpenBaoServer, kv: KvMount) -> None:
    """The error of the input is what is seen, and nothing more is written."""
    async with VaultClient(settings(openbao_server, Root("", kv.path))) as client:
        sink = VaultSink(client, client.settings.roots)
        with pytest.raises(RuntimeError, match="broken archive"):
            await run_sink(sink, [secret("x", {})], RuntimeError("broken archive"))


async def test_what_the_only_worker_raises_is_seen(stub: StubVault) -> None:
    """And not that nobody takes secrets any more."""

    async def fault(request: web.Request) -> web.StreamResponse | None:
        return web.json_response({}, status=503) if request.method == "POST" else None

    stub.fault = fault
    async with VaultClient(settings(stub, retry_budget=0.1)) as client:
        with pytest.raises(VaultError):
            await run_sink(VaultSink(client, client.settings.roots, workers=1), [secret("x", {}), secret("y", {})])


# The journal -----------------------------------------------------------------------------------------------------


async def test_the_journal_hears_of_each_write_before_and_after(
    openbao_server: OpenBaoServer, kv_mount: Mounter
) -> None:
    """It learns which version was there, whether it had a value, and which version the write made."""
    kv, one = kv_mount(2), kv_mount(1)
    kv.put("changed", {"a": 1})
    kv.put("changed", {"a": 2})
    kv.put("same", {"a": 1})
    kv.put("deleted", {"a": 1})
    kv.server.request("DELETE", f"{kv.path}/data/deleted")
    one.put("old", {"a": 1})
    heard: dict[str, list[Change]] = {}

    async def journal(*changes: Change) -> None:
        for change in changes:
            heard.setdefault(change.path, []).append(change)
            if change.after is None and change.kv_version == 2:
                assert change.before == (0 if change.path == "new" else newest(kv, change.path)), "written already"

    secrets = [secret(name, {"a": 3}) for name in ("changed", "deleted", "new", "one/old")]
    await restore(
        openbao_server, [*secrets, secret("same", {"a": 1})], Root("", kv.path), Root("one/", one.path), journal=journal
    )

    def twice(path: str, before: int, after: int, *, existed: bool) -> list[Change]:
        first = Change(kv.path, path, 2, before, existed)
        return [first, Change(kv.path, path, 2, before, existed, after)]

    assert heard == {
        "changed": twice("changed", 2, 3, existed=True),
        "deleted": twice("deleted", 1, 2, existed=False),
        "new": twice("new", 0, 1, existed=False),
        "old": [Change(one.path, "old", 1, 0, existed=True), Change(one.path, "old", 1, 0, existed=True, after=0)],
    }


async def test_a_journal_that_cannot_be_kept_ends_the_run(openbao_server: OpenBaoServer, kv: KvMount) -> None:
    """A change that the journal does not take is not made."""

    async def full(*_changes: Change) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        await restore(openbao_server, [secret("x", {})], Root("", kv.path), journal=full)
    assert kv.all() == {}


async def test_an_empty_root_is_written_without_reading(openbao_server: OpenBaoServer, kv: KvMount) -> None:
    """Where nothing was, nothing is read first; the journal hears of every write before one is sent, many at once."""
    told: list[int] = []
    heard: dict[str, list[Change]] = {}

    async def journal(*changes: Change) -> None:
        for change in changes:
            heard.setdefault(change.path, []).append(change)
        if changes[0].ahead:
            told.append(len(changes))
            assert not set(kv.paths()) & {change.path for change in changes}, "written already"

    async with VaultClient(settings(openbao_server, Root("", kv.path))) as client:
        before = counters(client).requests
        sink = VaultSink(client, client.settings.roots, journal=journal)
        await run_sink(sink, [secret(f"s{n}", {"n": n}) for n in range(100)], together=64)
        assert counters(client).requests - before == 102, "100 writes, one question about the mount, one list"
    assert told == [64, 36]
    assert sink.report.written == 100
    assert kv.all() == {f"s{n}": {"n": n} for n in range(100)}
    first = Change(kv.path, "s7", 2, 0, existed=False, planned=True)
    assert heard["s7"] == [replace(first, ahead=True), first, replace(first, after=1)]


async def test_what_somebody_makes_in_an_empty_root_is_compared(openbao_server: OpenBaoServer, kv: KvMount) -> None:
    """A secret that appears after the look is no failure: it is read, and written only if it differs."""

    async def journal(*changes: Change) -> None:
        if changes[0].ahead and changes[0].path == "same":
            kv.put("same", {"n": 1})
            kv.put("other", {"n": 2})

    secrets = [secret(name, {"n": 1}) for name in ("same", "other", "new")]
    report = await restore(openbao_server, secrets, Root("", kv.path), journal=journal)
    assert kv.all() == {"same": {"n": 1}, "other": {"n": 1}, "new": {"n": 1}}
    assert (newest(kv, "same"), newest(kv, "other"), report.failed.count) == (1, 2, 0)


# Workers ---------------------------------------------------------------------------------------------------------


async def test_twenty_secrets_at_a_time(stub: StubVault) -> None:
    """As many requests as workers are under way, and no more."""
    stub.gathers(20, "data/x")
    await restore(stub, [secret(f"x{n}", {"n": n}) for n in range(200)])
    assert stub.most_running == 20
    assert len(stub.values) == 200


async def test_cancellation_at_every_receive(stub: StubVault) -> None:
    """A cancelled sink ends, and the client is as good as before."""
    async with VaultClient(settings(stub)) as client:
        secrets = [secret(f"x{n}", {"n": n}) for n in range(5)]
        count = await check_cancellation(
            lambda: VaultSink(client, client.settings.roots, workers=3), secrets, outlets=0
        )
        assert count >= 5
        sink = VaultSink(client, client.settings.roots)
        await run_sink(sink, secrets)
        assert sink.report.unchanged == 5


async def test_numbers_of_versions_that_no_vault_has_made(openbao_server: OpenBaoServer, kv_mount: Mounter) -> None:
    """An archive may say that any number of versions lies between two: they are not written, and the newest is."""
    kv = kv_mount(2)
    far = 2**53 - 1
    async with VaultClient(settings(openbao_server, Root("", kv.path))) as client:
        back = BringBack(client, None)
        sink = VaultSink(client, client.settings.roots, back=back)
        older = (Version(1, b'{"n":1}'),)
        await run_sink(
            sink, [Secret("far", b'{"n":2}', None, far, older), Secret("gone", b"", None, far, older, gone="deleted")]
        )
    assert (sink.report.written, sink.report.failed.count, kv.get("far")) == (2, 0, {"n": 2})
    assert (newest(kv, "far"), newest(kv, "gone"), kv.get("gone")) == (1, 1, None)
    left_out = "more than 1,000 between them are not in the archive"
    assert sorted(back.report.left_out.names) == [("far", left_out), ("gone", left_out)]
