"""The journal as a file: what it holds, when, for whose eyes, and what becomes of it."""

from __future__ import annotations

import io
import json
import os
import stat
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from kleidia_backup.demo.servers.together import KvMount, OpenBaoServer
from kleidia_backup.formats.secret import Secret
from kleidia_backup.pipeline.engine.testing import run_sink
from kleidia_backup.stages.errors import Busy, ConfigurationError, UnfinishedRestore
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.settings import Root, TokenAuth, VaultSettings
from kleidia_backup.stages.vault.sink import Change, VaultSink
from kleidia_backup.stages.vault.undo import journal as journals
from kleidia_backup.stages.vault.undo import journal_files
from kleidia_backup.stages.vault.undo.journal import Journal, dismiss, unfinished
from kleidia_backup.stages.vault.undo.journal_files import state_directory
from kleidia_backup.stages.vault.undo.journal_records import Entry

from .stub import StubVault, settings

pytestmark = pytest.mark.anyio

VAULT = VaultSettings("http://vault:8200", TokenAuth("t"), (Root("", "secret", "app"), Root("keys/", "keys")))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory that nobody has made yet."""
    return tmp_path / "var" / "state"


#: A path with everything that JSON escapes.
NAME = 'us"ers\\/{:06}/\tpiv ü\u2028'


def written(path: str, before: int = 0, *, existed: bool = False) -> Iterator[Change]:
    """A write, told before and after."""
    first = Change("secret", path, 2, before, existed)
    yield from (first, replace(first, after=before + 1))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def entries(journal: Journal) -> dict[str, Entry]:
    return {entry.path: entry for entry in journal.entries(0, 1)}


# What it holds --------------------------------------------------------------------------------------------------


async def test_it_holds_paths_and_versions_and_never_a_value(
    openbao_server: OpenBaoServer, kv_mount: Callable[[int], KvMount], state: Path
) -> None:
    """Readable by its owner alone, whatever the umask; every line is JSON."""
    kv, one = kv_mount(2), kv_mount(1)
    kv.put("changed", {"pin": "canary-old"})
    one.put("old", {"pin": "canary-old"})
    vault = settings(openbao_server, Root("", kv.path), Root("one/", one.path))
    before = os.umask(0)
    try:
        journal = Journal.begin("backups/x.enc", vault, state)
    finally:
        os.umask(before)
    async with VaultClient(vault) as client:
        sink = VaultSink(client, vault.roots, journal=journal)
        await run_sink(sink, [Secret(name, b'{"pin":"canary-new"}') for name in ("changed", "new", "one/old")])
    assert journal.writes == 3
    assert (mode(journal.path), mode(state)) == (0o600, 0o700)
    text = journal.path.read_text(encoding="utf-8")
    assert "canary" not in text
    assert openbao_server.root_token not in text
    header, *lines = [json.loads(line) for line in text.splitlines()]
    assert header.keys() == {
        "journal",
        "archive",
        "started",
        "process",
        "address",
        "namespace",
        "roots",
        "cluster",
        "boot",
    }
    assert (header["archive"], header["address"]) == ("backups/x.enc", openbao_server.address)
    assert header["roots"] == [["", kv.path, ""], ["one/", one.path, ""]]
    assert sorted(line[:6] for line in lines if line[0] == "write") == sorted(
        [
            ["write", kv.path, "changed", 2, 1, True],
            ["write", kv.path, "new", 2, 0, False],
            ["write", one.path, "old", 1, 0, True],
        ]
    )
    assert sorted(line for line in lines if line[0] == "wrote") == sorted(
        [["wrote", kv.path, "changed", 2], ["wrote", kv.path, "new", 1], ["wrote", one.path, "old", 0]]
    )
    assert len(lines) == 6
    journal.close()


@pytest.mark.parametrize("empty", [True, False])
async def test_every_write_is_on_disk_before_it_is_sent(
    stub: StubVault, state: Path, monkeypatch: pytest.MonkeyPatch, *, empty: bool
) -> None:
    """When the server sees it, the file has its line and was synced (or its plan was), one call for many of them."""
    if not empty:
        stub.values["there"] = (1, "{}")
    synced = 0
    sync = os.fsync

    def fsync(file: int) -> None:
        nonlocal synced
        size = os.fstat(file).st_size
        sync(file)
        synced = max(synced, size)

    vault = settings(stub)
    journal = Journal.begin("x", vault, state)
    monkeypatch.setattr(os, "fsync", fsync)
    seen = 0

    async def fault(request: web.Request) -> None:
        nonlocal seen
        if request.method == "POST":
            seen += 1
            path = request.match_info["path"].removeprefix("secret/data/")
            text = journal.path.read_bytes()
            assert f'["write","secret","{path}",2,'.encode() in text
            assert f'["{"plan" if empty else "write"}","secret","{path}",'.encode() in text[:synced]

    stub.fault = fault
    async with VaultClient(vault) as client:
        await run_sink(VaultSink(client, vault.roots, journal=journal), [Secret(f"s/{n}", b"{}") for n in range(100)])
    assert seen == 100
    assert len(entries(journal)) == 100
    journal.close()


async def test_a_refused_write_is_noted_as_such(openbao_server: OpenBaoServer, kv: KvMount, state: Path) -> None:
    """So that a version somebody else makes in its place is not taken for ours."""
    vault = settings(openbao_server, Root("", kv.path))
    journal = Journal.begin("x", vault, state)
    async with VaultClient(vault) as client:
        sink = VaultSink(client, vault.roots, journal=journal)
        await run_sink(
            sink, [Secret("large", b'{"x":"%s"}' % (b"x" * 2_000_000)), *(Secret(f"{n}", b"{}") for n in range(3))]
        )
    found = entries(journal)
    assert found["large"].refused
    assert found["1"].written
    journal.close()
    left = unfinished(state)
    assert left is not None
    assert left.count == 3


@pytest.mark.parametrize("order", [each for each in permutations(range(4)) if each.index(2) < each.index(3)])
async def test_the_last_word_on_each_write_counts(order: tuple[int, ...], state: Path) -> None:
    """Two workers with one path (an archive of somebody else's may hold it twice): what was there first is found."""
    journal = Journal.begin("x", VAULT, state)
    lost = Change("secret", "a", 2, 3, existed=True)
    told = [
        replace(lost, after=4),  # one of them won
        replace(lost, refused=True),  # the other one lost, and wrote on top
        *written("a", 4, existed=True),
    ]
    for change in (lost, lost, *(told[n] for n in order)):
        await journal(change)
    (entry,) = journal.entries(0, 1)
    assert entry.origin(5) == (3, True)
    assert entry.attempts[5].state == "written"
    journal.remove()


async def test_a_secret_that_was_written_by_somebody_in_between_goes_back_to_theirs(state: Path) -> None:
    """Their version is what was there before ours."""
    journal = Journal.begin("x", VAULT, state)
    first = Change("secret", "a", 2, 3, existed=True)
    for change in (first, replace(first, refused=True), *written("a", 4, existed=True)):
        await journal(change)
    (entry,) = journal.entries(0, 1)
    assert entry.origin(5) == (4, True)
    journal.remove()


# How much it takes ------------------------------------------------------------------------------------------------


async def test_memory_does_not_grow_with_the_number_of_writes(state: Path) -> None:
    """Two thousand secrets cost no more than two hundred."""
    journal = Journal.begin("x", VAULT, state)

    async def note(numbers: range) -> int:
        for n in numbers:
            for change in written(f"users/{n:06}/piv"):
                await journal(change)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        small = await note(range(200))
        large = await note(range(200, 2200))
    finally:
        tracemalloc.stop()
    assert large - small < 64 * 1024
    assert journal.writes == 2200
    journal.remove()


async def test_it_is_read_in_parts_that_fit_into_memory(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every secret is in one part, whole, and no part is much larger than its share."""
    monkeypatch.setattr(journals, "PART", 16 * 1024)
    journal = Journal.begin("x", VAULT, state)
    first = [change for n in range(2000) for change in written(NAME.format(n), n, existed=bool(n))]
    for change in [*first[::2], *first[1::2]]:
        await journal(change)
    parts = journal.parts
    assert parts > 8
    tracemalloc.start()
    try:
        for part in range(parts):
            journal.entries(part, parts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * journals.PART + io.DEFAULT_BUFFER_SIZE  # which is 128 KiB from Python 3.14 on
    found = [journal.entries(part, parts) for part in range(parts)]
    assert max(map(len, found)) < 2 * 2000 / parts
    paths = {entry.path: entry for part in found for entry in part}
    assert len(paths) == sum(map(len, found)) == 2000
    assert all(paths[NAME.format(n)].origin(n + 1) == (n, bool(n)) for n in range(2000))
    journal.remove()


# One at a time, and only ours -------------------------------------------------------------------------------------


async def test_what_a_restore_left_behind_stops_the_next_one(state: Path) -> None:
    """Its error says archive, time and number; dismissed, it is gone."""
    assert unfinished(state) is None
    journal = Journal.begin("backups/old.enc", VAULT, state)
    for n in range(7):
        for change in written(f"{n}"):
            await journal(change)
    assert unfinished(state) is None, "it is running"
    with pytest.raises(Busy, match="Another restore"):
        Journal.begin("new", VAULT, state)
    with pytest.raises(Busy):
        dismiss(state)
    started = journal.header.started
    journal.close()  # as the end of its process does
    with pytest.raises(UnfinishedRestore, match=r"backups/old\.enc") as caught:
        Journal.begin("new", VAULT, state)
    error = caught.value
    assert (error.archive, error.started, error.count) == ("backups/old.enc", started, 7)
    assert started in error.message
    assert "up to 7 secrets" in error.message
    assert "--undo" in error.hint
    assert "--dismiss" in error.hint
    assert dismiss(state) == journal.path
    assert unfinished(state) is None
    Journal.begin("new", VAULT, state).remove()
    assert not journal.path.exists()
    with pytest.raises(ConfigurationError, match="No restore is unfinished"):
        dismiss(state)
    with pytest.raises(ConfigurationError, match="No restore is unfinished"):
        Journal.resume(state)


async def test_a_restore_that_wrote_nothing_is_in_nobodys_way(state: Path) -> None:
    """Killed before its first write, it needs no undo."""
    Journal.begin("old", VAULT, state).close()
    assert unfinished(state) is None
    with pytest.raises(ConfigurationError, match="No restore is unfinished"):
        Journal.resume(state)
    Journal.begin("new", VAULT, state).remove()


async def test_a_line_that_was_being_written_is_of_a_write_that_was_not_sent(state: Path) -> None:
    """It is cut off, and what follows begins a line of its own."""
    journal = Journal.begin("old", VAULT, state)
    for change in written("a"):
        await journal(change)
    whole = journal.path.read_bytes()
    journal.close()
    journal.path.write_bytes(whole + b'["write","secr')
    journal = Journal.resume(state)
    assert journal.path.read_bytes() == whole
    (entry,) = journal.entries(0, 1)
    journal.record_left(entry, "because")
    (again,) = journal.entries(0, 1)
    assert again == entry
    journal.record_put_back(entry)
    assert journal.entries(0, 1) == []
    journal.close()
    assert unfinished(state) is None


async def test_a_disk_that_is_full_ends_the_restore(
    openbao_server: OpenBaoServer, kv: KvMount, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write that cannot be noted is not sent, and the journal stays readable."""
    kv.put("old", {})  # not an empty mount, where the journal hears of both at once
    vault = settings(openbao_server, Root("", kv.path))
    journal = Journal.begin("x", vault, state)
    write = os.write

    def full(file: int, data: bytes) -> int:
        return write(file, data[: len(data) // 2]) if b"last" in data else write(file, data)

    monkeypatch.setattr(os, "write", full)
    async with VaultClient(vault) as client:
        sink = VaultSink(client, vault.roots, workers=1, journal=journal)
        with pytest.raises(ConfigurationError, match="cannot be written: No space left on device"):
            await run_sink(sink, [Secret("first", b"{}"), Secret("last", b"{}")])
    assert list(kv.all()) == ["first", "old"]
    assert list(entries(journal)) == ["first"]
    journal.close()


async def test_another_vault_is_refused(state: Path) -> None:
    """By address, namespace or roots; the order of the roots means nothing."""
    journal = Journal.begin("x", VAULT, state)
    journal.check(replace(VAULT, auth=TokenAuth("other"), roots=VAULT.roots[::-1]))
    for other in (
        replace(VAULT, address="http://other:8200"),
        replace(VAULT, namespace="team"),
        replace(VAULT, roots=VAULT.roots[:1]),
    ):
        with pytest.raises(ConfigurationError, match=r"another vault.*secret/app, keys/ at http://vault:8200"):
            journal.check(other)
    journal.remove()


@pytest.mark.parametrize("bits", [0o660, 0o602])
async def test_a_journal_that_others_may_write_is_not_followed(state: Path, bits: int) -> None:
    """It says what to overwrite in a vault."""
    journal = Journal.begin("x", VAULT, state)
    for change in written("a"):
        await journal(change)
    journal.close()
    journal.path.chmod(bits)
    for look in (unfinished, Journal.resume):
        with pytest.raises(ConfigurationError, match="others may change it"):
            look(state)
    dismiss(state)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b'{"journal":2}\n["write","m","p",2,0,false,1.0]\n', "not a journal that this version knows"),
        (b'nonsense\n["write","m","p",2,0,false,1.0]\n', "not a journal that this version knows"),
        (b'{}\n["write","m","p",2,0,false,1.0]\n\0\0\0\n', "Line 3 of .* is damaged"),
        (b'{}\n["burnt","m","p"]\n', "Line 2 of .* is damaged"),
        (b'{}\n["write","m","\xff",2,0,false,1.0]\n', "Line 2 of .* is damaged"),
    ],
)
async def test_a_journal_that_cannot_be_read_is_named(state: Path, text: bytes, match: str) -> None:
    """Nothing else may begin before somebody looked at it; dismissing works all the same."""
    journal = Journal.begin("x", VAULT, state)
    journal.close()
    journal.path.write_bytes(text)
    with pytest.raises(ConfigurationError, match=match) as caught:
        Journal.begin("y", VAULT, state)
    assert caught.value.hint
    dismiss(state)


async def test_a_state_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """Before anything is written anywhere."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        ConfigurationError, match=r"file.* cannot be used for state: (File exists|Not a directory)"
    ) as caught:
        Journal.begin("x", VAULT, tmp_path / "file")
    assert "state_dir" in caught.value.hint
    assert unfinished(tmp_path / "file") is None


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The setting, then the variable, then the place that is usual for root and for others."""
    monkeypatch.setenv("KLEIDIA_STATE_DIR", "/one")
    assert state_directory(tmp_path) == tmp_path
    assert state_directory() == Path("/one")
    monkeypatch.delenv("KLEIDIA_STATE_DIR")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state_directory() == Path("/var/lib/kleidia-backup")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert state_directory() == Path("/xdg/kleidia-backup")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert state_directory() == Path("/home/somebody/.local/state/kleidia-backup")


async def test_cancelled_while_it_waits_for_the_disk(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write is not sent, and the journal is as good as before."""
    journal = Journal.begin("x", VAULT, state)
    (first, _) = written("a")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await journal(first)
    assert scope.cancelled_caught
    for change in written("b"):
        await journal(change)
    assert [entry.written for entry in journal.entries(0, 1)] == [False, True]
    journal.remove()


def test_the_files_of_a_state_directory() -> None:
    """Their names are what the documentation says."""
    assert (journal_files.JOURNAL, journal_files.LOCK) == ("restore.journal", "restore.lock")
