"""Some secrets out of an archive: what is read of it, and that they are written as in any restore."""

from __future__ import annotations

from typing import Any

import pytest

from kleidia_backup import ConfigurationError, VaultError, restore
from kleidia_backup.formats.v2 import index as limits
from kleidia_backup.pipeline.archives.opening import open_archive
from kleidia_backup.pipeline.export import ExportRequest, read_secrets
from kleidia_backup.stages.errors import VaultThreshold
from kleidia_backup.stages.extract import choose
from kleidia_backup.stages.extract.choose import NotInArchive
from kleidia_backup.stages.vault.kv.answers import Refused
from kleidia_backup.stages.vault.kv.client import VaultClient

from .conftest import PASSWORD, System, leading_to
from .test_v2 import Watched, bring_back, made_archive

pytestmark = pytest.mark.anyio

#: What of an archive is read to open it, in bytes: its head, and the segment of its index.
OPENING = 600_000


@pytest.mark.parametrize("listed", [True, False])
async def test_what_is_read_of_v2(system: System, listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunk that holds it, once, and no other; without paths in the index all secrets, once, and no SQL."""
    if not listed:
        monkeypatch.setattr(limits, "PATHS_STORED", -1)
    name = await made_archive(system)
    async with system.store.open() as opened:
        archive = await open_archive(opened, name, PASSWORD)
        assert archive.index is not None
        kv = [entry.n for entry in archive.index.entries if entry.k == "kv"]
    store, rows, before = Watched(system.store), system.rows(), system.secrets()
    system.yubikeys.put("large/3", {"value": "another"})
    report = await bring_back(system, name, store, secrets=("*large/3",), database=None)
    assert (report.written, report.secrets, report.sql_bytes, report.warnings) == (1, 1, 0, ())
    assert (system.rows(), system.secrets()) == (rows, before)
    read = [sum(end - start for start, end in store.asked)]
    shown = Watched(system.store)
    request = ExportRequest(name=name, store=leading_to(shown, system.store), password=PASSWORD)
    assert len(await read_secrets(request, ["*large/3"])) == 1
    read.append(sum(end - start for start, end in shown.asked))
    for once in read:
        if listed:
            assert once < max(kv) + 2 * 262_144 + OPENING
        else:
            assert sum(kv) < once < sum(kv) + 2 * 262_144 + OPENING


async def test_what_is_read_of_v1(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it once; twice when what was chosen is too large to be kept. It is the same that comes back."""
    name = await made_archive(system, format="v1")
    size, before = (system.directory / name).stat().st_size, system.secrets()
    for kept, times in ((choose.KEPT, 1), (1000, 2)):
        monkeypatch.setattr(choose, "KEPT", kept)
        system.yubikeys.put("large/3", {"value": "another"})
        store = Watched(system.store)
        report = await bring_back(system, name, store, secrets=("*large/3",), database=None)
        assert (report.written, system.secrets()) == (1, before)
        read = sum(end - start for start, end in store.asked)
        assert times * size - 10_000 < read < times * size + OPENING


@pytest.mark.parametrize("format", ["v1", "v2"])
@pytest.mark.parametrize("listed", [True, False])
async def test_what_is_not_there_is_told_before_anything_is_written(
    system: System,
    format: Any,  # noqa: A002 - what everybody calls it
    listed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In both formats, with and without paths in the index; the other one that was asked for is not written either."""
    if not listed:
        monkeypatch.setattr(limits, "PATHS_STORED", -1)
    name = await made_archive(system, format=format)
    before = system.secrets()
    with pytest.raises(NotInArchive) as caught:
        await bring_back(system, name, Watched(system.store), secrets=("*large/3", "yubikeys/large/33"))
    assert caught.value.missing == ("yubikeys/large/33",)
    assert caught.value.effect == "nothing"
    assert system.secrets() == before
    for wrong in ({"secrets": ("",)}, {"to": "x"}, {"secrets": ("a",), "only": "database"}):
        with pytest.raises(ConfigurationError):
            await bring_back(system, name, Watched(system.store), **wrong)


@pytest.mark.parametrize("format", ["v1", "v2"])
async def test_a_failure_puts_back_what_was_written(
    system: System,
    format: Any,  # noqa: A002 - what everybody calls it
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of the chosen ones refused is over the threshold, however many the archive has; the journal undoes."""
    name = await made_archive(system, format=format)
    for number in range(4):
        system.yubikeys.put(f"large/{number}", {"value": "another"})
    before = system.secrets()
    write = VaultClient.write

    async def refuse(client: VaultClient, mount: str, path: str, *args: Any, **options: Any) -> Any:
        if path.endswith(("/2", "/3")):
            return Refused(403, "no")
        return await write(client, mount, path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(VaultClient, "write", refuse)
        with pytest.raises(VaultThreshold) as caught:
            await restore(name, store=system.store, vault=system.vault, password=PASSWORD, secrets=("*large/[0-3]",))
    assert isinstance(caught.value, VaultError)
    assert caught.value.effect == "put back"
    assert system.secrets() == before


@pytest.mark.parametrize("format", ["v1", "v2"])
@pytest.mark.parametrize("listed", [True, False])
async def test_a_name_with_brackets(
    system: System,
    format: Any,  # noqa: A002 - what everybody calls it
    listed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It means the secret of that name, and not the other one that it would fit as a pattern."""
    if not listed:
        monkeypatch.setattr(limits, "PATHS_STORED", -1)
    for path in ("a1", "a[1]"):
        system.yubikeys.put(path, {"value": path})
    name = await made_archive(system, format=format)
    for path in ("a1", "a[1]"):
        system.yubikeys.put(path, {"value": "newer"})
    report = await bring_back(system, name, Watched(system.store), secrets=("yubikeys/a[1]",), database=None)
    assert (report.written, report.secrets, report.warnings) == (1, 1, ())
    assert [system.yubikeys.get(path) for path in ("a1", "a[1]")] == [{"value": "newer"}, {"value": "a[1]"}]
